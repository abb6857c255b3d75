"""Truncated Newton: directions from conjugate gradients that end early, and a line search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.conjugate_gradients import newton_direction
from ptyxrf.driver.solver.line_search import search_step
from ptyxrf.driver.solver.minimiser import Minimiser, Step
from ptyxrf.driver.solver.state import State, Stored

#: A step that fails to lower the loss is cut by this factor, this many times.
BACKTRACK = 0.25
BACKTRACKS = 6
#: In a step shorter than this, too much of the direction was cut at the bounds: from then on the inner solve
#: takes twice as many rounds, up to `MOST_ROUNDS`. In early iterations one round is enough.
SHORT_STEP = 0.5
MOST_ROUNDS = 8


@dataclass
class Rounds:
    """Rounds of the bounded inner solve."""

    count: int = 1

    def stored(self) -> Stored:
        """Return them for a checkpoint."""
        return Stored({"rounds": self.count})


class TruncatedNewton(Minimiser):
    """Newton directions from conjugate gradients that end early; parameters as of `Minimiser`."""

    def _memory(self, vector: NDArray, stored: Stored) -> Rounds:
        return Rounds(stored.numbers.get("rounds", 1))

    def reset(self, state: State, vector: NDArray | None = None) -> State:
        """Evaluate the problem again; the rounds of the inner solve stay."""
        rounds = cast(Rounds, state.memory).count
        new = super().reset(state, vector)
        cast(Rounds, new.memory).count = rounds
        return new

    def _improve(self, state: State, limit: int) -> Step | None:
        settings, rounds = self.settings, cast(Rounds, state.memory)
        direction = newton_direction(
            self.problem,
            state.vector,
            state.gradient,
            self.bounds.range,
            limit=limit,
            model_tolerance=settings.model_tolerance,
            residual_tolerance=settings.residual_tolerance,
            rounds=rounds.count,
        )
        stop = direction.stop.value
        step = self._advance(state, direction.vector, direction.steps, stop)
        if step is None:
            # the search along the direction may have moved the remembered point
            self.problem.value_and_gradient(state.vector)
            residual = -state.gradient if state.free is None else -state.gradient * state.free
            downhill = self.problem.precondition(residual, state.free)
            step = self._advance(state, downhill, direction.steps, f"{stop}, gradient step")
        if step is None:
            self.problem.value_and_gradient(state.vector)
        elif step.length < SHORT_STEP:
            rounds.count = min(2 * rounds.count, MOST_ROUNDS)
        return step

    def _advance(self, state: State, direction: NDArray, inner_steps: int, note: str) -> Step | None:
        """Step along a direction to a lower loss, if there is one."""
        problem, bounds = self.problem, self.bounds
        if problem.any(not np.isfinite(direction).all()):
            self._rejected += 1
            return None
        longest = bounds.cut(state.vector, direction)
        if not problem.dot(state.gradient, direction) < 0:
            return None
        length = search_step(problem, direction, state.value, longest)
        for _ in range(BACKTRACKS if length > 0 else 0):
            trial = bounds.moved(state.vector, direction, length)
            value, gradient = problem.value_and_gradient(trial)
            finite = np.isfinite(value) and np.isfinite(problem.dot(gradient, gradient))
            if finite and value < state.value:
                free = bounds.free(trial, gradient)
                norm = bounds.norm(gradient, free)
                return Step(trial, value, gradient, free, norm, length, inner_steps, note)
            self._rejected += not finite
            length *= BACKTRACK
        return None
