"""Quasi-Newton steps: the limited-memory BFGS formula around the preconditioner, a full step tried first.

Each step takes one gradient, whose direction uses what the last few gradients told about the curvature
(J. Nocedal, Math. Comp. 35, 1980). The inverse Hessian that the formula starts from is the preconditioner,
which knows the illumination of each pixel, scaled by the last pair (Shanno and Phua). A step of length 1 is
nearly always good, so there is no line search: a step that does not lower the loss enough is cut.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.bfgs_pairs import Learned, Move, Pairs, Passes
from ptyxrf.driver.solver.line_search import search_step
from ptyxrf.driver.solver.minimiser import Minimiser, Step
from ptyxrf.driver.solver.state import State, Stored

#: A step is taken when the loss falls by this fraction of what the slope promises.
SUFFICIENT = 1e-4
#: Largest number of times that a step is cut.
CUTS = 8
#: Smallest and largest factor of a cut.
SHORTEST = 0.1
LONGEST = 0.5
#: A pair whose curvature is below this fraction of the largest possible is not kept.
CURVED = 1e-8


class QuasiNewton(Minimiser):
    """Limited-memory BFGS, several steps per iteration. Parameters as of `Minimiser`."""

    def _memory(self, vector: NDArray, stored: Stored) -> Pairs:
        pairs = Pairs(self.settings.pairs, len(vector), vector.dtype)
        pairs.restore(stored)
        return pairs

    def _improve(self, state: State, limit: int) -> Step | None:
        pairs = cast(Pairs, state.memory)
        passes = Passes(self.problem, pairs, self.bounds.range)
        small = self._small_norm(state)
        last = Step(state.vector, state.value, state.gradient, state.free, state.norm, 0.0)
        taken, restarts = 0, 0
        while taken < limit and (taken == 0 or self.problem.sweeps < self.most_sweeps):
            fresh = not pairs
            step = self._take(passes, last)
            if step is None and not fresh:
                # the stored pairs gave no descent direction: restart from the preconditioned gradient
                pairs.clear()
                restarts += 1
                self.problem.value_and_gradient(last.vector)
                step = self._take(passes, last)
            if step is None:
                self.problem.value_and_gradient(last.vector)
                break
            last = step
            taken += 1
            if last.norm <= small:
                break
        if taken == 0:
            return None
        note = "quasi-Newton" + (", begun again" if restarts else "")
        return replace(last, inner_steps=taken, note=note)

    def _take(self, passes: Passes, at: Step) -> Step | None:
        """Return a step that lowers the loss, and learn from it, or None."""
        problem, bounds, pairs, length = self.problem, self.bounds, passes.pairs, 1.0
        fresh = not pairs
        if fresh:
            direction = problem.precondition(-at.gradient, at.free)
            longest = bounds.cut(at.vector, direction) if at.free is not None else np.inf
            move = Move(direction, problem.dot(at.gradient, direction), at.vector)
        else:
            move = passes.move(at.vector, at.gradient, at.free)
        if not np.isfinite(move.slope):
            self._rejected += 1
        if not move.slope < 0:
            return None
        trial, row = move.vector, pairs.room()
        if fresh:
            length = search_step(problem, move.direction, at.value, longest)
            trial = bounds.moved(at.vector, move.direction, length)
        for _ in range(CUTS if length > 0 else 0):
            value, gradient = problem.value_and_gradient(trial)
            promised, rise = length * move.slope, value - at.value
            if np.isfinite(rise) and rise < SUFFICIENT * promised:
                free = bounds.free(trial, gradient)
                learned = passes.learn(row, trial, at.vector, gradient, at.gradient, free)
                if np.isfinite(learned.change_change):
                    self._keep(pairs, row, learned)
                    norm = float(np.sqrt(learned.residual_residual))
                    return Step(trial, value, gradient, free, norm, length)
                pairs.wipe(row)
                rise = np.inf
            self._rejected += not np.isfinite(rise)
            # the minimum of the parabola through value, slope and the value at the trial point
            cut = -0.5 * promised / (rise - promised) if np.isfinite(rise) else SHORTEST
            length *= min(max(cut, SHORTEST), LONGEST)
            trial = bounds.moved(at.vector, move.direction, length)
        return None

    @staticmethod
    def _keep(pairs: Pairs, row: int, learned: Learned) -> None:
        """Keep the pair of a row, if the curvature along its step is positive."""
        pairs.along = learned.along
        curvature = learned.across[row]
        largest = np.sqrt(learned.step_step * learned.change_change)
        if curvature > CURVED * largest and learned.change_inverse_change > 0:
            pairs.keep(row, learned.across, curvature / learned.change_inverse_change)
