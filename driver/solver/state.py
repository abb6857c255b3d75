"""The state of a minimisation: what a step takes and returns, and what a checkpoint stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.history import Reason


@dataclass(frozen=True)
class Stored:
    """What a solver remembers from one iteration to the next, in a form that a checkpoint can hold.

    Attributes
    ----------
    numbers : dict
        Numbers, and lists of them.
    vectors : dict
        Vectors like the point, by name; they may be views that the next step changes.
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    vectors: dict[str, NDArray[Any]] = field(default_factory=dict)


class Memory(Protocol):
    """What a solver remembers from one iteration to the next."""

    def stored(self) -> Stored:
        """Return it as numbers and vectors."""


@dataclass(frozen=True)
class State:
    """The state of a minimisation after an iteration (0: at the start).

    Attributes
    ----------
    number : int
        Number of the iteration.
    vector : array
        The point, not to be changed.
    value, gradient
        Loss and gradient there.
    free : array of bool or None
        Variables that no bound holds; None: all.
    norm : float
        Norm of the gradient over the free variables.
    first_norm : float
        Largest norm at which the problem started; the gradient test is relative to it.
    memory : Memory
        What the solver remembers. A step updates it in place: a state is good for one step.
    inner_steps : int
        Steps inside the iteration.
    step : float
        Length of its last step.
    note : str
        How it ended, and what else happened.
    slow : int
        Consecutive iterations in which the loss hardly fell.
    settled : Reason or None
        Why there is nothing left to gain.
    seconds : float
        Since the start.
    """

    number: int
    vector: NDArray[Any]
    value: float
    gradient: NDArray[Any]
    free: NDArray[np.bool_] | None
    norm: float
    first_norm: float
    memory: Memory
    inner_steps: int = 0
    step: float = 0.0
    note: str = "start"
    slow: int = 0
    settled: Reason | None = None
    seconds: float = 0.0

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are finite."""
        return bool(np.isfinite(self.value) and np.isfinite(self.norm))


@dataclass(frozen=True)
class Saved:
    """What of a `State` a checkpoint keeps; value and gradient are computed again from the vector.

    Attributes
    ----------
    vector : array
    number, first_norm, slow, settled, seconds
        See `State`.
    memory : Stored
    """

    vector: NDArray[Any]
    number: int
    first_norm: float
    slow: int
    settled: Reason | None
    seconds: float
    memory: Stored

    @classmethod
    def of(cls, state: State) -> Saved:
        """Return the part of a state that is kept."""
        memory = state.memory.stored()
        return cls(
            state.vector, state.number, state.first_norm, state.slow, state.settled, state.seconds, memory
        )
