"""Truncated Newton: outer iterations, inner conjugate gradients, line search, bounds, records.

It sees value and gradient, Hessian product with the dots of the step, precondition, dot, losses along a
line and bounds: neither physics nor ranks (see `Problem`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.conjugate_gradients import Problem, newton_direction
from ptyxrf.driver.history import Reason
from ptyxrf.driver.line_search import search_step

#: A step that fails to lower the loss is cut by this factor, this many times.
BACKTRACK, BACKTRACKS = 0.25, 6

#: A step shorter than this says that too much of the direction was lost at the bounds: from then on the inner
#: solve takes twice as many rounds. Early on one round does, and more would be wasted.
SHORT_STEP, MOST_ROUNDS = 0.5, 8


@dataclass(frozen=True)
class NewtonOptions:
    """When to stop, and how hard to try inside.

    Attributes
    ----------
    max_iterations : int
        Most outer iterations.
    max_sweeps, max_seconds : float
        Budgets; an iteration that has begun is finished, with its inner solve cut to what is left.
    inner_limit : int
        Most products in an inner solve.
    model_tolerance : float
        Nash and Sofer's test of the inner solve; 0: off.
    residual_tolerance : float
        Relative residual at which the inner solve stops.
    gradient_tolerance : float
        Stop when the gradient norm is this fraction of the first; 0: off.
    loss_tolerance : float
        Stop when the loss falls by less than this fraction in each of `patience` iterations; 0: off.
    patience : int
    nonnegative : bool
        Hold the problem's `nonnegative` variables at 0 or above.
    """

    max_iterations: int = 100
    max_sweeps: float = np.inf
    max_seconds: float = np.inf
    inner_limit: int = 15
    model_tolerance: float = 0.5
    residual_tolerance: float = 1e-3
    gradient_tolerance: float = 1e-6
    loss_tolerance: float = 1e-4
    patience: int = 3
    nonnegative: bool = True


@dataclass(frozen=True)
class Iteration:
    """What the solver reports after an outer iteration (0: the start).

    Attributes
    ----------
    number : int
    value : float
        Loss.
    gradient_norm : float
        Without the components that a bound holds.
    inner_steps : int
    step : float
        Step length.
    note : str
        How the inner solve ended, and what else happened.
    seconds : float
        Since the start.
    vector : array
        The point, not to be changed.
    """

    number: int
    value: float
    gradient_norm: float
    inner_steps: int
    step: float
    note: str
    seconds: float
    vector: NDArray[Any]


class TruncatedNewton:
    """Minimise a problem from its start.

    Parameters
    ----------
    problem : Problem
    options : NewtonOptions
    sweeps : callable
        Returns the sweeps done so far.
    report : callable
        Given each `Iteration`; a true answer stops the solver.
    prepare : callable, optional
        Called with the number of an iteration before it begins, and False; or with True instead of stopping
        where there is nothing more to gain. A true answer says that the problem has changed (another
        unknown is free): it is evaluated again, and the solver goes on.
    """

    def __init__(
        self,
        problem: Problem,
        options: NewtonOptions,
        sweeps: Callable[[], float],
        report: Callable[[Iteration], Any],
        prepare: Callable[[int, bool], bool] | None = None,
    ) -> None:
        self.problem, self.options = problem, options
        self._sweeps, self._report = sweeps, report
        self._prepare = prepare or (lambda number, converged: False)
        self._bounded = problem.nonnegative if options.nonnegative else slice(0, 0)

    def _free(self, vector: NDArray, gradient: NDArray) -> NDArray[np.bool_] | None:
        """Return which variables may move: all but those at their bound whose gradient pushes against it."""
        where = self._bounded
        if where.start == where.stop:
            return None
        free = np.ones(len(vector), bool)
        free[where] = (vector[where] > 0) | (gradient[where] < 0)
        return free

    def _within_bounds(self, vector: NDArray, direction: NDArray) -> float:
        """Cut a direction so that a full step ends within the bounds; return the longest step that does."""
        where = self._bounded
        np.maximum(direction[where], -vector[where], out=direction[where])
        downward = direction[where] < 0
        room = vector[where][downward] / -direction[where][downward]
        return max(1.0, self.problem.smallest(float(room.min(initial=np.inf))))

    def _moved(self, vector: NDArray, direction: NDArray, length: float) -> NDArray[Any]:
        moved = vector + vector.dtype.type(length) * direction
        bounded = moved[self._bounded]
        np.maximum(bounded, 0, out=bounded)  # rounding may step below by one unit in the last place
        return moved

    def _norm(self, gradient: NDArray, free: NDArray[np.bool_] | None) -> float:
        held = gradient if free is None else gradient * free
        return float(np.sqrt(self.problem.dot(held, held)))

    def run(self, start: NDArray) -> tuple[NDArray[Any], Reason]:
        """Return the last accepted point and why the solver stopped there."""
        options, problem = self.options, self.problem
        clock = time.perf_counter
        began = clock()
        vector = self._moved(start, np.zeros_like(start), 0.0)
        self._prepare(0, False)
        value, gradient = problem.value_and_gradient(vector)
        free = self._free(vector, gradient)
        norm = first_norm = self._norm(gradient, free)
        start_report = Iteration(0, value, norm, 0, 0.0, "start", clock() - began, vector)
        if problem.any(bool(self._report(start_report))):
            return vector, Reason.CALLBACK
        if not (np.isfinite(value) and np.isfinite(norm)):
            return vector, Reason.NON_FINITE
        settled = Reason.STATIONARY if norm == 0 else None
        number, slow, rounds = 0, 0, 1
        while number < options.max_iterations:
            if self._prepare(number + 1, settled is not None):
                value, gradient = problem.value_and_gradient(vector)
                free = self._free(vector, gradient)
                first_norm = max(first_norm, self._norm(gradient, free))
                settled, slow = None, 0
            if settled is not None:
                return vector, settled
            # the clocks of the ranks differ, their decisions may not
            if problem.any(clock() - began >= options.max_seconds):
                return vector, Reason.SECONDS
            # a gradient and a line search follow the inner solve
            affordable = options.max_sweeps - self._sweeps() - 2
            if affordable < 1:
                return vector, Reason.SWEEPS
            direction = newton_direction(
                problem,
                vector,
                gradient,
                self._bounded,
                limit=int(min(options.inner_limit, affordable)),
                model_tolerance=options.model_tolerance,
                residual_tolerance=options.residual_tolerance,
                rounds=rounds,
            )
            outcome = self._advance(vector, value, gradient, free, direction.vector)
            if outcome is None:
                broken = problem.any(not np.isfinite(direction.vector).all())
                settled = Reason.NON_FINITE if broken else Reason.LINE_SEARCH
                continue
            number += 1
            decrease = value - outcome.value
            vector, value, gradient = outcome.vector, outcome.value, outcome.gradient
            free = self._free(vector, gradient)
            norm = self._norm(gradient, free)
            if outcome.length < SHORT_STEP:
                rounds = min(2 * rounds, MOST_ROUNDS)
            note = direction.stop.value + (f", {outcome.note}" if outcome.note else "")
            iteration = Iteration(
                number, value, norm, direction.steps, outcome.length, note, clock() - began, vector
            )
            if problem.any(bool(self._report(iteration))):
                return vector, Reason.CALLBACK
            slow = slow + 1 if decrease < options.loss_tolerance * abs(value) else 0
            if norm <= options.gradient_tolerance * first_norm:
                settled = Reason.GRADIENT
            elif slow >= options.patience:
                settled = Reason.LOSS
        return vector, settled or Reason.ITERATIONS

    def _advance(
        self,
        vector: NDArray,
        value: float,
        gradient: NDArray,
        free: NDArray[np.bool_] | None,
        direction: NDArray,
    ) -> _Outcome | None:
        """Step along a direction to a lower loss, or along the preconditioned gradient if that fails."""
        problem = self.problem
        for attempt, note in enumerate(("", "gradient step")):
            if attempt:
                # the search along the direction may have moved the remembered point
                problem.value_and_gradient(vector)
                residual = -gradient if free is None else -gradient * free
                direction = problem.precondition(residual, free)
            if problem.any(not np.isfinite(direction).all()):
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
                    return _Outcome(trial, new_value, new_gradient, length, note)
                length *= BACKTRACK
        problem.value_and_gradient(vector)
        return None


@dataclass(frozen=True)
class _Outcome:
    vector: NDArray[Any]
    value: float
    gradient: NDArray[Any]
    length: float
    note: str
