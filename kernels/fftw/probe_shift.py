"""Shifts of the probe with the transforms of a library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled
from ptyxrf.kernels.fftw.transforms import PatternFourier
from ptyxrf.kernels.probe_shift import MovingShifts


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


@compiled
def tilt_spectra(
    change: NDArray, spectrum: NDArray, moves: NDArray, frequencies: NDArray, row_ramps: NDArray,
    column_ramps: NDArray, fields: NDArray,
) -> None:  # fmt: skip
    """fields[b, k] = (change[k] + f spectrum[k]) * (ramps of b), f = dv - i (dr, dc) . frequencies.

    ``moves`` (B, 3) hold dr, dc and dv of each position.
    """
    count, modes, m, _ = fields.shape
    for b in range(count):
        for k in range(modes):
            for i in range(m):
                out = fields[b, k, i]
                ramp = row_ramps[b, i]
                for l in range(m):  # noqa: E741
                    angle = moves[b, 0] * frequencies[i] + moves[b, 1] * frequencies[l]
                    value = change[k, i, l] + complex(moves[b, 2], -angle) * spectrum[k, i, l]
                    out[l] = ramp * column_ramps[b, l] * value


@compiled
def tilt_spectra_adjoint(
    fields: NDArray, change: NDArray, spectrum: NDArray, moves: NDArray, bend: bool, frequencies: NDArray,
    row_ramps: NDArray, column_ramps: NDArray, total: NDArray, slopes: NDArray,
) -> None:  # fmt: skip
    """total[k] += h, slopes[b] += frequencies . Im(conj(h) spectrum[k]) and Re(conj(h) spectrum[k]).

    h is conj(ramps of b) fields[b, k]; the slopes (B, 3) are derivatives by shifts and log amplitude. With
    `bend`, all is differentiated along the direction of `tilt_spectra`.
    """
    count, modes, m, _ = fields.shape
    for b in range(count):
        along_rows = along_columns = in_amplitude = 0.0
        for k in range(modes):
            for i in range(m):
                ramp = np.conj(row_ramps[b, i])
                for l in range(m):  # noqa: E741
                    h = ramp * np.conj(column_ramps[b, l]) * fields[b, k, i, l]
                    value = spectrum[k, i, l]
                    if bend:
                        angle = moves[b, 0] * frequencies[i] + moves[b, 1] * frequencies[l]
                        value = change[k, i, l] + complex(moves[b, 2], -angle) * value
                        total[k, i, l] += complex(moves[b, 2], angle) * h
                    else:
                        total[k, i, l] += h
                    slope = h.real * value.imag - h.imag * value.real
                    along_rows += frequencies[i] * slope
                    along_columns += frequencies[l] * slope
                    in_amplitude += h.real * value.real + h.imag * value.imag
        slopes[b, 0] += along_rows
        slopes[b, 1] += along_columns
        slopes[b, 2] += in_amplitude


class LibraryShifts(MovingShifts):
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
        self._frequencies = 2 * np.pi * np.fft.fftfreq(m)
        self.place(fractions)

    def place(self, fractions: NDArray[np.float64], gains: NDArray[np.float64] | None = None) -> None:
        """See `MovingShifts.place`."""
        ramps = np.exp(-1j * fractions[:, :, None] * self._frequencies)
        if gains is not None:
            ramps[:, 0] *= gains[:, None]
        self._rows, self._columns = (ramps[:, axis].astype(self.dtype) for axis in (0, 1))

    def _ramps(self, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return self._frequencies, self._rows[first:last], self._columns[first:last]

    def spectrum(self, probe: NDArray) -> NDArray[Any]:
        """Return the spectrum of a (K, m, m) probe, with the 1/m^2 of the inverse transform folded in."""
        return (np.fft.fft2(probe.astype(np.complex128)) / self.m**2).astype(self.dtype)

    def shift(self, spectrum: NDArray, first: int, last: int, fields: NDArray) -> None:
        """Fields (B, K, m, m) = S_j P for the positions first..last-1."""
        ramp_spectra(spectrum, self._rows[first:last], self._columns[first:last], fields)
        self.fourier.backward(fields, fields)

    def shift_tangent(
        self, change: NDArray, spectrum: NDArray, moves: NDArray, first: int, last: int, fields: NDArray
    ) -> None:
        """See `MovingShifts.shift_tangent`."""
        tilt_spectra(change, spectrum, moves, *self._ramps(first, last), fields)
        self.fourier.backward(fields, fields)

    def no_sum(self) -> NDArray[Any]:
        """Return what `add_shifted_back` adds to, empty."""
        return np.zeros((self.modes, self.m, self.m), self.dtype)

    def add_shifted_back(self, fields: NDArray, first: int, last: int, total: NDArray) -> None:
        """Total += sum_j S_j^* fields_j over the positions first..last-1; `fields` are lost."""
        self.fourier.forward(fields, fields)
        ramp_spectra_adjoint(fields, self._rows[first:last], self._columns[first:last], total)

    def add_slopes(
        self, fields: NDArray, change: NDArray, spectrum: NDArray, moves: NDArray, bend: bool, first: int,
        last: int, total: NDArray, slopes: NDArray,
    ) -> None:  # fmt: skip
        """See `MovingShifts.add_slopes`."""
        self.fourier.forward(fields, fields)
        ramps = self._ramps(first, last)
        tilt_spectra_adjoint(fields, change, spectrum, moves, bend, *ramps, total, slopes)

    def finished(self, total: NDArray) -> NDArray[Any]:
        """Return the (K, m, m) sum."""
        # S^* = ifft2 conj(ramp) fft2: the ramps and fft2 are done, batch by batch
        return np.fft.ifft2(total.astype(np.complex128)).astype(self.dtype)
