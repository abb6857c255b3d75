"""Quasi-Newton steps: the limited-memory BFGS formula around the preconditioner, a full step tried first.

Each step takes one gradient, whose direction uses what the last few gradients told about the curvature
(J. Nocedal, Math. Comp. 35, 1980). The inverse Hessian that the formula starts from is the preconditioner,
which knows the light on each pixel, scaled by the last pair (Shanno and Phua). As the step of length 1 is
nearly always good, no line search is made: a step that does not lower the loss enough is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.descent import Descent, Memory, Outcome
from ptyxrf.driver.line_search import search_step
from ptyxrf.kernels.vectors import add_combination

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
        self._products = np.zeros((MEMORY, MEMORY))  # s_i . y_j
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

    def keep(self, row: int, step_changes: NDArray, steps_change: NDArray, scale: float) -> None:
        """Keep the pair in `row`, given its step . all changes and all steps . its change."""
        self._products[row, :] = step_changes
        self._products[:, row] = steps_change
        self._order.append(row)
        self.scale = scale

    def first(self, along: NDArray) -> NDArray[np.float64]:
        """Return a: the first loop takes sum_i a_i y_i from a vector with steps . vector = along."""
        a = np.zeros(MEMORY)
        for i in reversed(self._order):
            a[i] = (along[i] - self._products[i] @ a) / self._products[i, i]
        return a

    def second(self, a: NDArray, along: NDArray) -> NDArray[np.float64]:
        """Return c: the second loop adds sum_i c_i s_i to a vector with changes . vector = along."""
        c = np.zeros(MEMORY)
        for i in self._order:
            c[i] = a[i] - (along[i] + c @ self._products[:, i]) / self._products[i, i]
        return c


@dataclass(frozen=True)
class _Step:
    vector: NDArray[Any]
    value: float
    gradient: NDArray[Any]
    norm: float
    length: float


class QuasiNewton(Descent):
    """Limited-memory BFGS; an iteration is some steps of it. Parameters as of `Descent`."""

    _pairs: Pairs | None = None

    def _forget(self) -> None:
        if self._pairs is not None:
            self._pairs.clear()

    def _memory(self) -> Memory:
        return Memory() if self._pairs is None else self._pairs.state()

    def _recall(self, memory: Memory, vector: NDArray) -> None:
        if memory.numbers:
            self._pairs = Pairs(len(vector), vector.dtype)
            self._pairs.restore(memory)

    def _improve(
        self,
        vector: NDArray,
        value: float,
        gradient: NDArray,
        free: NDArray[np.bool_] | None,
        limit: int,
    ) -> Outcome | None:
        if self._pairs is None:
            self._pairs = Pairs(len(vector), vector.dtype)
        taken, length, restarts = 0, 0.0, 0
        while taken < limit and (taken == 0 or self._sweeps() < self.options.max_sweeps):
            fresh = not self._pairs
            step = self._step(vector, value, gradient, free, self._pairs)
            if step is None and not fresh:
                # what is kept has led astray: begin again with the preconditioned gradient
                self._pairs.clear()
                restarts += 1
                self.problem.value_and_gradient(vector)
                step = self._step(vector, value, gradient, free, self._pairs)
            if step is None:
                self.problem.value_and_gradient(vector)
                break
            self._learn(self._pairs, vector, gradient, step)
            vector, value, gradient, length = step.vector, step.value, step.gradient, step.length
            free = self._free(vector, gradient)
            taken += 1
            if step.norm <= self._small:
                break
        if taken == 0:
            return None
        note = "quasi-Newton" + (", begun again" if restarts else "")
        return Outcome(vector, value, gradient, length, taken, note)

    def _direction(
        self, gradient: NDArray, free: NDArray[np.bool_] | None, pairs: Pairs
    ) -> tuple[NDArray[Any], float]:
        """Return minus the approximate inverse Hessian times the gradient, and its slope."""
        problem = self.problem
        residual = -gradient if free is None else -gradient * free
        if not pairs:
            direction = problem.precondition(residual, free)
            return direction, -float(problem.dot(residual, direction))
        (along,) = problem.dots((pairs.steps, residual))
        a = pairs.first(along)
        rest = residual.copy()
        add_combination(-a, pairs.changes, rest)
        direction = problem.precondition(rest, free)
        direction *= direction.dtype.type(pairs.scale)
        across, slope = problem.dots((pairs.changes, direction), (residual[None], direction))
        c = pairs.second(a, across)
        add_combination(c, pairs.steps, direction)
        if free is not None:
            direction *= free
        return direction, -float(slope[0] + c @ along)

    def _step(
        self,
        vector: NDArray,
        value: float,
        gradient: NDArray,
        free: NDArray[np.bool_] | None,
        pairs: Pairs,
    ) -> _Step | None:
        """Return a step that lowers the loss, or None."""
        problem = self.problem
        direction, slope = self._direction(gradient, free, pairs)
        if not np.isfinite(slope):
            self._rejected += 1
            return None
        longest = np.inf
        if free is not None:
            longest = self._within_bounds(vector, direction)
            slope = float(problem.dot(gradient, direction))
        if not slope < 0:
            return None
        length = 1.0
        if not pairs:
            length = search_step(problem, direction, value, longest).length
        for _ in range(CUTS if length > 0 else 0):
            trial = self._moved(vector, direction, length)
            trial_value, trial_gradient = problem.value_and_gradient(trial)
            rise = trial_value - value
            if np.isfinite(rise) and rise < SUFFICIENT * length * slope:
                norm = np.sqrt(problem.dot(trial_gradient, trial_gradient))
                if np.isfinite(norm):
                    return _Step(trial, trial_value, trial_gradient, norm, length)
                rise = np.inf
            self._rejected += not np.isfinite(rise)
            # the minimum of the parabola through value, slope and the value that was found
            cut = -0.5 * length * slope / (rise - length * slope) if np.isfinite(rise) else SHORTEST
            length *= min(max(cut, SHORTEST), LONGEST)
        return None

    def _learn(self, pairs: Pairs, vector: NDArray, gradient: NDArray, step: _Step) -> None:
        """Keep the pair of a step, if the curvature along it is positive."""
        row = pairs.room()
        s, y = pairs.steps[row], pairs.changes[row]
        np.subtract(step.vector, vector, out=s)
        np.subtract(step.gradient, gradient, out=y)
        conditioned = self.problem.precondition(y, None)
        step_changes, steps_change, (ss,), (yy,), (scaled,) = self.problem.dots(
            (pairs.changes, s), (pairs.steps, y), (s[None], s), (y[None], y), (y[None], conditioned)
        )
        curvature = steps_change[row]
        if curvature > CURVED * np.sqrt(ss * yy) and scaled > 0 and np.isfinite(curvature / scaled):
            pairs.keep(row, step_changes, steps_change, curvature / scaled)
