"""The steps of vector code that kernels call, each on one vector of neighbouring columns.

A field is split: real parts, and `plane` numbers on their imaginary parts. Probes and tiles are complex
numbers, (re, im) after each other. Addresses are indices into flat arrays, counted in their numbers (real
ones of a field, complex ones of a probe or a tile). A row of columns that ends within a vector is given with
the `count` of those that are there; a literal 0 stands for a full vector.

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
def multiply_row(
    typingctx: Any, tile: Any, tile_at: Any, probe: Any, probe_at: Any, scale: Any, field: Any, at: Any,
    plane: Any, count: Any, add: Any,
) -> Any:  # fmt: skip
    """Field = scale probe tile, or += where the literal `add` is True."""
    adding, whole = add.literal_value, _is_literal(count)
    signature = types.void(tile, tile_at, probe, probe_at, scale, field, at, plane, count, add)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[5].dtype)
        limit = None if whole else arguments[8]
        x = e.load_complex(e.complex_at(e.pointer(signature.args[0], arguments[0]), arguments[1]), limit)
        y = e.load_complex(e.complex_at(e.pointer(signature.args[2], arguments[2]), arguments[3]), limit)
        re = e.at(e.pointer(signature.args[5], arguments[5]), arguments[6])
        im = e.at(re, arguments[7])
        value = e.cmul(x, e.scaled(e.splat(arguments[4]), y))
        if adding:
            value = e.cadd(value, (e.load(re), e.load(im)))
        e.store(value[0], re)
        e.store(value[1], im)
        return context.get_dummy_value()

    return signature, codegen


@operation
def add_row(
    typingctx: Any, field: Any, at: Any, plane: Any, factor: Any, factor_at: Any, scale: Any, target: Any,
    target_at: Any, count: Any,
) -> Any:  # fmt: skip
    """Target += scale conj(factor) field; target and factor are complex (tile and probe, or the reverse)."""
    whole = _is_literal(count)
    signature = types.void(field, at, plane, factor, factor_at, scale, target, target_at, count)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature.args[0].dtype)
        limit = None if whole else arguments[8]
        x = e.load_complex(e.complex_at(e.pointer(signature.args[3], arguments[3]), arguments[4]), limit)
        re = e.at(e.pointer(signature.args[0], arguments[0]), arguments[1])
        value = e.cmulc(e.scaled(e.splat(arguments[5]), x), (e.load(re), e.load(e.at(re, arguments[2]))))
        goal = e.complex_at(e.pointer(signature.args[6], arguments[6]), arguments[7])
        e.store_complex(e.cadd(value, e.load_complex(goal, limit)), goal, limit)
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
