"""The probe at each position: as it is, or Fourier-shifted by the fraction of the position.

S_j multiplies the spectrum of the probe by exp(-2 pi i (f_r k + f_c l) / m), (k, l) the signed integer
frequencies and (f_r, f_c) the fraction of position j beyond its integer corner: the content moves by
(f_r, f_c) pixels. It is unitary, so its adjoint is the shift back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.fftw.probe_shift import LibraryShifts
from ptyxrf.kernels.fftw.transforms import aligned_zeros, batch_size
from ptyxrf.kernels.implementation import resolve_engine
from ptyxrf.kernels.simd.probe_shift import VectorShifts

#: Vector code keeps one position at a time in cache whatever the batch: a larger one spares calls.
CALLS = 4

SHIFTS: dict[str, type[LibraryShifts] | type[VectorShifts]] = {
    "library": LibraryShifts, "vector": VectorShifts,
}  # fmt: skip


class PositionedProbe:
    """P_jk = S_j P_k for the positions of a rank, directions S_j dP_k, and the adjoint sum_j S_j^*.

    Parameters
    ----------
    fractions : (N, 2) array of float64
        Fraction of each position; where all are 0 there is one version of the probe and no FFT.
    modes, m : int
        K and m.
    dtype : complex64 or complex128
    engine : {"auto", "vector", "library"}
        What transforms; see `ptyxrf.kernels.implementation`.
    keep : bool
        Whether the probe of each position is kept. False: it is made when it is asked for, and is still in
        cache when it is used; better where that happens once for each probe that is set.

    Attributes
    ----------
    stack : (U, K, m, m) array
        The versions of the probe and ``which`` (N,) the one of each position: U = 1 or N, or 0 where they are
        not kept.
    kept : bool
        Whether they are.
    unshifted : (K, m, m) array
        The probe.
    engine : {"vector", "library"}
    batch : int
        How many positions to hand out at a time.
    """

    def __init__(
        self,
        fractions: NDArray[np.float64],
        modes: int,
        m: int,
        dtype: Any,
        engine: str = "auto",
        keep: bool = True,
    ) -> None:
        self.engine = resolve_engine(engine, m)
        self.dtype = np.dtype(dtype)
        self.count, self.modes, self.m = len(fractions), modes, m
        self.integer = not fractions.any()
        self.batch = batch_size(modes, m, self.dtype)
        if self.integer and self.engine == "vector":
            self.batch *= CALLS
        self.kept = keep or self.integer
        self.stack = self._room(1 if self.integer else self.count if keep else 0)
        self.unshifted = np.zeros((modes, m, m), self.dtype)
        self.which = np.zeros(self.count, np.int64) if self.integer else np.arange(self.count)
        self._local = np.zeros(self.batch, np.int64) if self.integer else np.arange(self.batch)
        if not self.integer:
            self._shifts = SHIFTS[self.engine](fractions, modes, m, self.dtype)
            # of a direction, of a sum and of the probe, which live together
            self._moved, self._target = self._room(self.batch), self._room(self.batch)
            self._present = self._room(0 if keep else self.batch)
            self._spectrum = self._shifts.no_sum()
        self._direction: NDArray[Any] = np.zeros((1, modes, m, m), dtype)
        self._sums: list[NDArray[Any]] = []

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

    def adjoint_start(self) -> None:
        """Begin a sum over positions of S_j^* fields_j.

        A sum may be begun and finished while another one is under way.
        """
        self._sums.append(self._room(1) if self.integer else self._shifts.no_sum())

    def adjoint_target(self, first: int, last: int) -> tuple[NDArray, NDArray]:
        """Return (arrays to add the fields of positions first..last-1 to, which of them each one uses)."""
        if self.integer:
            return self._sums[-1], self._local[: last - first]
        fields = self._target[: last - first]
        fields[...] = 0
        return fields, self._local[: last - first]

    def adjoint_add(self, first: int, last: int) -> None:
        """Take what was added to the target of these positions into the sum."""
        if not self.integer:
            self._shifts.add_shifted_back(self._target[: last - first], first, last, self._sums[-1])

    def adjoint_fields(self, fields: NDArray, first: int, last: int) -> None:
        """Take whole (B, K, m, m) fields of these positions into the sum."""
        target, _ = self.adjoint_target(first, last)
        target += fields.sum(axis=0) if self.integer else fields
        self.adjoint_add(first, last)

    def adjoint_finish(self) -> NDArray[Any]:
        """Return the (K, m, m) sum."""
        total = self._sums.pop()
        return total[0] if self.integer else self._shifts.finished(total)
