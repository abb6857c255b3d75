"""What the solvers share: outer iterations, bounds, when to stop, what is reported.

They see value and gradient, Hessian product with the dots of the step, precondition, dots, losses along a
line and bounds: neither physics nor ranks (see `Problem`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.solver.problem import Problem

#: Sweeps that an iteration takes besides its inner steps: a gradient and a line search.
SEARCH_SWEEPS = 2


@dataclass(frozen=True)
class SolverOptions:
    """When to stop, and how hard to try inside.

    Attributes
    ----------
    max_iterations : int
        Most outer iterations.
    max_sweeps, max_seconds : float
        Budgets; an iteration that has begun is finished, with its inner solve cut to what is left.
    inner_limit : int
        Most steps inside an iteration: Hessian products of an inner solve, or quasi-Newton steps.
    model_tolerance : float
        Nash and Sofer's test of the inner solve of truncated Newton; 0: off.
    residual_tolerance : float
        Relative residual at which that inner solve stops.
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
        How the iteration ended, and what else happened.
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


@dataclass(frozen=True)
class Outcome:
    """A lower point that an iteration has found.

    Attributes
    ----------
    vector, value, gradient
        The point, also the one that the problem remembers.
    free : array of bool or None
        What may move from there.
    norm : float
        Of the gradient where it is free.
    length : float
        Of the last step.
    steps : int
        Inner steps.
    note : str
    """

    vector: NDArray[Any]
    value: float
    gradient: NDArray[Any]
    free: NDArray[np.bool_] | None
    norm: float
    length: float
    steps: int
    note: str


@dataclass(frozen=True)
class Memory:
    """What a solver remembers from one iteration to the next.

    Attributes
    ----------
    numbers : dict
        Of numbers and lists of them.
    vectors : dict
        Vectors like the point, by name.
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    vectors: dict[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """Where a descent stands after an iteration: what it needs to go on as if it had never stopped.

    Attributes
    ----------
    number : int
        Of the iteration.
    vector : array
        The point.
    first_norm : float
        Gradient norm to which that of the stop is relative.
    slow : int
        Iterations running in which the loss hardly fell.
    settled : Reason or None
        Why there is nothing more to gain.
    seconds : float
        Since the start.
    memory : Memory
        Of the solver. Its arrays change as the descent goes on.
    """

    number: int
    vector: NDArray[Any]
    first_norm: float
    slow: int
    settled: Reason | None
    seconds: float
    memory: Memory


class Descent(ABC):
    """Minimise a problem from its start.

    Parameters
    ----------
    problem : Problem
    options : SolverOptions
    sweeps : callable
        Returns the sweeps done so far.
    report : callable
        Given each `Iteration`; a true answer stops the solver.
    prepare : callable, optional
        Called with the number of an iteration before it begins, and False; or with True instead of stopping
        where there is nothing more to gain. A true answer says that the problem has changed (another
        unknown is free): it is evaluated again, and the solver goes on.
    pause : callable, optional
        Given the `Standing` after each iteration; what it raises ends the descent.
    """

    def __init__(
        self,
        problem: Problem,
        options: SolverOptions,
        sweeps: Callable[[], float],
        report: Callable[[Iteration], Any],
        prepare: Callable[[int, bool], bool] | None = None,
        pause: Callable[[Standing], None] | None = None,
    ) -> None:
        self.problem, self.options = problem, options
        self._sweeps, self._report = sweeps, report
        self._prepare = prepare or (lambda number, converged: False)
        self._pause = pause or (lambda standing: None)
        self._bounded = problem.nonnegative if options.nonnegative else slice(0, 0)
        # a rank may own none of the bounded numbers, and has to take part in what the others do all the same
        self._has_bounds = problem.any(self._bounded.start != self._bounded.stop)
        self._rejected = 0  # directions and steps of this iteration that were not finite
        self._small = 0.0  # gradient norm that ends the descent

    @abstractmethod
    def _improve(
        self,
        vector: NDArray,
        value: float,
        gradient: NDArray,
        free: NDArray[np.bool_] | None,
        limit: int,
    ) -> Outcome | None:
        """Return a point of lower loss after at most `limit` inner steps, or None where none was found."""

    def _forget(self) -> None:
        """Take note that the problem is another one from now on."""
        return

    def _memory(self) -> Memory:
        """Return what the solver needs at the next iteration besides the point."""
        return Memory()

    def _recall(self, memory: Memory, vector: NDArray) -> None:
        """Take what `_memory` gave at a point."""
        return

    def _free(self, vector: NDArray, gradient: NDArray) -> NDArray[np.bool_] | None:
        """Return which variables may move: all but those at their bound whose gradient pushes against it."""
        where = self._bounded
        if not self._has_bounds:
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

    def run(self, start: NDArray, standing: Standing | None = None) -> tuple[NDArray[Any], Reason]:
        """Minimise from a start.

        Parameters
        ----------
        start : array
        standing : Standing, optional
            Where an earlier descent stood: this one goes on from there, and the start is not used.

        Returns
        -------
        vector : array
            The last accepted point.
        reason : Reason
            Why the solver stopped there.
        """
        options, problem = self.options, self.problem
        clock = time.perf_counter
        began = clock() - (0.0 if standing is None else standing.seconds)
        if standing is not None:
            vector, settled = standing.vector, standing.settled
            self._recall(standing.memory, vector)
            first_norm, number, slow = standing.first_norm, standing.number, standing.slow
            value, gradient = problem.value_and_gradient(vector)
            free = self._free(vector, gradient)
            if not (np.isfinite(value) and np.isfinite(self._norm(gradient, free))):
                return vector, Reason.NON_FINITE
        else:
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
            number, slow, settled = 0, 0, Reason.STATIONARY if norm == 0 else None
            self._pause(Standing(0, vector, first_norm, 0, settled, clock() - began, self._memory()))
        while number < options.max_iterations:
            if self._prepare(number + 1, settled is not None):
                value, gradient = problem.value_and_gradient(vector)
                self._forget()
                free = self._free(vector, gradient)
                norm = self._norm(gradient, free)
                if not (np.isfinite(value) and np.isfinite(norm)):
                    return vector, Reason.NON_FINITE
                first_norm = max(first_norm, norm)
                settled, slow = None, 0
            if settled is not None:
                return vector, settled
            # the clocks of the ranks differ, their decisions may not
            if problem.any(clock() - began >= options.max_seconds):
                return vector, Reason.SECONDS
            self._small = options.gradient_tolerance * first_norm
            limit = int(min(options.inner_limit, options.max_sweeps - self._sweeps() - SEARCH_SWEEPS))
            if limit < 1:
                return vector, Reason.SWEEPS
            self._rejected = 0
            with np.errstate(invalid="ignore", over="ignore"):  # it is tested for, and said
                outcome = self._improve(vector, value, gradient, free, limit)
            if outcome is None:
                settled = Reason.NON_FINITE if self._rejected else Reason.LINE_SEARCH
                continue
            number += 1
            decrease = value - outcome.value
            vector, value, gradient = outcome.vector, outcome.value, outcome.gradient
            free, norm = outcome.free, outcome.norm
            note = outcome.note
            if self._rejected:
                steps = "a step" if self._rejected == 1 else f"{self._rejected} steps"
                note += f", not finite: {steps} rejected"
            seconds = clock() - began
            iteration = Iteration(number, value, norm, outcome.steps, outcome.length, note, seconds, vector)
            if problem.any(bool(self._report(iteration))):
                return vector, Reason.CALLBACK
            slow = slow + 1 if decrease < options.loss_tolerance * abs(value) else 0
            if norm <= self._small:
                settled = Reason.GRADIENT
            elif slow >= options.patience:
                settled = Reason.LOSS
            self._pause(Standing(number, vector, first_norm, slow, settled, seconds, self._memory()))
        return vector, settled or Reason.ITERATIONS
