"""Shifts of a probe that changes often by fractions that stay: an expansion along rows, a DFT along columns.

A shift by (f_r, f_c) is a ramp exp(-i (v f_r + u f_c)) on the spectrum, v and u in [-pi, pi). What depends on
f_c is expanded in Chebyshev polynomials (Jacobi and Anger; Abramowitz and Stegun, 9.1.44 and 9.1.45):

    exp(-i u f) = sum_n T_n(2 f - 1) b_n(u),   b_n(u) = (2 - [n = 0]) (-i)^n J_n(u / 2) exp(-i u / 2).

What b_n makes of the probe's spectrum, transformed back along rows, is a term. There are few, and they are
computed once for each probe. The probe of a position is their sum with its weights T_n, times its ramp in v,
transformed back along columns: one of the two passes of a transform, and nothing is transposed.

For f in [0, 1] the first N terms differ from the ramp by at most 2 sum_{n >= N} |J_n(u / 2)|, which falls
with the N-th power of u. In single precision (N in `TERMS`) that is 8e-6 of what a probe has at the highest
frequency, u = pi, and 3e-8 of what it has at half of it; in double precision 3e-15.

Terms are kept (K, C, m', N, 2, W): chunks of W columns as in `ptyxrf.kernels.simd.fourier`, in each of which
rows are frequencies in the order of the transform.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import jv

from ptyxrf.kernels.aligned import aligned_empty, aligned_zeros
from ptyxrf.kernels.compiled import ZERO, allocation_free
from ptyxrf.kernels.probe_shift import Shifts
from ptyxrf.kernels.simd.fourier import (
    FieldPlan,
    VectorPlan,
    backward_chunks,
    backward_field,
    can_transform,
    forward_chunks,
    forward_field,
    merge_field,
    split_field,
)
from ptyxrf.kernels.simd.operations import TERMS, add_terms, add_to_terms, transpose_square, width

#: Positions that use a term together, while it is in registers.
TOGETHER = 4

#: Most bytes of the terms of a probe, by the bytes of a number: with more, a transform takes as long.
TERMS_BYTES = {4: 4 * 2**20, 8: 2 * 2**20}


def can_expand(modes: int, m: int, dtype: Any) -> bool:
    """Return whether K probes of m x m pixels are shifted faster by an expansion."""
    size = np.dtype(dtype).itemsize // 2
    return can_transform(m) and 2 * size * TERMS[size] * modes * m * m <= TERMS_BYTES[size]


def weights_of(fractions: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """Return T_n(2 f - 1) of fractions (N,), (N, number)."""
    return np.cos(np.arange(number) * np.arccos(np.clip(2 * fractions - 1, -1, 1))[:, None])


def factors_of(frequencies: NDArray[np.floating[Any]], number: int) -> NDArray[np.complex128]:
    """Return b_n(u) of frequencies (m,) in radians per pixel, (number, m)."""
    n = np.arange(number)[:, None]
    factors = np.where(n == 0, 1, 2) * (-1j) ** n * jv(n, frequencies / 2) * np.exp(-0.5j * frequencies)
    return np.asarray(factors, dtype=np.complex128)


# ---------------------------------------------------------------------------------------------------------
# Terms of a probe, and the adjoint
# ---------------------------------------------------------------------------------------------------------


@allocation_free
def expand_probe(
    plan: FieldPlan, probe: NDArray, factors: NDArray, spectrum: NDArray, chunk: NDArray, terms: NDArray
) -> None:
    """Terms (K, C, m', N, 2, W) of a (K, m, m) probe; `factors` (N, m, 2), room for a field and a chunk."""
    w, m, plane, number = width(chunk), plan.m, plan.plane, factors.shape[0]
    flat, out, row = probe.reshape(-1), terms.reshape(-1), 2 * number * w
    for k in range(probe.shape[0]):
        split_field(plan, flat, k * m * m, spectrum, ZERO)
        forward_field(plan, spectrum, ZERO)
        for c in range(plan.chunks):
            for n in range(number):
                for i in range(m):
                    re, im = factors[n, i, 0], factors[n, i, 1]
                    there, here = plan.chunk * c + i * w, i * w
                    # slices: loops over them become vector code
                    x, y = spectrum[there : there + w], spectrum[there + plane : there + plane + w]
                    to_re, to_im = chunk[here : here + w], chunk[here + plane : here + plane + w]
                    for l in range(w):  # noqa: E741
                        to_re[l] = re * x[l] - im * y[l]
                        to_im[l] = re * y[l] + im * x[l]
                backward_chunks(plan, chunk, ZERO, 1)
                for d in range(plan.chunks):
                    here = ((k * plan.chunks + d) * plan.chunks + c) * w * row + 2 * n * w
                    transpose_square(chunk, d * w * w, w, out, here, row)
                    transpose_square(chunk, plane + d * w * w, w, out, here + w, row)


@allocation_free
def expand_probe_adjoint(
    plan: FieldPlan, terms: NDArray, factors: NDArray, spectrum: NDArray, chunk: NDArray, probe: NDArray
) -> None:
    """Adjoint of `expand_probe`: the (K, m, m) probe from terms."""
    w, m, plane, number = width(chunk), plan.m, plan.plane, factors.shape[0]
    flat, source, row = probe.reshape(-1), terms.reshape(-1), 2 * number * w
    for k in range(probe.shape[0]):
        for l in range(len(spectrum)):  # noqa: E741
            spectrum[l] = 0
        for c in range(plan.chunks):
            for n in range(number):
                for d in range(plan.chunks):
                    there = ((k * plan.chunks + d) * plan.chunks + c) * w * row + 2 * n * w
                    transpose_square(source, there, row, chunk, d * w * w, w)
                    transpose_square(source, there + w, row, chunk, plane + d * w * w, w)
                forward_chunks(plan, chunk, ZERO, 1)
                for i in range(m):
                    re, im = factors[n, i, 0], factors[n, i, 1]
                    there, here = i * w, plan.chunk * c + i * w
                    x, y = chunk[there : there + w], chunk[there + plane : there + plane + w]
                    to_re, to_im = spectrum[here : here + w], spectrum[here + plane : here + plane + w]
                    for l in range(w):  # noqa: E741
                        to_re[l] += re * x[l] + im * y[l]
                        to_im[l] += re * y[l] - im * x[l]
        backward_field(plan, spectrum, ZERO)
        merge_field(plan, spectrum, ZERO, flat, k * m * m)


# ---------------------------------------------------------------------------------------------------------
# Probes of positions, and the adjoint
# ---------------------------------------------------------------------------------------------------------


@allocation_free
def shift_expanded(
    plan: FieldPlan, terms: NDArray, weights: NDArray, ramps: NDArray, fields: NDArray
) -> None:
    """Fields (B, K F) of positions from terms, and their `weights` (B, N) and `ramps` (B, m, 2)."""
    w, m, plane, turn = width(fields), plan.m, plan.plane, 2 * plan.m
    (count, size), number = fields.shape, weights.shape[1]
    out, source, table, turns = fields.reshape(-1), terms.reshape(-1), weights.reshape(-1), ramps.reshape(-1)
    for first in range(0, count, TOGETHER):
        last = min(first + TOGETHER, count)
        for c in range(size // plan.chunk):  # of all modes
            for i in range(m):
                at = (c * plan.chunks * w + i) * 2 * number * w
                here, ramp = c * plan.chunk + i * w, 2 * i
                if last == first + TOGETHER:
                    add_terms(
                        source, at, table, first * number, turns, first * turn + ramp, turn,
                        out, first * size + here, plane, size, TOGETHER,
                    )  # fmt: skip
                else:
                    for b in range(first, last):
                        add_terms(
                            source, at, table, b * number, turns, b * turn + ramp, turn,
                            out, b * size + here, plane, size, 1,
                        )  # fmt: skip
            for b in range(first, last):
                backward_chunks(plan, out, b * size + c * plan.chunk, 1)


@allocation_free
def shift_expanded_adjoint(
    plan: FieldPlan, fields: NDArray, weights: NDArray, ramps: NDArray, terms: NDArray
) -> None:
    """Adjoint of `shift_expanded`: adds to the terms; the fields are lost."""
    w, m, plane, turn = width(fields), plan.m, plan.plane, 2 * plan.m
    (count, size), number = fields.shape, weights.shape[1]
    row, goal, table, turns = fields.reshape(-1), terms.reshape(-1), weights.reshape(-1), ramps.reshape(-1)
    for first in range(0, count, TOGETHER):
        last = min(first + TOGETHER, count)
        for c in range(size // plan.chunk):
            for b in range(first, last):
                forward_chunks(plan, row, b * size + c * plan.chunk, 1)
            for i in range(m):
                at = (c * plan.chunks * w + i) * 2 * number * w
                here, ramp = c * plan.chunk + i * w, 2 * i
                if last == first + TOGETHER:
                    add_to_terms(
                        goal, at, table, first * number, turns, first * turn + ramp, turn,
                        row, first * size + here, plane, size, TOGETHER,
                    )  # fmt: skip
                else:
                    for b in range(first, last):
                        add_to_terms(
                            goal, at, table, b * number, turns, b * turn + ramp, turn,
                            row, b * size + here, plane, size, 1,
                        )  # fmt: skip


class ExpandedShifts(Shifts):
    """S_j and its adjoint for positions that stay; sizes with the prime factors 2, 3, 5 and 7 only.

    Parameters
    ----------
    fractions : (N, 2) array of float64
        In [0, 1).
    modes, m : int
    dtype : complex64 or complex128
    """

    split = True

    def __init__(self, fractions: NDArray[np.float64], modes: int, m: int, dtype: Any) -> None:
        self.modes, self.m, self._dtype = modes, m, np.dtype(dtype)
        order = VectorPlan.of(m, dtype)
        self._real, self._plan, self._field = order.real, order.of_fields(1), order.fields(1)
        self._chunk = aligned_zeros((self._plan.chunk,), order.real)
        number, frequencies = TERMS[order.real.itemsize], 2 * np.pi * np.fft.fftfreq(m)[order.order]
        self._weights = weights_of(fractions[:, 1], number).astype(order.real)
        self._ramps = _pairs(np.exp(-1j * fractions[:, :1] * frequencies), order.real)
        # with the 1/m^2 of the inverse transform
        self._factors = _pairs(factors_of(frequencies, number) / m**2, order.real)
        self._terms = modes, order.chunks, order.padded, number, 2, order.lanes

    def room(self, count: int) -> NDArray[Any]:
        """See `Shifts.room`."""
        return aligned_zeros((count, self.modes * self._plan.field), self._real)

    def spectrum(self, probe: NDArray) -> NDArray[Any]:
        """Return the terms of a (K, m, m) probe."""
        terms = aligned_empty(self._terms, self._real)
        expand_probe(self._plan, probe.astype(self._dtype), self._factors, self._field, self._chunk, terms)
        return terms

    def shift(self, spectrum: NDArray, first: int, last: int, fields: NDArray) -> None:
        """See `Shifts.shift`."""
        shift_expanded(self._plan, spectrum, self._weights[first:last], self._ramps[first:last], fields)

    def no_sum(self) -> NDArray[Any]:
        """Return terms that are 0."""
        return aligned_zeros(self._terms, self._real)

    def add_shifted_back(self, fields: NDArray, first: int, last: int, total: NDArray) -> None:
        """See `Shifts.add_shifted_back`."""
        weights, ramps = self._weights[first:last], self._ramps[first:last]
        shift_expanded_adjoint(self._plan, fields, weights, ramps, total)

    def finished(self, total: NDArray) -> NDArray[Any]:
        """See `Shifts.finished`."""
        probe = np.empty((self.modes, self.m, self.m), self._dtype)
        expand_probe_adjoint(self._plan, total, self._factors, self._field, self._chunk, probe)
        return probe


def _pairs(values: NDArray[np.complex128], real: Any) -> NDArray[Any]:
    """Return complex numbers as (..., 2) real ones."""
    return np.stack((values.real, values.imag), axis=-1).astype(real)
