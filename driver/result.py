"""What a reconstruction returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.history import IterationRecord, Reason


@dataclass
class Result:
    """The reconstructed object, element maps and probe, and how they came about.

    Attributes
    ----------
    object : (n_rows, n_cols) array of complex
        z = x + i y.
    elements : (N_e, n_rows, n_cols) array of float
        w_e; N_e = 0 for ptychography alone.
    probe : (K, m, m) array of complex
        Refined, or as given.
    history : list of IterationRecord
        The start, then one record per outer iteration.
    reason : Reason
        Why the solver stopped.
    method : str
        "joint", "ptychography" or "fluorescence".
    settings : dict
        Everything that was set, as plain numbers and strings, and what was derived from it (alpha).
    predicted_fluorescence : array of float, optional
        A_e w_e + B_e, of the shape of the scan's fluorescence.
    pattern_misfit : (N,) array of float, optional
        1/2 || M_j (|psi_j| - b_j) ||^2 for each position.
    """

    object: NDArray[Any]
    elements: NDArray[Any]
    probe: NDArray[Any]
    history: list[IterationRecord]
    reason: Reason
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    predicted_fluorescence: NDArray[np.float64] | None = None
    pattern_misfit: NDArray[np.float64] | None = None

    def gather(self) -> Result:
        """Return the result with global arrays on every rank; on one rank it has them already."""
        return self

    @property
    def loss(self) -> float:
        """Loss at the end."""
        return self.history[-1].loss

    def __repr__(self) -> str:
        return (
            f"<Result: {self.method}, object {self.object.shape[0]} x {self.object.shape[1]}, "
            f"{len(self.elements)} elements, {self.history[-1].iteration} iterations, loss {self.loss:.6g}: "
            f"{self.reason.value}>"
        )
