"""Truncated Newton: outer iterations, inner conjugate gradients, line search."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.conjugate_gradients import newton_direction
from ptyxrf.driver.solver.line_search import search_step
from ptyxrf.driver.solver.minimiser import Descent, Memory, Outcome

#: A step that fails to lower the loss is cut by this factor, this many times.
BACKTRACK, BACKTRACKS = 0.25, 6

#: A step shorter than this says that too much of the direction was lost at the bounds: from then on the inner
#: solve takes twice as many rounds. Early on one round does, and more would be wasted.
SHORT_STEP, MOST_ROUNDS = 0.5, 8


class TruncatedNewton(Descent):
    """Newton directions from conjugate gradients that end early; parameters as of `Descent`."""

    _rounds = 1

    def _memory(self) -> Memory:
        return Memory({"rounds": self._rounds})

    def _recall(self, memory: Memory, vector: NDArray) -> None:
        self._rounds = memory.numbers["rounds"]

    def _improve(
        self,
        vector: NDArray,
        value: float,
        gradient: NDArray,
        free: NDArray[np.bool_] | None,
        limit: int,
    ) -> Outcome | None:
        options = self.options
        direction = newton_direction(
            self.problem,
            vector,
            gradient,
            self._bounded,
            limit=limit,
            model_tolerance=options.model_tolerance,
            residual_tolerance=options.residual_tolerance,
            rounds=self._rounds,
        )
        found = self._advance(vector, value, gradient, free, direction.vector)
        if found is None:
            return None
        point, new_value, new_gradient, length, more = found
        if length < SHORT_STEP:
            self._rounds = min(2 * self._rounds, MOST_ROUNDS)
        note = direction.stop.value + (f", {more}" if more else "")
        free = self._free(point, new_gradient)
        norm = self._norm(new_gradient, free)
        return Outcome(point, new_value, new_gradient, free, norm, length, direction.steps, note)

    def _advance(
        self,
        vector: NDArray,
        value: float,
        gradient: NDArray,
        free: NDArray[np.bool_] | None,
        direction: NDArray,
    ) -> tuple[NDArray[Any], float, NDArray[Any], float, str] | None:
        """Step along a direction to a lower loss, or along the preconditioned gradient if that fails."""
        problem = self.problem
        for attempt, note in enumerate(("", "gradient step")):
            if attempt:
                # the search along the direction may have moved the remembered point
                problem.value_and_gradient(vector)
                residual = -gradient if free is None else -gradient * free
                direction = problem.precondition(residual, free)
            if problem.any(not np.isfinite(direction).all()):
                self._rejected += 1
                continue
            longest = self._within_bounds(vector, direction)
            if not problem.dot(gradient, direction) < 0:
                continue
            length = search_step(problem, direction, value, longest).length
            for _ in range(BACKTRACKS if length > 0 else 0):
                trial = self._moved(vector, direction, length)
                new_value, new_gradient = problem.value_and_gradient(trial)
                finite = np.isfinite(new_value) and np.isfinite(problem.dot(new_gradient, new_gradient))
                if finite and new_value < value:
                    return trial, new_value, new_gradient, length, note
                self._rejected += not finite
                length *= BACKTRACK
        problem.value_and_gradient(vector)
        return None
