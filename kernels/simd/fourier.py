"""2-D DFTs of patterns in explicit vector code, on fields split into real and imaginary parts.

A field of m x m pixels is stored as C chunks of W neighbouring columns, (C, 2, m' + 1, W) real numbers: W
fill a vector, m' = C W is m rounded up to whole vectors, and the last of the m' + 1 rows of a plane is never
used: it keeps the chunks out of each other's way in the cache. A transform runs along the rows of a chunk, so
that every operation takes W columns at once and a chunk stays in the first-level cache. Then squares of
W x W numbers are transposed and exchanged across the diagonal, and the other dimension is transformed alike.

A forward transform is by decimation in frequency and leaves the frequencies in the order of
`frequency_order`; an inverse one takes them so, and nothing is ever put in order. Far fields stay transposed
too: chunks of W row frequencies, along whose rows lie the column frequencies (the far layout).

Radices are 2, 3, 4, 5, 7 and 8 (a Stockham or Cooley-Tukey transform of mixed radix in place, as in C. Van
Loan, Computational Frameworks for the Fast Fourier Transform, SIAM 1992, chapters 1 and 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import config as _config
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_zeros
from ptyxrf.kernels.compiled import ZERO, allocation_free, kernel_part
from ptyxrf.kernels.simd.emitter import VECTOR_BYTES, lanes
from ptyxrf.kernels.simd.operations import butterfly, exchange_squares, merge_row, split_row, width

#: Numba's settings, which it fills in when it is imported.
config: Any = _config

# ---------------------------------------------------------------------------------------------------------
# Plans
# ---------------------------------------------------------------------------------------------------------


def factorise(m: int) -> tuple[int, ...] | None:
    """Return the radices of a transform of length m, few and at most 8; None with a prime factor above 7."""
    factors = []
    rest = m
    for prime in (3, 5, 7):
        while rest % prime == 0:
            factors.append(prime)
            rest //= prime
    twos = rest.bit_length() - 1
    if m < 2 or rest != 1 << twos:
        return None
    eights = 0  # a butterfly of 8 does not fit into 16 registers
    if VECTOR_BYTES == 64:  # as many 8s as leave only 4s, or a single 2
        eights = (twos - 4) // 3 if twos % 3 == 1 and twos > 1 else twos // 3
    left = twos - 3 * eights
    return (*factors, *([2] * (left % 2)), *([4] * (left // 2)), *([8] * eights))


def can_transform(m: int) -> bool:
    """Return whether m x m patterns can be transformed here: small prime factors, and a compiler at work."""
    return not config.DISABLE_JIT and factorise(m) is not None


def frequency_order(factors: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the frequency that lies in each row after a forward transform."""
    order = np.zeros(1, np.int64)
    for radix in reversed(factors):
        order = (np.arange(radix)[:, None] + radix * order[None, :]).ravel()
    return order


def _roots_of(factors: tuple[int, ...], real: Any) -> NDArray[Any]:
    """Return the roots of unity of all levels in turn as (cos, sin), and two numbers that are not used."""
    length = int(np.prod(factors))
    table = []
    for radix in factors[:-1]:
        step = length // radix
        angle = -2 * np.pi * np.outer(np.arange(step), np.arange(1, radix)) / length
        table.append(np.stack((np.cos(angle), np.sin(angle)), axis=-1).ravel())
        length = step
    return np.concatenate([*table, np.zeros(2)]).astype(real)


class FieldPlan(NamedTuple):
    """Plan of the transforms of K fields, with the sizes of their layout, in numbers of a flat array.

    Attributes
    ----------
    m : int
    chunks : int
        C.
    modes : int
        K.
    plane : int
        Of one plane of a chunk, the row that is never used included.
    chunk : int
        From one chunk of a field to the next.
    field : int
        From one field to the next.
    part : int
        Of one chunk of a pattern in the far layout.
    pattern : int
        Of a pattern in the far layout.
    factors : (L,) array of int64
        Radices.
    roots : array of real
        Roots of unity.
    """

    m: int
    chunks: int
    modes: int
    plane: int
    chunk: int
    field: int
    part: int
    pattern: int
    factors: NDArray[np.int64]
    roots: NDArray[Any]


@dataclass(frozen=True)
class VectorPlan:
    """What the transforms of fields of one size and precision share.

    Attributes
    ----------
    m : int
    real : float32 or float64
    factors : (L,) array of int64
        Radices.
    roots : array of real
        Roots of unity.
    order : (m,) array of int64
        Frequency in each row of the far layout.
    """

    m: int
    real: np.dtype[Any]
    factors: NDArray[np.int64]
    roots: NDArray[Any]
    order: NDArray[np.int64]

    @classmethod
    def of(cls, m: int, dtype: Any) -> VectorPlan:
        """Make the plan for m x m fields of a real or complex type.

        Raises
        ------
        ValueError
            A prime above 7 divides m.
        """
        factors = factorise(m)
        if factors is None:
            raise ValueError(f"m: expected a size with the prime factors 2, 3, 5 and 7 only, got {m}")
        real = np.zeros(0, dtype).real.dtype
        return cls(m, real, np.array(factors), _roots_of(factors, real), frequency_order(factors))

    @property
    def lanes(self) -> int:
        """W."""
        return lanes(self.real)

    @property
    def chunks(self) -> int:
        """C."""
        return -(-self.m // self.lanes)

    @property
    def padded(self) -> int:
        """M' = C W."""
        return self.chunks * self.lanes

    def of_fields(self, modes: int) -> FieldPlan:
        """Return the plan of K fields, as kernels take it."""
        plane, part = (self.padded + 1) * self.lanes, self.m * self.lanes
        return FieldPlan(
            m=self.m,
            chunks=self.chunks,
            modes=modes,
            plane=plane,
            chunk=2 * plane,
            field=2 * plane * self.chunks,
            part=part,
            pattern=part * self.chunks,
            factors=self.factors,
            roots=self.roots,
        )

    def fields(self, modes: int) -> NDArray[Any]:
        """Return flat room for K fields in the layout of this file."""
        return aligned_zeros((modes * self.of_fields(modes).field,), self.real)

    def far_shape(self) -> tuple[int, int, int]:
        """Return the shape (C, m, W) of real numbers in the far layout."""
        return self.chunks, self.m, self.lanes

    def to_far(self, patterns: NDArray[Any], fill: float = 0.0) -> NDArray[Any]:
        """Return (..., m, m) numbers, zero frequency at [0, 0], in the far layout (..., C, m, W).

        `fill` goes where a vector is wider than what is left of the pattern.
        """
        wide = np.full((*patterns.shape[:-2], self.padded, self.m), fill, patterns.dtype)
        wide[..., : self.m, :] = patterns[..., self.order[:, None], self.order]
        wide = wide.reshape(*patterns.shape[:-2], self.chunks, self.lanes, self.m)
        return np.ascontiguousarray(np.swapaxes(wide, -1, -2))

    def from_far(self, far: NDArray[Any]) -> NDArray[Any]:
        """Undo `to_far`."""
        outer = far.shape[:-3]
        wide = np.swapaxes(far, -1, -2).reshape(*outer, self.padded, self.m)[..., : self.m, :]
        patterns = np.empty((*outer, self.m, self.m), far.dtype)
        patterns[..., self.order[:, None], self.order] = wide
        return patterns


# ---------------------------------------------------------------------------------------------------------
# Transforms of chunks along their rows
# ---------------------------------------------------------------------------------------------------------


def _make_level(radix: int) -> Any:
    size = 2 * (radix - 1)

    @kernel_part
    def level(plan, data, start, count, length, at, inverse):  # type: ignore[no-untyped-def]
        """One level of butterflies on some chunks of m rows, the first of which begins at `start`."""
        w = width(data)
        plane, roots = plan.plane, plan.roots
        step = length // radix
        groups = plan.m // length
        row = step * w
        leap = length * w
        for c in range(count):
            place = start + c * plan.chunk
            if step == 1:
                for _ in range(groups):
                    if inverse:
                        butterfly(data, place, w, plane, roots, -1, radix, True)
                    else:
                        butterfly(data, place, w, plane, roots, -1, radix, False)
                    place += leap
            else:
                for j in range(step):
                    here = place + j * w
                    for _ in range(groups):
                        if inverse:
                            butterfly(data, here, row, plane, roots, at + j * size, radix, True)
                        else:
                            butterfly(data, here, row, plane, roots, at + j * size, radix, False)
                        here += leap

    return level


_level2, _level3, _level4, _level5, _level7, _level8 = (_make_level(radix) for radix in (2, 3, 4, 5, 7, 8))


@kernel_part
def _level(
    plan: FieldPlan, data: NDArray, start: int, count: int, length: int, radix: int, at: int, inverse: bool
) -> None:
    if radix == 8:
        _level8(plan, data, start, count, length, at, inverse)
    elif radix == 4:
        _level4(plan, data, start, count, length, at, inverse)
    elif radix == 2:
        _level2(plan, data, start, count, length, at, inverse)
    elif radix == 3:
        _level3(plan, data, start, count, length, at, inverse)
    elif radix == 5:
        _level5(plan, data, start, count, length, at, inverse)
    else:
        _level7(plan, data, start, count, length, at, inverse)


@kernel_part
def _together(data: NDArray, m: int) -> int:
    """Return how many chunks of m rows fill 32 KiB: they share one level after another."""
    return max(1, 32768 // (2 * m * width(data) * data.itemsize))


@kernel_part
def forward_chunks(plan: FieldPlan, data: NDArray, start: int, chunks: int) -> None:
    """Transform some chunks along their rows, in place."""
    some = _together(data, plan.m)
    for c in range(0, chunks, some):
        here, count = start + plan.chunk * c, min(some, chunks - c)
        length, at = plan.m, ZERO
        for radix in plan.factors:
            _level(plan, data, here, count, length, radix, at, False)
            length //= radix
            at += 2 * length * (radix - 1)


@kernel_part
def backward_chunks(plan: FieldPlan, data: NDArray, start: int, chunks: int) -> None:
    """Undo `forward_chunks` but for a factor m."""
    some = _together(data, plan.m)
    for c in range(0, chunks, some):
        here, count = start + plan.chunk * c, min(some, chunks - c)
        length, at = 1, len(plan.roots)
        for i in range(len(plan.factors) - 1, -1, -1):
            radix = plan.factors[i]
            # the last level has no roots; two unused numbers end the table
            at -= 2 if length == 1 else 2 * length * (radix - 1)
            length *= radix
            _level(plan, data, here, count, length, radix, at, True)


@kernel_part
def exchange(plan: FieldPlan, field: NDArray, k: int, first: int, last: int) -> None:
    """Transpose field k across its diagonal: the squares on and beyond it in chunks first..last-1."""
    w = width(field)
    at, square = plan.field * k, w * w
    for c in range(first, last):
        for d in range(c, plan.chunks):
            one, other = at + plan.chunk * c + d * square, at + plan.chunk * d + c * square
            exchange_squares(field, one, other)
            exchange_squares(field, one + plan.plane, other + plan.plane)


# ---------------------------------------------------------------------------------------------------------
# Whole fields
# ---------------------------------------------------------------------------------------------------------


@allocation_free
def forward_field(plan: FieldPlan, field: NDArray, k: int) -> None:
    """Unnormalised DFT of field k, in place, into the far layout."""
    forward_chunks(plan, field, plan.field * k, plan.chunks)
    exchange(plan, field, k, ZERO, plan.chunks)
    forward_chunks(plan, field, plan.field * k, plan.chunks)


@allocation_free
def backward_field(plan: FieldPlan, field: NDArray, k: int) -> None:
    """Undo `forward_field` but for a factor m^2."""
    backward_chunks(plan, field, plan.field * k, plan.chunks)
    exchange(plan, field, k, ZERO, plan.chunks)
    backward_chunks(plan, field, plan.field * k, plan.chunks)


@allocation_free
def split_field(plan: FieldPlan, source: NDArray, start: int, field: NDArray, k: int) -> None:
    """Field k = m x m complex numbers that begin at number `start` of a flat array."""
    w = width(field)
    m = plan.m
    full = m // w
    for i in range(m):
        here = plan.field * k + i * w
        there = start + i * m
        for _ in range(full):
            split_row(source, there, field, here, plan.plane, 0)
            here += plan.chunk
            there += w
        if full < plan.chunks:
            split_row(source, there, field, here, plan.plane, m - full * w)


@allocation_free
def merge_field(plan: FieldPlan, field: NDArray, k: int, target: NDArray, start: int) -> None:
    """Undo `split_field`."""
    w = width(field)
    m = plan.m
    full = m // w
    for i in range(m):
        here = plan.field * k + i * w
        there = start + i * m
        for _ in range(full):
            merge_row(field, here, plan.plane, target, there, 0)
            here += plan.chunk
            there += w
        if full < plan.chunks:
            merge_row(field, here, plan.plane, target, there, m - full * w)
