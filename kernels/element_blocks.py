"""The inverse of a matrix that is diagonal but for a block at each pixel, of rank one or two.

At a pixel the block is K^T diag(a) K + diag(d). K (R, C) says how the channels enter R parts that they share,
as the real and the imaginary part of the object; a says how well the data determine each part: for those of
the object it is the illumination. The inverse is diag(1/d) less a product of R vectors (Sherman, Morrison and
Woodbury). Channels of no coupling stand alone. Shapes: ``values`` (C, n) are n pixels of all channels, from
pixel ``first`` on; ``inverse`` (D, P) holds 1/d of all pixels, row ``which[c]`` for channel c; ``coupling``
(R, C) is K; ``strength`` (R, P) is a, or (1, P) where the parts have the same, and is not read where none is
coupled; ``free`` says for each number of a vector, whose channels begin at ``start + c P``, whether it may
move; ``sums`` (5, n) is scratch.
"""

from __future__ import annotations

from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled, kernel_part


@kernel_part
def precondition_pixels(
    values: NDArray, count: int, first: int, inverse: NDArray, which: NDArray, coupling: NDArray,
    strength: NDArray, free: NDArray, start: int, masked: bool, sums: NDArray,
) -> None:  # fmt: skip
    """Apply the inverse to some pixels, in place; where `masked`, within the free numbers.

    `values` has to be 0 already where it is not free.
    """
    if len(coupling) == 1:
        _rank_one(
            values, count, first, inverse, which, coupling[0], strength, free, start, masked, sums
        )  # fmt: skip
    else:
        _rank_two(values, count, first, inverse, which, coupling, strength, free, start, masked, sums)


@kernel_part
def _rank_one(
    values: NDArray, count: int, first: int, inverse: NDArray, which: NDArray, coupling: NDArray,
    strength: NDArray, free: NDArray, start: int, masked: bool, sums: NDArray,
) -> None:  # fmt: skip
    """Apply it where the channels share one part of the object."""
    one = values.dtype.type(1)
    pixels = inverse.shape[1]
    coupled = False
    weighted, power = sums[0, :count], sums[1, :count]
    for c in range(values.shape[0]):
        out, scale = values[c, :count], inverse[which[c], first : first + count]
        if coupling[c] == 0:
            for l in range(count):  # noqa: E741
                out[l] *= scale[l]
            continue
        if not coupled:
            coupled = True
            weighted[:] = 0
            power[:] = 0
        mu = coupling[c]
        if masked:
            kept = free[start + c * pixels + first : start + c * pixels + first + count]
            for l in range(count):  # noqa: E741
                power[l] += mu * mu * scale[l] * kept[l]
        else:
            for l in range(count):  # noqa: E741
                power[l] += mu * mu * scale[l]
        for l in range(count):  # noqa: E741
            out[l] *= scale[l]
            weighted[l] += mu * out[l]
    if not coupled:
        return
    here = strength[0, first : first + count]
    for l in range(count):  # noqa: E741
        weighted[l] *= here[l] / (one + here[l] * power[l])
    for c in range(values.shape[0]):
        if coupling[c] == 0:
            continue
        mu = coupling[c]
        out, scale = values[c, :count], inverse[which[c], first : first + count]
        if masked:
            kept = free[start + c * pixels + first : start + c * pixels + first + count]
            for l in range(count):  # noqa: E741
                out[l] -= mu * scale[l] * kept[l] * weighted[l]
        else:
            for l in range(count):  # noqa: E741
                out[l] -= mu * scale[l] * weighted[l]


@kernel_part
def _rank_two(
    values: NDArray, count: int, first: int, inverse: NDArray, which: NDArray, coupling: NDArray,
    strength: NDArray, free: NDArray, start: int, masked: bool, sums: NDArray,
) -> None:  # fmt: skip
    """Apply it where they share two: 1/d - 1/d K^T (1/a + K 1/d K^T)^-1 K 1/d, a matrix of 2 x 2."""
    one = values.dtype.type(1)
    pixels = inverse.shape[1]
    u, v = sums[0, :count], sums[1, :count]  # K 1/d values
    uu, uv, vv = sums[2, :count], sums[3, :count], sums[4, :count]  # K 1/d K^T
    sums[:, :count] = 0
    for c in range(values.shape[0]):
        out, scale = values[c, :count], inverse[which[c], first : first + count]
        for l in range(count):  # noqa: E741
            out[l] *= scale[l]
        a, b = coupling[0, c], coupling[1, c]
        if a == 0 and b == 0:
            continue
        at = start + c * pixels + first
        for l in range(count):  # noqa: E741
            u[l] += a * out[l]
            v[l] += b * out[l]
        for l in range(count):  # noqa: E741
            s = scale[l] * free[at + l] if masked else scale[l]
            uu[l] += a * a * s
            uv[l] += a * b * s
            vv[l] += b * b * s
    upper, lower = strength[0, first : first + count], strength[-1, first : first + count]
    for l in range(count):  # noqa: E741
        g, h = upper[l], lower[l]
        p, q, r, t = one + g * uu[l], g * uv[l], one + h * vv[l], h * uv[l]
        d = p * r - q * t
        u[l], v[l] = g / d * (r * u[l] - t * v[l]), h / d * (p * v[l] - q * u[l])
    for c in range(values.shape[0]):
        a, b = coupling[0, c], coupling[1, c]
        if a == 0 and b == 0:
            continue
        out, scale = values[c, :count], inverse[which[c], first : first + count]
        at = start + c * pixels + first
        for l in range(count):  # noqa: E741
            s = scale[l] * free[at + l] if masked else scale[l]
            out[l] -= s * (a * u[l] + b * v[l])


@compiled
def precondition(
    start: int, source: NDArray, inverse: NDArray, which: NDArray, coupling: NDArray, strength: NDArray,
    free: NDArray, masked: bool, block: NDArray, sums: NDArray, target: NDArray,
) -> None:  # fmt: skip
    """Set the channels of a target vector to the inverse times those of a source, 0 where not free."""
    pixels, width = inverse.shape[1], block.shape[1]
    for first in range(0, pixels, width):
        count = min(width, pixels - first)
        for c in range(len(which)):
            at = start + c * pixels + first
            values, out = source[at : at + count], block[c, :count]
            if masked:
                kept = free[at : at + count]
                for l in range(count):  # noqa: E741
                    out[l] = values[l] * kept[l]
            else:
                for l in range(count):  # noqa: E741
                    out[l] = values[l]
        precondition_pixels(
            block, count, first, inverse, which, coupling, strength, free, start, masked, sums
        )  # fmt: skip
        for c in range(len(which)):
            at = start + c * pixels + first
            values, out = block[c, :count], target[at : at + count]
            for l in range(count):  # noqa: E741
                out[l] = values[l]
