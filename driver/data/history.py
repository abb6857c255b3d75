"""What each iteration reports, and why a reconstruction ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray


class Reason(Enum):
    """Why the solver stopped, as full sentences."""

    GRADIENT = "The gradient fell below the requested fraction of its first norm."
    LOSS = "The loss stopped falling by more than the requested fraction."
    NOISE = "The data are fitted to within their noise: further iterations would fit the noise."
    ITERATIONS = "The requested number of iterations was reached."
    SWEEPS = "The budget of sweeps over the positions was used up."
    SECONDS = "The time budget was used up."
    LINE_SEARCH = "No step along the search direction lowered the loss any further."
    CALLBACK = "The callback asked to stop."
    STATIONARY = "The start is already stationary: the gradient is zero."
    NON_FINITE = (
        "The loss, its gradient or a direction was not finite: such steps were rejected, and no other "
        "lowered the loss."
    )

    @property
    def converged(self) -> bool:
        """Whether the solver stopped because there was nothing left to gain."""
        return self in (Reason.GRADIENT, Reason.LOSS, Reason.NOISE, Reason.LINE_SEARCH, Reason.STATIONARY)


@dataclass(frozen=True)
class IterationRecord:
    """One line of the history.

    Attributes
    ----------
    iteration : int
        0 is the start.
    loss : float
        Phi, in the units of the data.
    ptychography_loss, fluorescence_loss : float
        Phi_p and Phi_f (with its weights); NaN where the method does not have the modality.
    gradient_norm : float
        Norm of the gradient, without the components that a bound holds.
    inner_steps : int
        Quasi-Newton steps of this iteration, or Hessian products of its inner solve.
    products, gradients : int
        Hessian products and gradients so far.
    sweeps : float
        Sweeps over all positions so far: a gradient or a product is 1, a forward-only pass 1/2.
    step : float
        Step length along the search direction.
    seconds : float
        Since the start of the reconstruction.
    note : str
        How the iteration ended, and what else happened.
    errors : dict
        Errors against the truth, where it is known (see `ptyxrf.driver.reconstruction.accuracy`).
    ptychography_floor : float
        The Phi_p that noise leaves, at the model of the end; the same in every record of a finished
        reconstruction, NaN before and where the noise is not known.
    prior_loss : float
        What the prior of the maps adds; NaN where the method has no maps.
    stage : str
        The method that the iteration belongs to: a joint reconstruction may begin with the others.
    """

    iteration: int
    loss: float
    ptychography_loss: float = math.nan
    fluorescence_loss: float = math.nan
    gradient_norm: float = math.nan
    inner_steps: int = 0
    products: int = 0
    gradients: int = 0
    sweeps: float = 0.0
    step: float = 0.0
    seconds: float = 0.0
    note: str = ""
    errors: dict[str, float] = field(default_factory=dict)
    ptychography_floor: float = math.nan
    prior_loss: float = math.nan
    stage: str = ""


#: Columns of a history.
COLUMNS = tuple(entry.name for entry in fields(IterationRecord) if entry.name not in ("errors", "stage"))


class History(list[IterationRecord]):
    """The records of a reconstruction, with columns: ``history["loss"]``.

    Indices and slices are those of a list; a slice is a history too.
    """

    @overload
    def __getitem__(self, key: SupportsIndex) -> IterationRecord: ...
    @overload
    def __getitem__(self, key: slice) -> History: ...
    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...
    def __getitem__(self, key: SupportsIndex | slice | str) -> Any:
        """Return a record, some records, or a column: a field of the records or the name of an error."""
        if isinstance(key, slice):
            return History(super().__getitem__(key))
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key in COLUMNS:
            return np.array([getattr(record, key) for record in self])
        if any(key in record.errors for record in self):
            return np.array([record.errors.get(key, math.nan) for record in self])
        raise KeyError(f"{key}: expected one of {', '.join(COLUMNS)} or the name of an error")

    def with_floor(self, floor: float) -> History:
        """Return the history with the loss that noise leaves beside the loss of the patterns."""
        return History(replace(record, ptychography_floor=floor) for record in self)

    def to_numpy(self) -> NDArray[Any]:
        """Return the numbers of all records as a structured array, errors included."""
        errors = dict.fromkeys(name for record in self for name in record.errors)
        columns = {name: self[name] for name in (*COLUMNS, *errors) if name != "note"}
        table = np.empty(len(self), [(name, values.dtype) for name, values in columns.items()])
        for name, values in columns.items():
            table[name] = values
        return table


@dataclass
class Work:
    """What was computed so far: a gradient or a product is one sweep, a forward-only pass half of one."""

    gradients: int = 0
    products: int = 0
    forwards: int = 0

    @property
    def sweeps(self) -> float:
        """Sweeps over all positions."""
        return self.gradients + self.products + 0.5 * self.forwards


@dataclass(frozen=True)
class Losses:
    """The loss of each modality, and of the prior of the maps, in the units of the data (NaN: not there)."""

    ptychography: float
    fluorescence: float
    prior: float = math.nan
