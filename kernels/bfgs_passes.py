"""The passes over vectors that a quasi-Newton step makes: each pass reads each vector once.

Shapes: ``steps`` and ``changes`` (R, size) are the pairs s and y that are kept; vectors (size,) have channels
of P pixels from number ``start`` on. M^-1 (``inverse``, ``which``, ``coupling``, ``strength``) and
``free`` are as in `ptyxrf.kernels.element_blocks`; where ``masked`` is False ``free`` is not read. ``block``
(C, n) and ``sums`` (5, n) are scratch that stays in the first caches. Products are summed in the precision
of the vectors over n numbers (in many partial sums side by side), and in double precision from there on.
"""

from __future__ import annotations

from numpy.typing import NDArray

from ptyxrf.kernels.compiled import NO, compiled, kernel_part
from ptyxrf.kernels.element_blocks import precondition_pixels

#: Places in the totals of `learn_pair` behind the products of the R steps with residual and change.
STEP_STEP, CHANGE_CHANGE, CHANGE_INVERSE_CHANGE, RESIDUAL_RESIDUAL, LEARNED = 0, 1, 2, 3, 4


@kernel_part
def _dot(left: NDArray, right: NDArray) -> float:
    total = left.dtype.type(0)
    for l in range(len(left)):  # noqa: E741
        total += left[l] * right[l]
    return total


@compiled
def learn_pair(
    start: int, vector: NDArray, before: NDArray, gradient: NDArray, gradient_before: NDArray,
    steps: NDArray, changes: NDArray, row: int, inverse: NDArray, which: NDArray, coupling: NDArray,
    strength: NDArray, free: NDArray, masked: bool, block: NDArray, sums: NDArray, totals: NDArray,
) -> None:  # fmt: skip
    """Write the pair of a step into a row, and add its dot products to totals (2 R + 4,).

    With s = vector - before, y the change of the gradient and r minus the gradient where it is free:
    R products steps . r, R products steps . y, and s . s, y . y, y . M^-1 y, r . r.
    """
    pixels, width, rows = inverse.shape[1], block.shape[1], steps.shape[0]
    for first in range(0, pixels, width):
        count = min(width, pixels - first)
        for c in range(len(which)):
            a = start + c * pixels + first
            b = a + count
            s, y, slope = steps[row, a:b], changes[row, a:b], gradient[a:b]
            here, there, then = vector[a:b], before[a:b], gradient_before[a:b]
            ss = yy = vector.dtype.type(0)
            # loops over few arrays: the compiler does not vectorize if it must check too many for overlap
            for l in range(count):  # noqa: E741
                step = here[l] - there[l]
                s[l] = step
                ss += step * step
            for l in range(count):  # noqa: E741
                change = slope[l] - then[l]
                y[l] = change
                yy += change * change
            copy = block[c, :count]
            for l in range(count):  # noqa: E741
                copy[l] = y[l]
            if masked:
                kept, held = free[a:b], slope
                slope = sums[0, :count]
                for l in range(count):  # noqa: E741
                    slope[l] = held[l] * kept[l]
            for i in range(rows):
                older = steps[i, a:b]
                along = across = vector.dtype.type(0)
                for l in range(count):  # noqa: E741
                    along += older[l] * slope[l]
                    across += older[l] * y[l]
                totals[i] -= along
                totals[rows + i] += across
            totals[2 * rows + STEP_STEP] += ss
            totals[2 * rows + CHANGE_CHANGE] += yy
            totals[2 * rows + RESIDUAL_RESIDUAL] += _dot(slope, slope)
        precondition_pixels(
            block, count, first, inverse, which, coupling, strength, free, start, NO, sums
        )  # fmt: skip
        for c in range(len(which)):
            a = start + c * pixels + first
            y = changes[row, a : a + count]
            totals[2 * rows + CHANGE_INVERSE_CHANGE] += _dot(y, block[c, :count])


@compiled
def first_loop(
    start: int, gradient: NDArray, changes: NDArray, factors: NDArray, scale: float, inverse: NDArray,
    which: NDArray, coupling: NDArray, strength: NDArray, free: NDArray, masked: bool, block: NDArray,
    sums: NDArray, direction: NDArray, totals: NDArray,
) -> None:  # fmt: skip
    """Direction = scale M^-1 (r - sum_i factors_i y_i), r minus the gradient where it is free.

    To totals (R + 1,) the products changes . direction and gradient . direction are added.
    """
    pixels, width, rows = inverse.shape[1], block.shape[1], changes.shape[0]
    scale = direction.dtype.type(scale)
    for first in range(0, pixels, width):
        count = min(width, pixels - first)
        for c in range(len(which)):
            a = start + c * pixels + first
            b = a + count
            rest, now = block[c, :count], gradient[a:b]
            for l in range(count):  # noqa: E741
                rest[l] = -now[l]
            for i in range(rows):
                factor = direction.dtype.type(factors[i])
                if factor != 0:
                    change = changes[i, a:b]
                    for l in range(count):  # noqa: E741
                        rest[l] -= factor * change[l]
            if masked:
                kept = free[a:b]
                for l in range(count):  # noqa: E741
                    rest[l] *= kept[l]
        precondition_pixels(
            block, count, first, inverse, which, coupling, strength, free, start, masked, sums
        )  # fmt: skip
        for c in range(len(which)):
            a = start + c * pixels + first
            b = a + count
            rest, out = block[c, :count], direction[a:b]
            for l in range(count):  # noqa: E741
                rest[l] *= scale
                out[l] = rest[l]
            for i in range(rows):
                totals[i] += _dot(changes[i, a:b], rest)
            totals[rows] += _dot(gradient[a:b], rest)


@compiled
def second_loop(
    steps: NDArray, factors: NDArray, free: NDArray, masked: bool, low: int, high: int, vector: NDArray,
    direction: NDArray, moved: NDArray, width: int,
) -> None:  # fmt: skip
    """Direction += sum_i factors_i s_i, 0 where not free; moved = vector + direction.

    In the numbers low..high-1 the direction is cut so that `moved` is not below 0 there.
    """
    zero = vector.dtype.type(0)
    for first in range(0, len(vector), width):
        last = min(first + width, len(vector))
        out, here, there = direction[first:last], vector[first:last], moved[first:last]
        for i in range(steps.shape[0]):
            factor = vector.dtype.type(factors[i])
            if factor != 0:
                step = steps[i, first:last]
                for l in range(last - first):  # noqa: E741
                    out[l] += factor * step[l]
        if masked:
            kept = free[first:last]
            for l in range(last - first):  # noqa: E741
                out[l] *= kept[l]
        for l in range(last - first):  # noqa: E741
            there[l] = here[l] + out[l]
        for l in range(max(low - first, 0), min(high, last) - first):  # noqa: E741
            out[l] = max(out[l], -here[l])
            there[l] = max(there[l], zero)
