"""A preconditioner as the solvers and kernels take it: one over a diagonal, with blocks of the elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.element_blocks import precondition
from ptyxrf.kernels.reductions import BLOCK


@dataclass(frozen=True)
class InverseBlocks:
    """The inverse of a matrix of blocks, for a range of a vector: see `ptyxrf.kernels.element_blocks`.

    Attributes
    ----------
    start : int
        First number of the range, which holds C channels of P pixels.
    inverse : (D, P) array
        One over the diagonals.
    which : (C,) array of int64
        Which of them each channel has.
    coupling : (R, C) array
        K: how each channel enters the parts that several share; 0: it stands alone.
    strength : (R, P) or (1, P) array
        The blocks are K^T diag(strength) K + diag.
    replicated : bool
        Whether every rank holds the same numbers, which count once in dot products.
    """

    start: int
    inverse: NDArray[Any]
    which: NDArray[np.int64]
    coupling: NDArray[Any]
    strength: NDArray[Any]
    replicated: bool = False

    @classmethod
    def diagonal(cls, start: int, inverse: NDArray[Any], *, replicated: bool = False) -> InverseBlocks:
        """Return the inverse of a diagonal matrix."""
        nothing = np.zeros(1, inverse.dtype)
        return cls(start, inverse[None], np.zeros(1, np.int64), nothing[None], nothing[None], replicated)

    @property
    def matrix(self) -> tuple[NDArray[Any], ...]:
        """What the kernels take."""
        return self.inverse, self.which, self.coupling, self.strength

    def scratch(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return what the kernels work in."""
        return (
            np.empty((len(self.which), BLOCK), self.inverse.dtype),
            np.empty((5, BLOCK), self.inverse.dtype),
        )

    def apply(self, source: NDArray, free: NDArray[np.bool_] | None, target: NDArray) -> None:
        """Set the range of a target vector to the inverse times that of a source, 0 where not free."""
        masked = free is not None
        mask = free if free is not None else np.zeros(0, bool)
        precondition(self.start, source, *self.matrix, mask, masked, *self.scratch(), target)
