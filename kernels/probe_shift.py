"""The probe at each position: as it is, or Fourier-shifted by the fraction of the position.

S_j multiplies the spectrum of the probe by exp(-2 pi i (f_r k + f_c l) / m), (k, l) the signed integer
frequencies and (f_r, f_c) the fraction of position j beyond its integer corner: the content moves by
(f_r, f_c) pixels. It is unitary, so its adjoint is the shift back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_zeros


class Shifts(Protocol):
    """S_j and its adjoint, as an implementation gives them."""

    def spectrum(self, probe: NDArray) -> NDArray[Any]:
        """Return the spectrum of a (K, m, m) probe, in a layout of its own."""

    def shift(self, spectrum: NDArray, first: int, last: int, fields: NDArray) -> None:
        """Set fields (B, K, m, m) to S_j P for the positions first to last - 1."""

    def no_sum(self) -> NDArray[Any]:
        """Return an empty sum of spectra."""

    def add_shifted_back(self, fields: NDArray, first: int, last: int, total: NDArray) -> None:
        """Add sum_j S_j^* fields_j over these positions to a sum of spectra; the fields are overwritten."""

    def finished(self, total: NDArray) -> NDArray[Any]:
        """Return the (K, m, m) sum."""


class PositionedProbe:
    """P_jk = S_j P_k for the positions of a rank, directions S_j dP_k, and the adjoint sum_j S_j^*.

    Parameters
    ----------
    fractions : (N, 2) array of float64
        Fraction of each position; where all are 0 there is one version of the probe and no FFT.
    modes, m : int
        K and m.
    dtype : complex64 or complex128
    batch : int
        Positions to hand out at a time.
    shifts : Shifts or None
        None: all fractions are 0.
    keep : bool
        Keep the probe of each position. False: it is computed when it is asked for, and is still in cache
        when it is used; better where that happens once for each probe that is set.

    Attributes
    ----------
    stack : (U, K, m, m) array
        The versions of the probe and ``which`` (N,) the one of each position: U = 1 or N, or 0 where they are
        not kept.
    kept : bool
        Whether they are.
    unshifted : (K, m, m) array
        The probe.
    """

    def __init__(
        self,
        fractions: NDArray[np.float64],
        modes: int,
        m: int,
        dtype: Any,
        batch: int,
        shifts: Shifts | None = None,
        keep: bool = True,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.count, self.modes, self.m, self.batch = len(fractions), modes, m, batch
        self.integer = shifts is None
        self.kept = keep or self.integer
        self.stack = self._room(1 if self.integer else self.count if keep else 0)
        self.unshifted = np.zeros((modes, m, m), self.dtype)
        self.which = np.zeros(self.count, np.int64) if self.integer else np.arange(self.count)
        self._local = np.zeros(self.batch, np.int64) if self.integer else np.arange(self.batch)
        if shifts is not None:
            self._shifts = shifts
            # of a direction, of a sum and of the probe, which are in use together
            self._moved, self._target = self._room(self.batch), self._room(self.batch)
            self._present = self._room(0 if keep else self.batch)
            self._spectrum = shifts.no_sum()
        self._direction: NDArray[Any] = np.zeros((1, modes, m, m), dtype)

    def _room(self, versions: int) -> NDArray[Any]:
        return aligned_zeros((versions, self.modes, self.m, self.m), self.dtype)

    def set(self, probe: NDArray) -> None:
        """Take a new (K, m, m) probe."""
        self.unshifted[...] = probe
        if self.integer:
            self.stack[0] = probe
            return
        self._spectrum = self._shifts.spectrum(probe)
        for first in range(0, self.count if self.kept else 0, self.batch):
            last = min(first + self.batch, self.count)
            self._shifts.shift(self._spectrum, first, last, self.stack[first:last])

    def batches(self) -> Iterator[tuple[int, int]]:
        """Yield the first position and one beyond the last of each batch, in order."""
        for first in range(0, self.count, self.batch):
            yield first, min(first + self.batch, self.count)

    def versions(self, first: int, last: int) -> tuple[NDArray, NDArray]:
        """Return (versions of the probe, which of them each of the positions first..last-1 uses).

        At most a batch of positions; where versions are not kept, they are good until the next call.
        """
        if self.kept:
            return self.stack, self.which[first:last]
        fields = self._present[: last - first]
        self._shifts.shift(self._spectrum, first, last, fields)
        return fields, self._local[: last - first]

    def set_direction(self, direction: NDArray) -> None:
        """Take a (K, m, m) change dP, to be positioned batch by batch."""
        if self.integer:
            self._direction = direction[None].astype(self.dtype)
        else:
            self._direction = self._shifts.spectrum(direction)

    def direction(self, first: int, last: int) -> tuple[NDArray, NDArray]:
        """Return (versions of S_j dP, which of them each of the positions first..last-1 uses)."""
        if self.integer:
            return self._direction, self._local[: last - first]
        fields = self._moved[: last - first]
        self._shifts.shift(self._direction, first, last, fields)
        return fields, self._local[: last - first]

    def adjoint(self) -> AdjointSum:
        """Return an empty sum over positions of S_j^* fields_j."""
        return AdjointSum(self)


class AdjointSum:
    """sum_j S_j^* fields_j, a batch of positions at a time.

    Parameters
    ----------
    probe : PositionedProbe
    """

    def __init__(self, probe: PositionedProbe) -> None:
        self._probe = probe
        self._sum = probe._room(1) if probe.integer else probe._shifts.no_sum()

    def target(self, first: int, last: int) -> tuple[NDArray, NDArray]:
        """Return (arrays to add the fields of positions first..last-1 to, which of them each one uses)."""
        slots = self._probe._local[: last - first]
        if self._probe.integer:
            return self._sum, slots
        fields = self._probe._target[: last - first]
        fields[...] = 0
        return fields, slots

    def add(self, first: int, last: int) -> None:
        """Add the target of these positions to the sum."""
        probe = self._probe
        if not probe.integer:
            probe._shifts.add_shifted_back(probe._target[: last - first], first, last, self._sum)

    def add_fields(self, fields: NDArray, first: int, last: int) -> None:
        """Add whole (B, K, m, m) fields of these positions to the sum."""
        target, _ = self.target(first, last)
        target += fields.sum(axis=0) if self._probe.integer else fields
        self.add(first, last)

    def total(self) -> NDArray[Any]:
        """Return the (K, m, m) sum."""
        return self._sum[0] if self._probe.integer else self._probe._shifts.finished(self._sum)
