"""The steps of vector code that kernels call, each on one vector of neighbouring columns.

A field is split: real parts, and `plane` numbers on their imaginary parts. Tiles are complex numbers, (re,
im) after each other, and probes either. Addresses are indices into flat arrays, counted in their numbers
(real ones of a field, complex ones of a tile). A row of columns that ends within a vector is given with the
`count` of those that are there; a literal 0 stands for a full vector.

Numba does not see that this file has changed when it takes compiled kernels from its cache: after a change
here, touch the files of the kernels too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ptyxrf.kernels.simd.emitter import I64, Emitter

#: Terms of `add_terms`, by the bytes of a number.
TERMS = {4: 8, 8: 16}


def operation(function: Callable[..., Any]) -> Any:
    """Make an intrinsic of a function that types its call and returns a generator of its code."""
    return intrinsic(prefer_literal=True)(function)


def _is_literal(kind: Any) -> bool:
    return isinstance(kind, types.IntegerLiteral)


@operation
def butterfly(
    typingctx: Any, data: Any, first: Any, step: Any, plane: Any, roots: Any, at: Any, radix: Any,
    inverse: Any,
) -> Any:  # fmt: skip
    """One butterfly in place on the vectors at first, first + step, ..., as many as the literal radix.

    Forward: DFT, then times the roots of unity from number `at` on. Inverse: times their conjugates, then
    the inverse DFT. A literal at < 0: without roots.
    """
    number, backward = radix.literal_value, inverse.literal_value
    bare = _is_literal(at) and at.literal_value < 0
    signature = types.void(data, first, step, plane, roots, at, radix, inverse)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[0].dtype)
        base = e.pointer(signature.args[0], arguments[0])
        _, offset, stride, shift, _, where, _, _ = arguments
        places = []
        for _ in range(number):
            places.append((e.at(base, offset), e.at(base, builder.add(offset, shift))))
            offset = builder.add(offset, stride)
        values = [(e.load(re), e.load(im)) for re, im in places]
        turns = []
        if not bare:
            table = e.at(e.pointer(signature.args[4], arguments[4]), where)
            for k in range(number - 1):
                re, im = (e.splat(builder.load(e.at(table, 2 * k + part))) for part in (0, 1))
                turns.append((re, im))
        if backward:
            for k, turn in enumerate(turns, start=1):
                values[k] = e.cmulc(turn, values[k])
            values = e.dft(values, +1)
        else:
            values = e.dft(values, -1)
            for k, turn in enumerate(turns, start=1):
                values[k] = e.cmul(turn, values[k])
        for (re, im), (to_re, to_im) in zip(values, places, strict=True):
            e.store(re, to_re)
            e.store(im, to_im)
        return context.get_dummy_value()

    return signature, codegen


@operation
def width(typingctx: Any, array: Any) -> Any:
    """Return how many numbers of an array fill a vector, a constant to the compiler."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(I64, Emitter(context, builder, signature.args[0].dtype).lanes)

    return types.intp(array), codegen


@operation
def exchange_squares(typingctx: Any, data: Any, one: Any, other: Any) -> Any:
    """Exchange two squares of W rows of W numbers, transposing both; they may be the same one."""
    signature = types.void(data, one, other)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[0].dtype)
        base = e.pointer(signature.args[0], arguments[0])
        places = [e.at(base, where) for where in arguments[1:]]
        squares = [e.transposed([e.load(e.at(p, i * e.lanes)) for i in range(e.lanes)]) for p in places]
        for rows, place in zip(squares, reversed(places), strict=True):
            for i, row in enumerate(rows):
                e.store(row, e.at(place, i * e.lanes))
        return context.get_dummy_value()

    return signature, codegen


@operation
def transpose_square(
    typingctx: Any, source: Any, source_at: Any, source_step: Any, target: Any, target_at: Any,
    target_step: Any,
) -> Any:  # fmt: skip
    """Put the transpose of W rows of W numbers, a step apart, into another array."""
    signature = types.void(source, source_at, source_step, target, target_at, target_step)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[0].dtype)
        there, here = (e.at(e.pointer(signature.args[i], arguments[i]), arguments[i + 1]) for i in (0, 3))
        rows = []
        for _ in range(e.lanes):
            rows.append(e.load(there))
            there = e.at(there, arguments[2])
        for row in e.transposed(rows):
            e.store(row, here)
            here = e.at(here, arguments[5])
        return context.get_dummy_value()

    return signature, codegen


class _Row:
    """A vector of an array that is complex, or real with imaginary parts `plane` numbers on: a field."""

    def __init__(self, e: Emitter, limit: Any, kind: Any, array: Any, at: Any, plane: Any) -> None:
        self._e, self._limit = e, limit
        self.interleaved = isinstance(kind.dtype, types.Complex)
        numbers = e.pointer(kind, array)
        self._re = e.complex_at(numbers, at) if self.interleaved else e.at(numbers, at)
        self._im = None if self.interleaved else e.at(self._re, plane)

    def load(self) -> Any:
        """Return the pair of vectors."""
        if self.interleaved:
            return self._e.load_complex(self._re, self._limit)
        return self._e.load(self._re), self._e.load(self._im)

    def store(self, value: Any) -> None:
        """Write a pair of vectors."""
        if self.interleaved:
            self._e.store_complex(value, self._re, self._limit)
        else:
            self._e.store(value[0], self._re)
            self._e.store(value[1], self._im)


@operation
def multiply_row(
    typingctx: Any, tile: Any, tile_at: Any, probe: Any, probe_at: Any, probe_plane: Any, scale: Any,
    field: Any, at: Any, plane: Any, count: Any, add: Any,
) -> Any:  # fmt: skip
    """Field = scale probe tile, or += where the literal `add` is True; a probe is complex, or a field."""
    adding, whole = add.literal_value, _is_literal(count)
    signature = types.void(tile, tile_at, probe, probe_at, probe_plane, scale, field, at, plane, count, add)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[6].dtype)
        limit = None if whole else arguments[9]
        x = e.load_complex(e.complex_at(e.pointer(signature.args[0], arguments[0]), arguments[1]), limit)
        y = _Row(e, limit, signature.args[2], *arguments[2:5]).load()
        re = e.at(e.pointer(signature.args[6], arguments[6]), arguments[7])
        im = e.at(re, arguments[8])
        value = e.cmul(x, e.scaled(e.splat(arguments[5]), y))
        if adding:
            value = e.cadd(value, (e.load(re), e.load(im)))
        e.store(value[0], re)
        e.store(value[1], im)
        return context.get_dummy_value()

    return signature, codegen


@operation
def add_row(
    typingctx: Any, field: Any, at: Any, plane: Any, factor: Any, factor_at: Any, factor_plane: Any,
    scale: Any, target: Any, target_at: Any, target_plane: Any, count: Any,
) -> Any:  # fmt: skip
    """Target += scale conj(factor) field, where one is a tile and the other a probe as in `multiply_row`.

    A target that is split is set.
    """
    whole = _is_literal(count)
    signature = types.void(
        field, at, plane, factor, factor_at, factor_plane, scale, target, target_at, target_plane, count
    )

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[0].dtype)
        limit = None if whole else arguments[10]
        x = _Row(e, limit, signature.args[3], *arguments[3:6]).load()
        re = e.at(e.pointer(signature.args[0], arguments[0]), arguments[1])
        value = e.cmulc(e.scaled(e.splat(arguments[6]), x), (e.load(re), e.load(e.at(re, arguments[2]))))
        goal = _Row(e, limit, signature.args[7], *arguments[7:10])
        goal.store(e.cadd(value, goal.load()) if goal.interleaved else value)
        return context.get_dummy_value()

    return signature, codegen


@operation
def split_row(
    typingctx: Any, source: Any, source_at: Any, field: Any, at: Any, plane: Any, count: Any
) -> Any:
    """Field = complex source, 0 beyond `count`."""
    whole = _is_literal(count)
    signature = types.void(source, source_at, field, at, plane, count)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[2].dtype)
        limit = None if whole else arguments[5]
        value = e.load_complex(e.complex_at(e.pointer(signature.args[0], arguments[0]), arguments[1]), limit)
        re = e.at(e.pointer(signature.args[2], arguments[2]), arguments[3])
        e.store(value[0], re)
        e.store(value[1], e.at(re, arguments[4]))
        return context.get_dummy_value()

    return signature, codegen


@operation
def merge_row(
    typingctx: Any, field: Any, at: Any, plane: Any, target: Any, target_at: Any, count: Any
) -> Any:
    """Complex target = field."""
    whole = _is_literal(count)
    signature = types.void(field, at, plane, target, target_at, count)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[0].dtype)
        re = e.at(e.pointer(signature.args[0], arguments[0]), arguments[1])
        value = e.load(re), e.load(e.at(re, arguments[2]))
        goal = e.complex_at(e.pointer(signature.args[3], arguments[3]), arguments[4])
        e.store_complex(value, goal, None if whole else arguments[5])
        return context.get_dummy_value()

    return signature, codegen


@operation
def prefetch(typingctx: Any, array: Any, at: Any) -> Any:
    """Ask for the cache line of number `at` of an array, to be read soon."""
    signature = types.void(array, at)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[0].dtype)
        e.prefetch(e.at(e.pointer(signature.args[0], arguments[0]), arguments[1]))
        return context.get_dummy_value()

    return signature, codegen


@operation
def add_terms(
    typingctx: Any, terms: Any, at: Any, weights: Any, weight_at: Any, ramps: Any, ramp_at: Any,
    ramp_step: Any, field: Any, field_at: Any, plane: Any, field_step: Any, count: Any,
) -> Any:  # fmt: skip
    """Row of each of `count` fields (a literal) = its ramp times sum_n weights[n] terms[n].

    Terms are `TERMS` vectors (re, im) after each other, a field's weights as many numbers, the first of which
    is taken to be 1, and a ramp (re, im).
    """
    signature = types.void(
        terms, at, weights, weight_at, ramps, ramp_at, ramp_step, field, field_at, plane, field_step, count
    )

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[7].dtype)
        number, fields = TERMS[e.bytes], range(count.literal_value)
        source, table, ramp, target = (
            e.at(e.pointer(signature.args[i], arguments[i]), arguments[i + 1]) for i in (0, 2, 4, 7)
        )
        sums = [(e.load(source), e.load(e.at(source, e.lanes))) for _ in fields]
        for n in range(1, number):
            term = e.load(e.at(source, 2 * n * e.lanes)), e.load(e.at(source, (2 * n + 1) * e.lanes))
            for b in fields:
                sums[b] = e.axpy(e.number(e.at(table, b * number + n)), term, sums[b])
        for b in fields:
            re, im = e.cmul((e.number(ramp), e.number(e.at(ramp, 1))), sums[b])
            e.store(re, target)
            e.store(im, e.at(target, arguments[9]))
            ramp, target = e.at(ramp, arguments[6]), e.at(target, arguments[10])
        return context.get_dummy_value()

    return signature, codegen


@operation
def add_to_terms(
    typingctx: Any, terms: Any, at: Any, weights: Any, weight_at: Any, ramps: Any, ramp_at: Any,
    ramp_step: Any, field: Any, field_at: Any, plane: Any, field_step: Any, count: Any,
) -> Any:  # fmt: skip
    """terms[n] += sum over some fields of weights[n] conj(ramp) row: the adjoint of `add_terms`."""
    signature = types.void(
        terms, at, weights, weight_at, ramps, ramp_at, ramp_step, field, field_at, plane, field_step, count
    )

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[7].dtype)
        number, values = TERMS[e.bytes], []
        target, table, ramp, source = (
            e.at(e.pointer(signature.args[i], arguments[i]), arguments[i + 1]) for i in (0, 2, 4, 7)
        )
        for _ in range(count.literal_value):
            row = e.load(source), e.load(e.at(source, arguments[9]))
            values.append(e.cmulc((e.number(ramp), e.number(e.at(ramp, 1))), row))
            ramp, source = e.at(ramp, arguments[6]), e.at(source, arguments[10])
        for n in range(number):
            places = e.at(target, 2 * n * e.lanes), e.at(target, (2 * n + 1) * e.lanes)
            total = e.load(places[0]), e.load(places[1])
            for b, value in enumerate(values):
                if n == 0:
                    total = e.cadd(value, total)
                else:
                    total = e.axpy(e.number(e.at(table, b * number + n)), value, total)
            for part, place in zip(total, places, strict=True):
                e.store(part, place)
        return context.get_dummy_value()

    return signature, codegen
