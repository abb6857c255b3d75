"""Shifts of the probe in explicit vector code; layouts as in `ptyxrf.kernels.simd.fourier`.

Spectra are kept in the far layout, (K, C, 2, m, W) real numbers, and so are the ramps: of rows (N, 2, C W),
of columns (N, 2, m), in the order of the frequencies there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_empty
from ptyxrf.kernels.compiled import compiled
from ptyxrf.kernels.simd.fourier import (
    FieldPlan,
    VectorPlan,
    backward_field,
    forward_field,
    merge_field,
    split_field,
)
from ptyxrf.kernels.simd.operations import width


@compiled
def shift_probes(
    plan: FieldPlan, spectrum: NDArray, row_ramps: NDArray, column_ramps: NDArray, field: NDArray,
    fields: NDArray,
) -> None:  # fmt: skip
    """fields[b, k] = inverse DFT of spectrum[k] * (row_ramps[b] outer column_ramps[b])."""
    w = width(field)
    m, plane = plan.m, plan.plane
    flat = fields.reshape(-1)
    for b in range(fields.shape[0]):
        for k in range(fields.shape[1]):
            for c in range(plan.chunks):
                rows_re, rows_im = row_ramps[b, 0, c * w : (c + 1) * w], row_ramps[b, 1, c * w : (c + 1) * w]
                for i in range(m):
                    re, im = column_ramps[b, 0, i], column_ramps[b, 1, i]
                    source_re, source_im = spectrum[k, c, 0, i], spectrum[k, c, 1, i]
                    here = plan.chunk * c + i * w
                    out_re, out_im = field[here : here + w], field[here + plane : here + plane + w]
                    for l in range(w):  # noqa: E741
                        ramp_re = re * rows_re[l] - im * rows_im[l]
                        ramp_im = re * rows_im[l] + im * rows_re[l]
                        out_re[l] = ramp_re * source_re[l] - ramp_im * source_im[l]
                        out_im[l] = ramp_re * source_im[l] + ramp_im * source_re[l]
            backward_field(plan, field, 0)
            merge_field(plan, field, 0, flat, (b * fields.shape[1] + k) * m * m)


@compiled
def shift_probes_adjoint(
    plan: FieldPlan, fields: NDArray, row_ramps: NDArray, column_ramps: NDArray, field: NDArray,
    spectrum: NDArray,
) -> None:  # fmt: skip
    """Adjoint of `shift_probes`: spectrum[k] += sum_b conj(ramps of b) * DFT of fields[b, k]."""
    w = width(field)
    m, plane = plan.m, plan.plane
    flat = fields.reshape(-1)
    for b in range(fields.shape[0]):
        for k in range(fields.shape[1]):
            split_field(plan, flat, (b * fields.shape[1] + k) * m * m, field, 0)
            forward_field(plan, field, 0)
            for c in range(plan.chunks):
                rows_re, rows_im = row_ramps[b, 0, c * w : (c + 1) * w], row_ramps[b, 1, c * w : (c + 1) * w]
                for i in range(m):
                    re, im = column_ramps[b, 0, i], column_ramps[b, 1, i]
                    target_re, target_im = spectrum[k, c, 0, i], spectrum[k, c, 1, i]
                    here = plan.chunk * c + i * w
                    from_re, from_im = field[here : here + w], field[here + plane : here + plane + w]
                    for l in range(w):  # noqa: E741
                        ramp_re = re * rows_re[l] - im * rows_im[l]
                        ramp_im = re * rows_im[l] + im * rows_re[l]
                        target_re[l] += ramp_re * from_re[l] + ramp_im * from_im[l]
                        target_im[l] += ramp_re * from_im[l] - ramp_im * from_re[l]


class VectorShifts:
    """S_j and its adjoint for sizes with the prime factors 2, 3, 5 and 7 only.

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
        plan = self._plan = VectorPlan.of(m, dtype)
        frequencies = np.fft.fftfreq(m)[plan.order]
        ramps = np.exp(-2j * np.pi * fractions[:, :, None] * frequencies)
        self._rows = np.zeros((len(fractions), 2, plan.padded), plan.real)
        self._rows[:, 0, :m], self._rows[:, 1, :m] = ramps[:, 0].real, ramps[:, 0].imag
        self._columns = np.stack((ramps[:, 1].real, ramps[:, 1].imag), axis=1).astype(plan.real)
        self._field = plan.fields(1)
        self._field_plan = plan.of_fields(1)

    def spectrum(self, probe: NDArray) -> NDArray[Any]:
        """Return the spectrum of a (K, m, m) probe, with the 1/m^2 of the inverse transform folded in."""
        far = self._plan.to_far(np.fft.fft2(probe.astype(np.complex128)) / self.m**2)
        spectrum = aligned_empty(self._spectrum_shape(), self._plan.real)
        spectrum[:, :, 0], spectrum[:, :, 1] = far.real, far.imag
        return spectrum

    def _spectrum_shape(self) -> tuple[int, ...]:
        chunks, m, w = self._plan.far_shape()
        return self.modes, chunks, 2, m, w

    def shift(self, spectrum: NDArray, first: int, last: int, fields: NDArray) -> None:
        """Fields (B, K, m, m) = S_j P for the positions first..last-1."""
        rows, columns = self._rows[first:last], self._columns[first:last]
        shift_probes(self._field_plan, spectrum, rows, columns, self._field, fields)

    def no_sum(self) -> NDArray[Any]:
        """Return what `add_shifted_back` adds to, empty."""
        return np.zeros(self._spectrum_shape(), self._plan.real)

    def add_shifted_back(self, fields: NDArray, first: int, last: int, total: NDArray) -> None:
        """Total += sum_j S_j^* fields_j over the positions first..last-1."""
        rows, columns = self._rows[first:last], self._columns[first:last]
        shift_probes_adjoint(self._field_plan, fields, rows, columns, self._field, total)

    def finished(self, total: NDArray) -> NDArray[Any]:
        """Return the (K, m, m) sum."""
        far = total.astype(np.float64)
        spectrum = self._plan.from_far(far[:, :, 0] + 1j * far[:, :, 1])
        return np.fft.ifft2(spectrum).astype(self.dtype)
