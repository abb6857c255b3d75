"""The inverse of a matrix that is diagonal but for a block of the elements at each pixel.

At a pixel the block is a mu mu^T + diag(d), a the illumination; its inverse is diag(1/d) less a product of
vectors (Sherman and Morrison). Channels with mu = 0 stand alone. Shapes: ``values`` (C, n) are n pixels of
all channels, from pixel ``first`` on; ``inverse`` (D, P) holds 1/d of all pixels, row ``which[c]`` for
channel c; ``coupling`` (C,) is mu; ``illumination`` (P,) is not read where no channel is coupled; ``free``
says for each number of a vector, whose channels begin at ``start + c P``, whether it may move.
"""

from __future__ import annotations

from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled


@compiled
def precondition_pixels(
    values: NDArray, count: int, first: int, inverse: NDArray, which: NDArray, coupling: NDArray,
    illumination: NDArray, free: NDArray, start: int, masked: bool, sums: NDArray,
) -> None:  # fmt: skip
    """Apply the inverse to some pixels, in place; where `masked`, within the free numbers.

    `values` has to be 0 already where it is not free; `sums` (2, n) is scratch.
    """
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
    here = illumination[first : first + count]
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


@compiled
def precondition(
    start: int, source: NDArray, inverse: NDArray, which: NDArray, coupling: NDArray, illumination: NDArray,
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
                out[:] = values
        precondition_pixels(
            block, count, first, inverse, which, coupling, illumination, free, start, masked, sums
        )  # fmt: skip
        for c in range(len(which)):
            at = start + c * pixels + first
            target[at : at + count] = block[c, :count]
