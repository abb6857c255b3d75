"""Shifts of the probe in explicit vector code; layouts as in `ptyxrf.kernels.simd.fourier`.

Spectra are kept in the far layout, (K, C, 2, m, W) real numbers, and so are the ramps: of rows (N, 2, C W),
of columns (N, 2, m), in the order of the frequencies there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_empty
from ptyxrf.kernels.compiled import ZERO, allocation_free
from ptyxrf.kernels.probe_shift import MovingShifts
from ptyxrf.kernels.simd.fourier import (
    FieldPlan,
    VectorPlan,
    backward_field,
    forward_field,
    merge_field,
    split_field,
)
from ptyxrf.kernels.simd.operations import width


class Ramps(NamedTuple):
    """Ramps of the positions of a batch, and the frequencies to which they belong.

    Attributes
    ----------
    row_frequencies, column_frequencies : (C W,), (m,) array of real
        In radians per pixel.
    rows, columns : (B, 2, C W), (B, 2, m) array of real
    """

    row_frequencies: NDArray
    column_frequencies: NDArray
    rows: NDArray
    columns: NDArray


@allocation_free
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
            backward_field(plan, field, ZERO)
            merge_field(plan, field, ZERO, flat, (b * fields.shape[1] + k) * m * m)


@allocation_free
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
            split_field(plan, flat, (b * fields.shape[1] + k) * m * m, field, ZERO)
            forward_field(plan, field, ZERO)
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


@allocation_free
def shift_tangents(
    plan: FieldPlan, change: NDArray, spectrum: NDArray, moves: NDArray, ramps: Ramps, field: NDArray,
    fields: NDArray,
) -> None:  # fmt: skip
    """fields[b, k] = inverse DFT of (change[k] + f spectrum[k]) * (ramps of b).

    f is dv - i (dr, dc) . frequencies, with moves[b] = (dr, dc, dv).
    """
    w, plane = width(field), plan.plane
    flat = fields.reshape(-1)
    for b in range(fields.shape[0]):
        along_rows, along_columns, grown = moves[b, 0], moves[b, 1], moves[b, 2]
        for k in range(fields.shape[1]):
            for c in range(plan.chunks):
                part = slice(c * w, (c + 1) * w)
                rows_re, rows_im = ramps.rows[b, 0, part], ramps.rows[b, 1, part]
                frequencies = ramps.row_frequencies[part]
                for i in range(plan.m):
                    re, im = ramps.columns[b, 0, i], ramps.columns[b, 1, i]
                    across = along_columns * ramps.column_frequencies[i]
                    here = plan.chunk * c + i * w
                    out_re, out_im = field[here : here + w], field[here + plane : here + plane + w]
                    for l in range(w):  # noqa: E741
                        ramp_re = re * rows_re[l] - im * rows_im[l]
                        ramp_im = re * rows_im[l] + im * rows_re[l]
                        turn = along_rows * frequencies[l] + across
                        s_re, s_im = spectrum[k, c, 0, i, l], spectrum[k, c, 1, i, l]
                        value_re = change[k, c, 0, i, l] + grown * s_re + turn * s_im
                        value_im = change[k, c, 1, i, l] + grown * s_im - turn * s_re
                        out_re[l] = ramp_re * value_re - ramp_im * value_im
                        out_im[l] = ramp_re * value_im + ramp_im * value_re
            backward_field(plan, field, ZERO)
            merge_field(plan, field, ZERO, flat, (b * fields.shape[1] + k) * plan.m * plan.m)


@allocation_free
def shift_tangents_adjoint(
    plan: FieldPlan, fields: NDArray, change: NDArray, spectrum: NDArray, moves: NDArray, bend: bool,
    ramps: Ramps, field: NDArray, total: NDArray, slopes: NDArray,
) -> None:  # fmt: skip
    """total[k] += h, slopes[b] += frequencies . Im(conj(h) spectrum[k]) and Re(conj(h) spectrum[k]).

    h is conj(ramps of b) times the DFT of fields[b, k]; the slopes (B, 3) are derivatives by shifts and log
    amplitude. With `bend`, all is differentiated along the direction of `shift_tangents`.
    """
    w, plane = width(field), plan.plane
    flat = fields.reshape(-1)
    zero, one = field.dtype.type(0), field.dtype.type(1)
    for b in range(fields.shape[0]):
        along_rows = moves[b, 0] if bend else zero
        along_columns = moves[b, 1] if bend else zero
        grown = moves[b, 2] if bend else one
        all_rows = all_columns = all_amplitudes = 0.0
        for k in range(fields.shape[1]):
            split_field(plan, flat, (b * fields.shape[1] + k) * plan.m * plan.m, field, ZERO)
            forward_field(plan, field, ZERO)
            for c in range(plan.chunks):
                part = slice(c * w, (c + 1) * w)
                rows_re, rows_im = ramps.rows[b, 0, part], ramps.rows[b, 1, part]
                frequencies = ramps.row_frequencies[part]
                for i in range(plan.m):
                    re, im = ramps.columns[b, 0, i], ramps.columns[b, 1, i]
                    across = along_columns * ramps.column_frequencies[i]
                    here = plan.chunk * c + i * w
                    from_re, from_im = field[here : here + w], field[here + plane : here + plane + w]
                    in_rows = in_column = in_amplitude = zero
                    for l in range(w):  # noqa: E741
                        ramp_re = re * rows_re[l] - im * rows_im[l]
                        ramp_im = re * rows_im[l] + im * rows_re[l]
                        h_re = ramp_re * from_re[l] + ramp_im * from_im[l]
                        h_im = ramp_re * from_im[l] - ramp_im * from_re[l]
                        turn = along_rows * frequencies[l] + across
                        s_re, s_im = spectrum[k, c, 0, i, l], spectrum[k, c, 1, i, l]
                        # the conjugate of the factor of the tangent; 1 where there is no bend
                        total[k, c, 0, i, l] += grown * h_re - turn * h_im
                        total[k, c, 1, i, l] += grown * h_im + turn * h_re
                        v_re = change[k, c, 0, i, l] + grown * s_re + turn * s_im if bend else s_re
                        v_im = change[k, c, 1, i, l] + grown * s_im - turn * s_re if bend else s_im
                        slope = h_re * v_im - h_im * v_re
                        in_rows += frequencies[l] * slope
                        in_column += slope
                        in_amplitude += h_re * v_re + h_im * v_im
                    all_rows += in_rows
                    all_columns += ramps.column_frequencies[i] * in_column
                    all_amplitudes += in_amplitude
        slopes[b, 0] += all_rows
        slopes[b, 1] += all_columns
        slopes[b, 2] += all_amplitudes


class VectorShifts(MovingShifts):
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
        self._field = plan.fields(1)
        self._field_plan = plan.of_fields(1)
        frequencies = 2 * np.pi * np.fft.fftfreq(m)[plan.order].astype(plan.real)
        self._frequencies = np.concatenate([frequencies, np.zeros(plan.padded - m, plan.real)]), frequencies
        self.place(fractions)

    def place(self, fractions: NDArray[np.float64], gains: NDArray[np.float64] | None = None) -> None:
        """See `MovingShifts.place`."""
        plan, m = self._plan, self.m
        ramps = np.exp(-2j * np.pi * fractions[:, :, None] * np.fft.fftfreq(m)[plan.order])
        if gains is not None:
            ramps[:, 0] *= gains[:, None]
        self._rows = np.zeros((len(fractions), 2, plan.padded), plan.real)
        self._rows[:, 0, :m], self._rows[:, 1, :m] = ramps[:, 0].real, ramps[:, 0].imag
        self._columns = np.stack((ramps[:, 1].real, ramps[:, 1].imag), axis=1).astype(plan.real)

    def _ramps(self, first: int, last: int) -> Ramps:
        return Ramps(*self._frequencies, self._rows[first:last], self._columns[first:last])

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

    def shift_tangent(
        self, change: NDArray, spectrum: NDArray, moves: NDArray, first: int, last: int, fields: NDArray
    ) -> None:
        """See `MovingShifts.shift_tangent`."""
        moves, ramps = moves.astype(self._plan.real), self._ramps(first, last)
        shift_tangents(self._field_plan, change, spectrum, moves, ramps, self._field, fields)

    def no_sum(self) -> NDArray[Any]:
        """Return what `add_shifted_back` adds to, empty."""
        return np.zeros(self._spectrum_shape(), self._plan.real)

    def add_shifted_back(self, fields: NDArray, first: int, last: int, total: NDArray) -> None:
        """Total += sum_j S_j^* fields_j over the positions first..last-1."""
        rows, columns = self._rows[first:last], self._columns[first:last]
        shift_probes_adjoint(self._field_plan, fields, rows, columns, self._field, total)

    def add_slopes(
        self, fields: NDArray, change: NDArray, spectrum: NDArray, moves: NDArray, bend: bool, first: int,
        last: int, total: NDArray, slopes: NDArray,
    ) -> None:  # fmt: skip
        """See `MovingShifts.add_slopes`."""
        moves, ramps = moves.astype(self._plan.real), self._ramps(first, last)
        shift_tangents_adjoint(
            self._field_plan, fields, change, spectrum, moves, bend, ramps, self._field, total, slopes
        )

    def finished(self, total: NDArray) -> NDArray[Any]:
        """Return the (K, m, m) sum."""
        far = total.astype(np.float64)
        spectrum = self._plan.from_far(far[:, :, 0] + 1j * far[:, :, 1])
        return np.fft.ifft2(spectrum).astype(self.dtype)
