"""Shifts of the probe with the transforms of a library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled
from ptyxrf.kernels.fftw.transforms import PatternFourier


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


class LibraryShifts:
    """S_j and its adjoint for fields of any size.

    Parameters
    ----------
    fractions : (N, 2) array of float64
    modes, m : int
    dtype : complex64 or complex128
    batch : int
        Most positions at a time.
    """

    def __init__(self, fractions: NDArray[np.float64], modes: int, m: int, dtype: Any, batch: int) -> None:
        self.modes, self.m, self.dtype = modes, m, np.dtype(dtype)
        self.fourier = PatternFourier(modes, m, self.dtype, batch)
        frequencies = np.fft.fftfreq(m)
        ramps = np.exp(-2j * np.pi * fractions[:, :, None] * frequencies).astype(dtype)
        self._rows, self._columns = (np.ascontiguousarray(ramps[:, axis]) for axis in (0, 1))

    def spectrum(self, probe: NDArray) -> NDArray[Any]:
        """Return the spectrum of a (K, m, m) probe, with the 1/m^2 of the inverse transform folded in."""
        return (np.fft.fft2(probe.astype(np.complex128)) / self.m**2).astype(self.dtype)

    def shift(self, spectrum: NDArray, first: int, last: int, fields: NDArray) -> None:
        """Fields (B, K, m, m) = S_j P for the positions first..last-1."""
        ramp_spectra(spectrum, self._rows[first:last], self._columns[first:last], fields)
        self.fourier.backward(fields, fields)

    def no_sum(self) -> NDArray[Any]:
        """Return what `add_shifted_back` adds to, empty."""
        return np.zeros((self.modes, self.m, self.m), self.dtype)

    def add_shifted_back(self, fields: NDArray, first: int, last: int, total: NDArray) -> None:
        """Total += sum_j S_j^* fields_j over the positions first..last-1; `fields` are lost."""
        self.fourier.forward(fields, fields)
        ramp_spectra_adjoint(fields, self._rows[first:last], self._columns[first:last], total)

    def finished(self, total: NDArray) -> NDArray[Any]:
        """Return the (K, m, m) sum."""
        # S^* = ifft2 conj(ramp) fft2: the ramps and fft2 are done, batch by batch
        return np.fft.ifft2(total.astype(np.complex128)).astype(self.dtype)
