"""The probe at each position: as it is, or Fourier-shifted by the fraction of the position.

S_j multiplies the spectrum of the probe by exp(-2 pi i (f_r k + f_c l) / m), (k, l) the signed integer
frequencies and (f_r, f_c) the fraction of position j beyond its integer corner: the content moves by
(f_r, f_c) pixels. It is unitary, so its adjoint is the shift back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled
from ptyxrf.kernels.fourier import PatternFourier, aligned_zeros


@compiled
def ramp_spectra(spectrum: NDArray, row_ramps: NDArray, column_ramps: NDArray, fields: NDArray) -> None:
    """fields[b, k] = spectrum[k] * (row_ramps[b] outer column_ramps[b])."""
    count, modes, m, _ = fields.shape
    for b in range(count):
        for k in range(modes):
            for i in range(m):
                source = spectrum[k, i]
                out = fields[b, k, i]
                ramp = row_ramps[b, i]
                for l in range(m):  # noqa: E741
                    out[l] = ramp * column_ramps[b, l] * source[l]


@compiled
def ramp_spectra_adjoint(
    fields: NDArray, row_ramps: NDArray, column_ramps: NDArray, spectrum: NDArray
) -> None:
    """Adjoint of `ramp_spectra`: spectrum[k] += sum_b conj(ramps of b) * fields[b, k]."""
    count, modes, m, _ = fields.shape
    for b in range(count):
        for k in range(modes):
            for i in range(m):
                target = spectrum[k, i]
                source = fields[b, k, i]
                ramp = np.conj(row_ramps[b, i])
                for l in range(m):  # noqa: E741
                    target[l] += ramp * np.conj(column_ramps[b, l]) * source[l]


class PositionedProbe:
    """P_jk = S_j P_k for the positions of a rank, directions S_j dP_k, and the adjoint sum_j S_j^*.

    Parameters
    ----------
    fractions : (N, 2) array of float64
        Fraction of each position; where all are 0 there is one version of the probe and no FFT.
    modes, m : int
        K and m.
    dtype : complex64 or complex128

    Attributes
    ----------
    stack : (U, K, m, m) array
        The versions of the probe (U = 1 or N) and ``which`` (N,) the one of each position.
    """

    def __init__(self, fractions: NDArray[np.float64], modes: int, m: int, dtype: np.dtype) -> None:
        self.fourier = PatternFourier(modes, m, dtype)
        self.dtype = np.dtype(dtype)
        self.count, self.modes, self.m = len(fractions), modes, m
        self.integer = not fractions.any()
        versions = 1 if self.integer else self.count
        self.stack = aligned_zeros((versions, modes, m, m), dtype)
        self.which = np.zeros(self.count, np.int64) if self.integer else np.arange(self.count)
        self._local = (
            np.zeros(self.fourier.batch, np.int64) if self.integer else np.arange(self.fourier.batch)
        )
        if not self.integer:
            frequencies = np.fft.fftfreq(m)
            ramps = np.exp(-2j * np.pi * fractions[:, :, None] * frequencies).astype(dtype)
            self._rows, self._columns = (np.ascontiguousarray(ramps[:, axis]) for axis in (0, 1))
            self._fields = self.fourier.buffer()
        self._direction: NDArray[Any] = np.zeros((1, modes, m, m), dtype)
        self._sums: list[NDArray[Any]] = []

    def _spectrum(self, probe: NDArray) -> NDArray[Any]:
        """Return the spectrum, with the 1/m^2 of the inverse transform folded in."""
        transformed = np.fft.fft2(probe.astype(np.complex128)) / self.m**2
        return transformed.astype(self.dtype)

    def _shift(self, spectrum: NDArray, first: int, last: int, fields: NDArray) -> None:
        ramp_spectra(spectrum, self._rows[first:last], self._columns[first:last], fields)
        self.fourier.backward(fields, fields)

    def set(self, probe: NDArray) -> None:
        """Take a new (K, m, m) probe."""
        if self.integer:
            self.stack[0] = probe
            return
        spectrum = self._spectrum(probe)
        for first in range(0, self.count, self.fourier.batch):
            last = min(first + self.fourier.batch, self.count)
            self._shift(spectrum, first, last, self.stack[first:last])

    def set_direction(self, direction: NDArray) -> None:
        """Take a (K, m, m) change dP, to be positioned batch by batch."""
        self._direction = direction[None].astype(self.dtype) if self.integer else self._spectrum(direction)

    def direction(self, first: int, last: int) -> tuple[NDArray, NDArray]:
        """Return (versions of S_j dP, which of them each of the positions first..last-1 uses)."""
        if self.integer:
            return self._direction, self._local[: last - first]
        fields = self._fields[: last - first]
        self._shift(self._direction, first, last, fields)
        return fields, self._local[: last - first]

    def adjoint_start(self) -> None:
        """Begin a sum over positions of S_j^* fields_j.

        A sum may be begun and finished while another one is under way.
        """
        self._sums.append(np.zeros((1, self.modes, self.m, self.m), self.dtype))

    def adjoint_target(self, first: int, last: int) -> tuple[NDArray, NDArray]:
        """Return (arrays to add the fields of positions first..last-1 to, which of them each one uses)."""
        if self.integer:
            return self._sums[-1], self._local[: last - first]
        fields = self._fields[: last - first]
        fields[...] = 0
        return fields, self._local[: last - first]

    def adjoint_add(self, first: int, last: int) -> None:
        """Take what was added to the target of these positions into the sum."""
        if not self.integer:
            fields = self._fields[: last - first]
            self.fourier.forward(fields, fields)
            ramp_spectra_adjoint(fields, self._rows[first:last], self._columns[first:last], self._sums[-1][0])

    def adjoint_fields(self, fields: NDArray, first: int, last: int) -> None:
        """Take whole (B, K, m, m) fields of these positions into the sum."""
        target, _ = self.adjoint_target(first, last)
        target += fields.sum(axis=0) if self.integer else fields
        self.adjoint_add(first, last)

    def adjoint_finish(self) -> NDArray[Any]:
        """Return the (K, m, m) sum."""
        (total,) = self._sums.pop()
        if self.integer:
            return total
        # S^* = ifft2 conj(ramp) fft2: the ramps and fft2 are done, batch by batch
        return np.fft.ifft2(total.astype(np.complex128)).astype(self.dtype)
