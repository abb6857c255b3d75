"""Quasi-Newton steps: the limited-memory BFGS formula around the preconditioner, a full step tried first.

Each step takes one gradient, whose direction uses what the last few gradients told about the curvature
(J. Nocedal, Math. Comp. 35, 1980). The inverse Hessian that the formula starts from is the preconditioner,
which knows the light on each pixel, scaled by the last pair (Shanno and Phua). As the step of length 1 is
nearly always good, no line search is made: a step that does not lower the loss enough is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.driver.solver.line_search import search_step
from ptyxrf.driver.solver.minimiser import Descent, Memory, Outcome
from ptyxrf.driver.solver.problem import Problem
from ptyxrf.kernels.bfgs_passes import (
    CHANGE_CHANGE,
    CHANGE_INVERSE_CHANGE,
    LEARNED,
    RESIDUAL_RESIDUAL,
    STEP_STEP,
    first_loop,
    learn_pair,
    second_loop,
)
from ptyxrf.kernels.reductions import BLOCK

#: Pairs of steps and changes of the gradient that are kept. More made no step better on any problem tried.
MEMORY = 5
#: A step is taken when the loss falls by this fraction of what the slope promises.
SUFFICIENT = 1e-4
#: Cuts of a step that is not taken, and limits of the factor of each.
CUTS, SHORTEST, LONGEST = 8, 0.1, 0.5
#: A pair whose curvature is below this fraction of the largest possible is not kept.
CURVED = 1e-8


class Pairs:
    """The steps s and changes of the gradient y that are kept, and their dot products.

    Parameters
    ----------
    size : int
        Of a vector.
    dtype : float32 or float64
    """

    def __init__(self, size: int, dtype: Any) -> None:
        self.steps, self.changes = (np.zeros((MEMORY, size), dtype) for _ in range(2))
        self._products = np.zeros((MEMORY, MEMORY))  # s_i . y_j where j is not older than i
        self._order: list[int] = []  # rows from the oldest to the newest pair
        self.scale = 1.0

    def __bool__(self) -> bool:
        return bool(self._order)

    def state(self) -> Memory:
        """Return what is kept, to be given to `restore`; the vectors are views."""
        numbers = {"order": list(self._order), "products": self._products.tolist(), "scale": self.scale}
        vectors = {f"step_{row}": self.steps[row] for row in self._order}
        return Memory(numbers, vectors | {f"change_{row}": self.changes[row] for row in self._order})

    def restore(self, memory: Memory) -> None:
        """Keep what `state` returned."""
        self._order[:] = memory.numbers["order"]
        self._products[...] = memory.numbers["products"]
        self.scale = memory.numbers["scale"]
        for row in self._order:
            self.steps[row], self.changes[row] = (
                memory.vectors[f"{kind}_{row}"] for kind in ("step", "change")
            )

    def clear(self) -> None:
        """Forget all pairs."""
        self._order.clear()

    def room(self) -> int:
        """Return the row where the next pair may be written, which gives up the oldest one if need be."""
        if len(self._order) == MEMORY:
            return self._order.pop(0)
        return next(row for row in range(MEMORY) if row not in self._order)

    def wipe(self, row: int) -> None:
        """Clear a row that is not kept: passes over all rows shall not meet what is not finite."""
        self.steps[row] = self.changes[row] = 0

    def keep(self, row: int, across: NDArray, scale: float) -> None:
        """Keep the pair in `row`, given steps . its change."""
        self._order.append(row)
        self._products[self._order, row] = across[self._order]
        self.scale = scale

    def first(self, along: NDArray) -> NDArray[np.float64]:
        """Return a: the first loop takes sum_i a_i y_i from a vector with steps . vector = along."""
        a = np.zeros(MEMORY)
        for place in reversed(range(len(self._order))):
            i, newer = self._order[place], self._order[place + 1 :]
            a[i] = (along[i] - self._products[i, newer] @ a[newer]) / self._products[i, i]
        return a

    def second(self, a: NDArray, along: NDArray) -> NDArray[np.float64]:
        """Return c: the second loop adds sum_i c_i s_i to a vector with changes . vector = along."""
        c = np.zeros(MEMORY)
        for place, i in enumerate(self._order):
            older = self._order[:place]
            c[i] = a[i] - (along[i] + c[older] @ self._products[older, i]) / self._products[i, i]
        return c


@dataclass(frozen=True)
class Learned:
    """What a pass over a new pair tells.

    Attributes
    ----------
    along, across : (MEMORY,) arrays
        steps . residual at the new point, and steps . change.
    step_step, change_change, change_inverse_change, residual_residual : float
        Dot products of the step, of the change, of the change with M^-1 change, and of the residual: minus
        the gradient where it is free.
    """

    along: NDArray[np.float64]
    across: NDArray[np.float64]
    step_step: float
    change_change: float
    change_inverse_change: float
    residual_residual: float


@dataclass(frozen=True)
class Move:
    """A direction, the slope along it, and the point at its end."""

    direction: NDArray[Any]
    slope: float
    vector: NDArray[Any]


#: Given a part of M^-1, its scratch and totals to add to.
Pass = Callable[[InverseBlocks, NDArray[Any], NDArray[Any], NDArray[np.float64]], None]


class Passes:
    """The passes over the pairs of a problem, each with one reduction over the ranks.

    Parameters
    ----------
    problem : Problem
    pairs : Pairs
    bounded : slice
        Numbers of a vector that may not be below 0.
    """

    def __init__(self, problem: Problem, pairs: Pairs, bounded: slice) -> None:
        self.problem, self.pairs, self._bounded = problem, pairs, bounded
        self._no_mask = np.zeros(0, bool)

    def _totals(self, count: int, run: Pass) -> NDArray[np.float64]:
        """Return what a pass adds up: over all ranks, but once of the parts that they all have."""
        own, shared = np.zeros(count), np.zeros(count)
        for place, part in enumerate(self.problem.inverse_blocks()):
            run(part, *part.scratch(), shared if place else own)
        return self.problem.sum(own) + shared

    def learn(
        self,
        row: int,
        vector: NDArray,
        before: NDArray,
        gradient: NDArray,
        gradient_before: NDArray,
        free: NDArray[np.bool_] | None,
    ) -> Learned:
        """Write the pair of a step into a row; return what is to be known of it.

        Parameters
        ----------
        row : int
        vector, before : array
            The point, at which the problem was last evaluated, and the one before.
        gradient, gradient_before : array
            There.
        free : array of bool or None
            Which numbers may move from the point; None: all.
        """
        pairs, mask = self.pairs, self._no_mask if free is None else free

        def run(part: InverseBlocks, block: NDArray, sums: NDArray, totals: NDArray) -> None:
            learn_pair(
                part.start, vector, before, gradient, gradient_before, pairs.steps, pairs.changes, row,
                *part.matrix, mask, free is not None, block, sums, totals,
            )  # fmt: skip

        totals = self._totals(2 * MEMORY + LEARNED, run)
        numbers = totals[2 * MEMORY :]
        return Learned(
            totals[:MEMORY],
            totals[MEMORY : 2 * MEMORY],
            float(numbers[STEP_STEP]),
            float(numbers[CHANGE_CHANGE]),
            float(numbers[CHANGE_INVERSE_CHANGE]),
            float(numbers[RESIDUAL_RESIDUAL]),
        )

    def move(
        self, vector: NDArray, gradient: NDArray, free: NDArray[np.bool_] | None, along: NDArray
    ) -> Move:
        """Return minus the approximate inverse Hessian times the gradient, cut at the bounds.

        Parameters
        ----------
        vector, gradient : array
        free : array of bool or None
            Which numbers may move; None: all, and there are no bounds.
        along : (MEMORY,) array
            steps . residual, from `learn`.
        """
        pairs, mask, masked = self.pairs, self._no_mask if free is None else free, free is not None
        a = pairs.first(along)
        direction, moved = np.empty_like(vector), np.empty_like(vector)

        def run(part: InverseBlocks, block: NDArray, sums: NDArray, totals: NDArray) -> None:
            first_loop(
                part.start, gradient, pairs.changes, a, pairs.scale, *part.matrix, mask, masked, block, sums,
                direction, totals,
            )  # fmt: skip

        *across, slope = self._totals(MEMORY + 1, run)
        c = pairs.second(a, np.array(across))
        where = self._bounded
        second_loop(pairs.steps, c, mask, masked, where.start, where.stop, vector, direction, moved, BLOCK)
        # the mask and the bounds have cut what the products are known of
        slope = self.problem.dot(gradient, direction) if masked else slope - float(c @ along)
        return Move(direction, slope, moved)


@dataclass(frozen=True)
class _Step:
    vector: NDArray[Any]
    value: float
    gradient: NDArray[Any]
    free: NDArray[np.bool_] | None
    norm: float
    length: float


class QuasiNewton(Descent):
    """Limited-memory BFGS; an iteration is some steps of it. Parameters as of `Descent`."""

    _passes: Passes | None = None
    _along = np.zeros(0)  # steps . residual at the present point, where there are pairs

    def _forget(self) -> None:
        if self._passes is not None:
            self._passes.pairs.clear()

    def _memory(self) -> Memory:
        if self._passes is None:
            return Memory()
        memory = self._passes.pairs.state()
        memory.numbers["along"] = self._along.tolist()
        return memory

    def _recall(self, memory: Memory, vector: NDArray) -> None:
        if memory.numbers:
            self._passes = Passes(self.problem, Pairs(len(vector), vector.dtype), self._bounded)
            self._passes.pairs.restore(memory)
            self._along = np.array(memory.numbers["along"])

    def _improve(
        self,
        vector: NDArray,
        value: float,
        gradient: NDArray,
        free: NDArray[np.bool_] | None,
        limit: int,
    ) -> Outcome | None:
        if self._passes is None:
            self._passes = Passes(self.problem, Pairs(len(vector), vector.dtype), self._bounded)
        passes = self._passes
        taken, length, norm, restarts = 0, 0.0, 0.0, 0
        while taken < limit and (taken == 0 or self._sweeps() < self.options.max_sweeps):
            fresh = not passes.pairs
            step = self._step(passes, vector, value, gradient, free)
            if step is None and not fresh:
                # what is kept has led astray: begin again with the preconditioned gradient
                passes.pairs.clear()
                restarts += 1
                self.problem.value_and_gradient(vector)
                step = self._step(passes, vector, value, gradient, free)
            if step is None:
                self.problem.value_and_gradient(vector)
                break
            vector, value, gradient, free = step.vector, step.value, step.gradient, step.free
            length, norm = step.length, step.norm
            taken += 1
            if norm <= self._small:
                break
        if taken == 0:
            return None
        note = "quasi-Newton" + (", begun again" if restarts else "")
        return Outcome(vector, value, gradient, free, norm, length, taken, note)

    def _step(
        self,
        passes: Passes,
        vector: NDArray,
        value: float,
        gradient: NDArray,
        free: NDArray[np.bool_] | None,
    ) -> _Step | None:
        """Return a step that lowers the loss, having learned from it, or None."""
        problem, pairs, length = self.problem, passes.pairs, 1.0
        fresh = not pairs
        if not fresh:
            move = passes.move(vector, gradient, free, self._along)
        else:
            direction = problem.precondition(-gradient, free)
            longest = self._within_bounds(vector, direction) if free is not None else np.inf
            move = Move(direction, problem.dot(gradient, direction), vector)
        if not np.isfinite(move.slope):
            self._rejected += 1
        if not move.slope < 0:
            return None
        trial, row = move.vector, pairs.room()
        if fresh:
            length = search_step(problem, move.direction, value, longest).length
            trial = self._moved(vector, move.direction, length)
        for _ in range(CUTS if length > 0 else 0):
            trial_value, trial_gradient = problem.value_and_gradient(trial)
            promised, rise = length * move.slope, trial_value - value
            if np.isfinite(rise) and rise < SUFFICIENT * promised:
                trial_free = self._free(trial, trial_gradient)
                learned = passes.learn(row, trial, vector, trial_gradient, gradient, trial_free)
                if np.isfinite(learned.change_change):
                    self._keep(pairs, row, learned)
                    norm = float(np.sqrt(learned.residual_residual))
                    return _Step(trial, trial_value, trial_gradient, trial_free, norm, length)
                pairs.wipe(row)
                rise = np.inf
            self._rejected += not np.isfinite(rise)
            # the minimum of the parabola through value, slope and the value that was found
            cut = -0.5 * promised / (rise - promised) if np.isfinite(rise) else SHORTEST
            length *= min(max(cut, SHORTEST), LONGEST)
            trial = self._moved(vector, move.direction, length)
        return None

    def _keep(self, pairs: Pairs, row: int, learned: Learned) -> None:
        """Keep the pair of a row, if the curvature along its step is positive."""
        self._along = learned.along
        curvature = learned.across[row]
        largest = np.sqrt(learned.step_step * learned.change_change)
        if curvature > CURVED * largest and learned.change_inverse_change > 0:
            pairs.keep(row, learned.across, curvature / learned.change_inverse_change)
