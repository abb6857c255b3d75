"""Explicit vector code for kernels: arithmetic on vectors of real numbers, and DFTs of a few of them.

A compiler makes vector code of plain loops, but not of FFTs: there, what is wanted is written out here in
LLVM's language, vector by vector. Complex numbers are pairs (re, im) of vectors. `Emitter` is used within
numba intrinsics (`ptyxrf.kernels.simd.operations`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import config as _config
from numba.core import cgutils

#: Operations may be fused and reordered, as in `ptyxrf.kernels.compiled`; NaN and infinity survive.
FLAGS = ("contract", "nsz", "arcp", "reassoc")

I64 = ir.IntType(64)
I32 = ir.IntType(32)

Pair = tuple[Any, Any]

#: Numba's settings, which it fills in when it is imported.
config: Any = _config


def _has_wide_vectors() -> bool:
    """Return whether the compiler may use AVX-512."""
    if config.CPU_FEATURES is not None:  # what numba was told to compile for
        return "+avx512f" in config.CPU_FEATURES
    if config.CPU_NAME == "generic":
        return False
    return bool(binding.get_host_cpu_features().get("avx512f"))


#: Bytes of a vector: a register and a cache line with AVX-512; elsewhere two or one registers.
VECTOR_BYTES = 64 if _has_wide_vectors() else 32


def lanes(dtype: Any) -> int:
    """Return how many numbers of a type fill a vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


class Emitter:
    """Vector operations on the real numbers of an array.

    Parameters
    ----------
    context, builder
        As numba gives them to the code generator of an intrinsic.
    dtype : numba type
        Of the array, real or complex.
    """

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.builder = builder
        self.context = context
        real = getattr(dtype, "underlying_float", dtype)
        self.scalar = context.get_value_type(real)
        self.bytes = real.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self._splat_order = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)

    # ---------------------------------------------------------------- memory

    def pointer(self, array_type: Any, array: Any) -> Any:
        """Return the address of the first number of an array."""
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        return self.builder.bitcast(data, self.scalar.as_pointer())

    def at(self, pointer: Any, index: Any) -> Any:
        """Return the address of a number some numbers on; `index` is an integer or a value."""
        if isinstance(index, int):
            index = ir.Constant(I64, index)
        return self.builder.gep(pointer, [index])

    def complex_at(self, pointer: Any, index: Any) -> Any:
        """Return the address of a complex number some complex numbers on."""
        return self.at(pointer, self.builder.mul(index, ir.Constant(I64, 2)))

    def load(self, pointer: Any) -> Any:
        """Return the vector at an address."""
        return self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.bytes)

    def store(self, value: Any, pointer: Any) -> None:
        """Write a vector to an address."""
        self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer()), align=self.bytes)

    def load_complex(self, pointer: Any, count: Any = None) -> Pair:
        """Return complex numbers that lie as (re, im): a vector full, or `count` of them and 0 beyond."""
        w = self.lanes
        places = (pointer, self.at(pointer, w))
        if count is None:
            first, second = (self.load(place) for place in places)
        else:
            masks = self._masks(count)
            first, second = (self._masked("load", *both) for both in zip(places, masks, strict=True))
        re, im = (self.shuffle(first, second, range(part, 2 * w, 2)) for part in (0, 1))
        return re, im

    def store_complex(self, value: Pair, pointer: Any, count: Any = None) -> None:
        """Write complex numbers as (re, im): a vector full, or the first `count` of them."""
        w = self.lanes
        order = [i // 2 + w * (i % 2) for i in range(2 * w)]
        halves = [self.shuffle(value[0], value[1], part) for part in (order[:w], order[w:])]
        places = (pointer, self.at(pointer, w))
        if count is None:
            for half, place in zip(halves, places, strict=True):
                self.store(half, place)
        else:
            for half, place, mask in zip(halves, places, self._masks(count), strict=True):
                self._masked("store", place, mask, half)

    def _masks(self, count: Any) -> list[Any]:
        """Return which of the 2 W numbers of `count` complex ones are there, in two vectors."""
        w = self.lanes
        wide = ir.VectorType(I64, w)
        numbers = self.builder.mul(count, ir.Constant(I64, 2))
        undefined = ir.Constant(wide, ir.Undefined)
        first = self.builder.insert_element(undefined, numbers, ir.Constant(I32, 0))
        everywhere = self.builder.shuffle_vector(first, undefined, self._splat_order)
        return [
            self.builder.icmp_signed("<", ir.Constant(wide, list(range(s, s + w))), everywhere)
            for s in (0, w)
        ]

    def _masked(self, what: str, pointer: Any, mask: Any, value: Any = None) -> Any:
        """Load (0 elsewhere) or store the numbers of a vector that a mask chooses, and touch no others."""
        where = self.builder.bitcast(pointer, self.vector.as_pointer())
        name = f"llvm.masked.{what}.v{self.lanes}f{8 * self.bytes}.p0"
        align = ir.Constant(I32, self.bytes)
        if what == "load":
            kind = ir.FunctionType(self.vector, [where.type, I32, mask.type, self.vector])
            arguments = [where, align, mask, self.constant(0)]
        else:
            kind = ir.FunctionType(ir.VoidType(), [self.vector, where.type, I32, mask.type])
            arguments = [value, where, align, mask]
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def prefetch(self, pointer: Any) -> None:
        """Ask for the cache line of an address, to be read soon."""
        where = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [where.type, I32, I32, I32])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        read, second_level, data = (ir.Constant(I32, value) for value in (0, 2, 1))
        self.builder.call(function, [where, read, second_level, data])

    # ---------------------------------------------------------------- vectors

    def splat(self, value: Any) -> Any:
        """Return a vector of one number."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(first, undefined, self._splat_order)

    def number(self, pointer: Any) -> Any:
        """Return a vector of the number at an address."""
        return self.splat(self.builder.load(pointer))

    def constant(self, value: float) -> Any:
        """Return a vector of one known number."""
        return ir.Constant(self.vector, [float(value)] * self.lanes)

    def shuffle(self, a: Any, b: Any, order: Sequence[int]) -> Any:
        """Return chosen numbers of two vectors, those of the second counted on from the first's."""
        mask = ir.Constant(ir.VectorType(I32, len(order)), list(order))
        return self.builder.shuffle_vector(a, b, mask)

    def transposed(self, rows: list[Any]) -> list[Any]:
        """Return the rows of the transpose of W rows of W numbers, in log2 W stages."""
        w = self.lanes
        bit = w // 2
        while bit:
            low = [j if not j & bit else w + (j ^ bit) for j in range(w)]
            high = [j ^ bit if not j & bit else w + j for j in range(w)]
            for i in range(w):
                if not i & bit:
                    a, b = rows[i], rows[i | bit]
                    rows[i], rows[i | bit] = self.shuffle(a, b, low), self.shuffle(a, b, high)
            bit //= 2
        return rows

    def add(self, a: Any, b: Any) -> Any:
        """Return a + b."""
        return self.builder.fadd(a, b, flags=FLAGS)

    def sub(self, a: Any, b: Any) -> Any:
        """Return a - b."""
        return self.builder.fsub(a, b, flags=FLAGS)

    def mul(self, a: Any, b: Any) -> Any:
        """Return a b."""
        return self.builder.fmul(a, b, flags=FLAGS)

    def neg(self, a: Any) -> Any:
        """Return -a."""
        return self.builder.fneg(a)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a b + c, fused where the machine can."""
        name = f"llvm.fmuladd.v{self.lanes}f{8 * self.bytes}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [a, b, c], fastmath=FLAGS)

    # ---------------------------------------------------------------- pairs

    def cadd(self, x: Pair, y: Pair) -> Pair:
        """Return x + y."""
        return self.add(x[0], y[0]), self.add(x[1], y[1])

    def csub(self, x: Pair, y: Pair) -> Pair:
        """Return x - y."""
        return self.sub(x[0], y[0]), self.sub(x[1], y[1])

    def scaled(self, factor: Any, x: Pair) -> Pair:
        """Return a real factor times x."""
        return self.mul(factor, x[0]), self.mul(factor, x[1])

    def axpy(self, factor: Any, x: Pair, y: Pair) -> Pair:
        """Return a real factor times x, plus y."""
        return self.fma(factor, x[0], y[0]), self.fma(factor, x[1], y[1])

    def cmul(self, x: Pair, y: Pair) -> Pair:
        """Return x y."""
        return (
            self.fma(x[0], y[0], self.neg(self.mul(x[1], y[1]))),
            self.fma(x[0], y[1], self.mul(x[1], y[0])),
        )

    def cmulc(self, x: Pair, y: Pair) -> Pair:
        """Return conj(x) y."""
        return (
            self.fma(x[0], y[0], self.mul(x[1], y[1])),
            self.fma(x[0], y[1], self.neg(self.mul(x[1], y[0]))),
        )

    def turn(self, x: Pair, sign: int) -> Pair:
        """Return sign i x."""
        return (self.neg(x[1]), x[0]) if sign > 0 else (x[1], self.neg(x[0]))

    def rotate(self, x: Pair, n: int, k: int, sign: int) -> Pair:
        """Return x exp(sign 2 pi i k/n)."""
        k %= n
        if k == 0:
            return x
        if 4 * k == n:
            return self.turn(x, sign)
        if 2 * k == n:
            return self.neg(x[0]), self.neg(x[1])
        if 4 * k == 3 * n:
            return self.turn(x, -sign)
        c, s = _root(n, k)
        s *= sign
        if 8 * k % n == 0:  # (1 +- i)/sqrt 2 and the like: one product for each part
            plus, minus = self.add(x[0], x[1]), self.sub(x[0], x[1])
            if c * s < 0:
                plus, minus = minus, plus
            return self.mul(self.constant(c), minus), self.mul(self.constant(s), plus)
        return (
            self.fma(self.constant(c), x[0], self.mul(self.constant(-s), x[1])),
            self.fma(self.constant(c), x[1], self.mul(self.constant(s), x[0])),
        )

    # ---------------------------------------------------------------- transforms of a few pairs

    def dft(self, x: Sequence[Pair], sign: int) -> list[Pair]:
        """Return sum_j x_j exp(sign 2 pi i j k/n) for each k, unrolled; n has small factors."""
        n = len(x)
        if n == 1:
            return list(x)
        if n == 2:
            return [self.cadd(x[0], x[1]), self.csub(x[0], x[1])]
        if n == 4:
            a, b = self.cadd(x[0], x[2]), self.csub(x[0], x[2])
            c, d = self.cadd(x[1], x[3]), self.csub(x[1], x[3])
            plus = self.sub(b[0], d[1]), self.add(b[1], d[0])
            minus = self.add(b[0], d[1]), self.sub(b[1], d[0])
            one, three = (plus, minus) if sign > 0 else (minus, plus)
            return [self.cadd(a, c), one, self.csub(a, c), three]
        factor = 4 if n % 4 == 0 else next(p for p in range(2, n + 1) if n % p == 0)
        if factor == n:
            return self._dft_prime(x, sign)
        rest = n // factor  # j = rest j1 + j2, k = k1 + factor k2
        inner = [self.dft(x[j2::rest], sign) for j2 in range(rest)]
        result: list[Any] = [None] * n
        for k1 in range(factor):
            turned = [self.rotate(inner[j2][k1], n, j2 * k1, sign) for j2 in range(rest)]
            result[k1::factor] = self.dft(turned, sign)
        return result

    def _dft_prime(self, x: Sequence[Pair], sign: int) -> list[Pair]:
        """Return a DFT of odd prime length: sums and differences of opposite terms with real factors."""
        n = len(x)
        half = n // 2
        plus = [self.cadd(x[j], x[n - j]) for j in range(1, half + 1)]
        minus = [self.csub(x[j], x[n - j]) for j in range(1, half + 1)]
        result: list[Any] = [None] * n
        total = x[0]
        for pair in plus:
            total = self.cadd(total, pair)
        result[0] = total
        for k in range(1, half + 1):
            even, odd = x[0], (self.constant(0), self.constant(0))
            for j in range(1, half + 1):
                c, s = _root(n, j * k)
                cosine, sine = self.constant(c), self.constant(s * sign)
                p, q = plus[j - 1], minus[j - 1]
                even = self.fma(cosine, p[0], even[0]), self.fma(cosine, p[1], even[1])
                odd = self.fma(sine, q[0], odd[0]), self.fma(sine, q[1], odd[1])
            result[k] = self.sub(even[0], odd[1]), self.add(even[1], odd[0])
            result[n - k] = self.add(even[0], odd[1]), self.sub(even[1], odd[0])
        return result


def _root(n: int, k: int) -> tuple[float, float]:
    """Return cos and sin of 2 pi k/n."""
    angle = 2 * np.pi * (k % n) / n
    return float(np.cos(angle)), float(np.sin(angle))
