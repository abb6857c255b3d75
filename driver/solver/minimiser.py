"""What the solvers share: start, step, reason to stop. The loop belongs to the caller.

    state = minimiser.start(problem.initial)
    while (reason := minimiser.reason(state)) is None:
        state = minimiser.step(state)

A solver sees value and gradient, Hessian product with the dots of the step, preconditioner, dots, losses
along a line and bounds: neither physics nor ranks (see `Problem`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.solver.bounds import Bounds
from ptyxrf.driver.solver.problem import Problem
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.state import Memory, Saved, State, Stored

#: Sweeps that an iteration takes besides its inner steps: a gradient and a line search.
SEARCH_SWEEPS = 2


@dataclass(frozen=True)
class Step:
    """A point of lower loss that an iteration has found: the point last evaluated.

    Attributes
    ----------
    vector, value, gradient, free, norm
        See `State`.
    length : float
        Of the last step.
    inner_steps : int
    note : str
    """

    vector: NDArray[Any]
    value: float
    gradient: NDArray[Any]
    free: NDArray[np.bool_] | None
    norm: float
    length: float
    inner_steps: int = 1
    note: str = ""


class Minimiser(ABC):
    """Minimises a problem, one iteration at a time; all ranks make the same calls."""

    def __init__(self, problem: Problem, settings: SolverSettings, stops: Stops) -> None:
        self.problem, self.settings, self.stops = problem, settings, stops
        self.bounds = Bounds(problem, settings.nonnegative)
        self.most_sweeps = np.inf if stops.max_sweeps is None else stops.max_sweeps
        self._most_seconds = np.inf if stops.max_seconds is None else stops.max_seconds
        self._rejected = 0  # directions and steps of the present iteration that are not finite
        self._began = time.perf_counter()

    # ---------------------------------------------------------------- what a solver adds

    @abstractmethod
    def _memory(self, vector: NDArray, stored: Stored) -> Memory:
        """Return the stored memory, or an empty one if nothing is stored."""

    @abstractmethod
    def _improve(self, state: State, limit: int) -> Step | None:
        """Return a point of lower loss after at most `limit` inner steps, or None where none was found."""

    # ---------------------------------------------------------------- start, step, reason

    def start(self, vector: NDArray) -> State:
        """Evaluate the problem at a start, moved within the bounds."""
        self._began = time.perf_counter()
        vector = self.bounds.moved(vector, np.zeros_like(vector), 0.0)
        state = self._evaluated(vector, self._memory(vector, Stored()))
        settled = Reason.STATIONARY if state.norm == 0 else None
        return replace(state, settled=settled, seconds=self._seconds())

    def restore(self, saved: Saved) -> State:
        """Return the state that a checkpoint has kept; it costs one gradient."""
        self._began = time.perf_counter() - saved.seconds
        state = self._evaluated(saved.vector, self._memory(saved.vector, saved.memory))
        return replace(
            state, number=saved.number, first_norm=saved.first_norm, slow=saved.slow, settled=saved.settled,
            seconds=saved.seconds,
        )  # fmt: skip

    def reset(self, state: State, vector: NDArray | None = None) -> State:
        """Evaluate the problem again where it has changed (another unknown is free), and forget the rest.

        Parameters
        ----------
        state : State
        vector : array, optional
            The point to go on from; default: that of the state.
        """
        vector = state.vector if vector is None else vector
        new = self._evaluated(vector, self._memory(vector, Stored()))
        first_norm = max(state.first_norm, new.norm)
        return replace(
            state, vector=vector, value=new.value, gradient=new.gradient, free=new.free, norm=new.norm,
            memory=new.memory, first_norm=first_norm, slow=0, settled=None, seconds=self._seconds(),
        )  # fmt: skip

    def reason(self, state: State) -> Reason | None:
        """Return why the iteration ends, or None if it continues."""
        stops = self.stops
        if not state.finite:
            return Reason.NON_FINITE
        if state.number >= stops.max_iterations:
            return state.settled or Reason.ITERATIONS
        if state.settled is not None:
            return state.settled
        # the clocks of the ranks differ, but their decisions must not
        if self.problem.any(self._seconds() >= self._most_seconds):
            return Reason.SECONDS
        return Reason.SWEEPS if self._inner_limit() < 1 else None

    def step(self, state: State) -> State:
        """Return the state after an iteration, or the same point with the reason why no step was found."""
        self._rejected = 0
        with np.errstate(invalid="ignore", over="ignore"):  # tested for, and reported in the note
            found = self._improve(state, self._inner_limit())
        if found is None:
            return replace(state, settled=Reason.NON_FINITE if self._rejected else Reason.LINE_SEARCH)
        is_slow = state.value - found.value < self.stops.loss_tolerance * abs(found.value)
        slow = state.slow + 1 if is_slow else 0
        settled = None
        if found.norm <= self._small_norm(state):
            settled = Reason.GRADIENT
        elif slow >= self.stops.patience:
            settled = Reason.LOSS
        note = found.note
        if self._rejected:
            steps = "a step" if self._rejected == 1 else f"{self._rejected} steps"
            note += f", not finite: {steps} rejected"
        return replace(
            state, number=state.number + 1, vector=found.vector, value=found.value, gradient=found.gradient,
            free=found.free, norm=found.norm, inner_steps=found.inner_steps, step=found.length, note=note,
            slow=slow, settled=settled, seconds=self._seconds(),
        )  # fmt: skip

    # ---------------------------------------------------------------- parts

    def _evaluated(self, vector: NDArray, memory: Memory) -> State:
        value, gradient = self.problem.value_and_gradient(vector)
        free = self.bounds.free(vector, gradient)
        norm = self.bounds.norm(gradient, free)
        return State(0, vector, value, gradient, free, norm, norm, memory)

    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _inner_limit(self) -> int:
        left = self.most_sweeps - self.problem.sweeps - SEARCH_SWEEPS
        return int(min(self.settings.steps, left))

    def _small_norm(self, state: State) -> float:
        return self.stops.gradient_tolerance * state.first_norm
