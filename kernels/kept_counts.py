"""Patterns kept as the counts they are, two bytes a pixel: their roots are taken where they are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled_exactly

#: What counts are kept as, and the value that marks a masked pixel: others are smaller.
KEPT = np.uint16
MASKED = int(np.iinfo(KEPT).max)


@compiled_exactly
def take_roots(counts: NDArray, unit: float, faint: float, amplitudes: NDArray) -> None:
    """Set flat amplitudes to sqrt(counts) unit, or sqrt(counts unit^2 + faint), and to -1 under the mask."""
    real = amplitudes.dtype.type
    masked = real(-1)
    for i in range(len(counts)):
        root = np.sqrt(real(counts[i])) * unit
        amplitudes[i] = masked if counts[i] == MASKED else root
    if faint > 0:
        for i in range(len(counts)):
            root = amplitudes[i]
            amplitudes[i] = np.sqrt(root * root + faint) if root >= 0 else masked


class KeptCounts:
    """Amplitudes (N, ...) of patterns that are kept as counts: sliced as an array of amplitudes is.

    The amplitudes are the same to the last bit, as the root of a count is rounded once in any precision.

    Parameters
    ----------
    values : (N, ...) array of uint16
        Counts; `MASKED` under the mask.
    dtype : float32 or float64
        Of the amplitudes.

    Attributes
    ----------
    values
        As given; a term may order them anew.
    unit : real
        Factor of the roots.
    faint : real
        What is added to the square of each amplitude.
    """

    def __init__(self, values: NDArray[Any], dtype: Any) -> None:
        self.values, self.dtype = values, np.dtype(dtype)
        self.unit, self.faint = self.dtype.type(1), self.dtype.type(0)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the amplitudes."""
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        counts = self.values[index]
        amplitudes = np.empty(counts.shape, self.dtype)
        take_roots(counts.reshape(-1), self.unit, self.faint, amplitudes.reshape(-1))
        return amplitudes

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[j] for j in range(len(self)))
