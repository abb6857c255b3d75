"""Passes over diffraction patterns in explicit vector code: gradient, Hessian product, loss along a line.

Each pattern goes through patch times probe, DFT, amplitudes, inverse DFT and overlap-add before the next one
begins, a few chunks at a time, so that what one step leaves is in the cache for the next. While one pattern
is computed, what was kept for the next one is fetched from memory. Layouts: `ptyxrf.kernels.simd.fourier`.

Flat arrays, for positions b of a batch and K modes: ``tile``, ``change`` and ``target`` are complex, with
``pitch`` columns, and ``corners`` (B,) number the first pixel of each patch in them; ``probes``, ``moved``
and ``sums`` hold complex (K, m, m) probes, ``which`` and ``slots`` (B,) say which of them each position uses;
``scales`` (B,) real. What is kept: ``amplitudes`` (B, C, m, W), negative where masked, ``psi``
(B, C, K, 2, m, W) and ``ratio`` (B, C, m, W), c/|psi|^2 with c held in [low, high], negative where masked.
``field`` is room for K fields, ``work`` for 5 m W numbers.

With ``recompute`` psi and ratio are room for one position, computed again from ``tile`` and ``amplitudes``.
"""

from __future__ import annotations

from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled
from ptyxrf.kernels.simd.amplitudes import (
    hessian_chunk,
    intensity_chunk,
    losses_chunk,
    residual_chunk,
)
from ptyxrf.kernels.simd.fourier import backward_chunks, exchange, forward_chunks, merge_field, plane_size
from ptyxrf.kernels.simd.operations import add_row, multiply_row, prefetch, width

#: Chunks that go through the steps together.
GROUP = 4


@compiled
def multiply(
    tile: NDArray, corner: int, pitch: int, probe: NDArray, start: int, scale: float, m: int, field: NDArray,
    at: int, plane: int, first: int, last: int, adding: bool,
) -> None:  # fmt: skip
    """Chunks first..last-1 of a field = (or +=) scale probe patch."""
    w = width(field)
    full = min(last, m // w)
    for i in range(m):
        there = corner + i * pitch + first * w
        here = start + i * m + first * w
        row = at + 2 * plane * first + i * w
        for _ in range(first, full):
            if adding:
                multiply_row(tile, there, probe, here, scale, field, row, plane, 0, True)
            else:
                multiply_row(tile, there, probe, here, scale, field, row, plane, 0, False)
            there += w
            here += w
            row += 2 * plane
        for c in range(full, last):
            if adding:
                multiply_row(tile, there, probe, here, scale, field, row, plane, m - c * w, True)
            else:
                multiply_row(tile, there, probe, here, scale, field, row, plane, m - c * w, False)


@compiled
def multiply_adjoint(
    field: NDArray, at: int, plane: int, factor: NDArray, factor_start: int, factor_pitch: int, scale: float,
    m: int, target: NDArray, start: int, pitch: int, first: int, last: int,
) -> None:  # fmt: skip
    """Target += scale conj(factor) field for chunks first..last-1.

    Factor the probe and target the patch, or the reverse.
    """
    w = width(field)
    full = min(last, m // w)
    for i in range(m):
        there = start + i * pitch + first * w
        here = factor_start + i * factor_pitch + first * w
        row = at + 2 * plane * first + i * w
        for _ in range(first, full):
            add_row(field, row, plane, factor, here, scale, target, there, 0)
            there += w
            here += w
            row += 2 * plane
        for c in range(full, last):
            add_row(field, row, plane, factor, here, scale, target, there, m - c * w)


@compiled
def prefetch_part(array: NDArray, start: int, count: int, part: int, parts: int) -> None:
    """Ask for one of some parts of the numbers start..start+count-1, as far as the array goes."""
    w = width(array)
    share = -(-count // (parts * w)) * w
    begin = start + part * share
    for at in range(begin, min(begin + share, start + count, len(array)), w):
        prefetch(array, at)


# ---------------------------------------------------------------------------------------------------------
# Amplitudes, chunk by chunk
# ---------------------------------------------------------------------------------------------------------


@compiled
def forward_rows(
    image: NDArray, corner: int, pitch: int, probes: NDArray, start: int, scale: float, m: int, modes: int,
    field: NDArray, chunks: int, first: int, last: int, factors: NDArray, roots: NDArray, moves: bool,
    tile: NDArray, moved: NDArray, moved_start: int,
) -> None:  # fmt: skip
    """DFT of one dimension of scale probe patch of an image.

    Where the probe moves, scale moved patch of the tile is added first.
    """
    plane = plane_size(field, chunks)
    for k in range(modes):
        at, mode = 2 * plane * chunks * k, k * m * m
        multiply(image, corner, pitch, probes, start + mode, scale, m, field, at, plane, first, last, False)
        if moves:
            multiply(
                tile, corner, pitch, moved, moved_start + mode, scale, m, field, at, plane, first, last, True
            )
        forward_chunks(field, at + 2 * plane * first, plane, last - first, m, factors, roots)


@compiled
def forward_columns(
    field: NDArray, m: int, modes: int, chunks: int, first: int, last: int, factors: NDArray, roots: NDArray
) -> None:
    """Transpose and transform the other dimension: what `forward_rows` left becomes far fields."""
    plane = plane_size(field, chunks)
    for k in range(modes):
        at = 2 * plane * chunks * k
        exchange(field, at, plane, chunks, first, last)
        forward_chunks(field, at + 2 * plane * first, plane, last - first, m, factors, roots)


@compiled
def backward_columns(
    field: NDArray, m: int, modes: int, chunks: int, first: int, last: int, factors: NDArray, roots: NDArray
) -> None:
    """Undo the DFT of `forward_columns`, but for a factor m."""
    plane = plane_size(field, chunks)
    for k in range(modes):
        start = 2 * plane * (chunks * k + first)
        backward_chunks(field, start, plane, last - first, m, factors, roots)


@compiled
def backward_rows_overlap_add(
    field: NDArray, m: int, modes: int, chunks: int, first: int, last: int, factors: NDArray, roots: NDArray,
    scale: float, corner: int, pitch: int, probes: NDArray, start: int, target: NDArray, moves: bool,
    tile: NDArray, sums: NDArray, sums_start: int,
) -> None:  # fmt: skip
    """Transpose back and undo the DFT of `forward_rows`; target += scale conj(probe) field.

    Where the probe moves, sums += scale conj(patch of the tile) field.
    """
    plane = plane_size(field, chunks)
    for k in range(modes):
        at, mode = 2 * plane * chunks * k, k * m * m
        exchange(field, at, plane, chunks, first, last)
        backward_chunks(field, at + 2 * plane * first, plane, last - first, m, factors, roots)
        multiply_adjoint(
            field, at, plane, probes, start + mode, m, scale, m, target, corner, pitch, first, last
        )
        if moves:
            multiply_adjoint(
                field, at, plane, tile, corner, pitch, scale, m, sums, sums_start + mode, m, first, last
            )


@compiled
def compute_again(
    tile: NDArray, corner: int, pitch: int, probes: NDArray, start: int, scale: float, m: int, modes: int,
    field: NDArray, chunks: int, factors: NDArray, roots: NDArray, measured: NDArray, low: float, high: float,
    ratio: NDArray, psi: NDArray, work: NDArray,
) -> None:  # fmt: skip
    """Make psi and ratio of one position; `field` is lost."""
    w = width(field)
    plane = plane_size(field, chunks)
    part = m * w
    forward_rows(
        tile, corner, pitch, probes, start, scale, m, modes, field, chunks, 0, chunks, factors, roots, False,
        tile, probes, 0,
    )  # fmt: skip
    forward_columns(field, m, modes, chunks, 0, chunks, factors, roots)
    for c in range(chunks):
        here = slice(c * part, (c + 1) * part)
        residual_chunk(
            field, 2 * plane * c, plane, 2 * plane * chunks, part, modes, measured[here], low, high,
            ratio[here], psi, 2 * modes * part * c, work,
        )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------
# Passes over positions
# ---------------------------------------------------------------------------------------------------------


@compiled
def gradients(
    tile: NDArray, pitch: int, corners: NDArray, probes: NDArray, which: NDArray, scales: NDArray, m: int,
    chunks: int, modes: int, factors: NDArray, roots: NDArray, amplitudes: NDArray, low: float, high: float,
    recompute: bool, psi: NDArray, ratio: NDArray, losses: NDArray, field: NDArray, work: NDArray,
    target: NDArray, moves: bool, sums: NDArray, slots: NDArray, exits: NDArray,
) -> None:  # fmt: skip
    """Target += sum_b P_b^* F^* (psi - b q); losses[b] = loss of pattern b; psi and ratio are kept.

    Where the probe moves, sums += conj(patch) F^* (psi - b q). F^* (psi - b q) itself is left in `exits`
    (B, K, m, m) complex, unless that is empty. `amplitudes` may go on beyond the batch.
    """
    w = width(field)
    plane = plane_size(field, chunks)
    gap = 2 * plane * chunks
    part = m * w
    parts = 3 * (-(-chunks // GROUP))
    size = part * chunks
    for b in range(len(corners)):
        p = which[b] * modes * m * m
        s = slots[b] * modes * m * m
        kept = 0 if recompute else b
        fetched = 0
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            forward_rows(
                tile, corners[b], pitch, probes, p, scales[b], m, modes, field, chunks, first, last, factors,
                roots, False, tile, probes, 0,
            )  # fmt: skip
            prefetch_part(amplitudes, (b + 1) * size, size, fetched, parts)
            fetched += 1
        total = 0.0
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            forward_columns(field, m, modes, chunks, first, last, factors, roots)
            prefetch_part(amplitudes, (b + 1) * size, size, fetched, parts)
            fetched += 1
            for c in range(first, last):
                here, place = (b * chunks + c) * part, (kept * chunks + c) * part
                total += residual_chunk(
                    field, 2 * plane * c, plane, gap, part, modes, amplitudes[here : here + part], low, high,
                    ratio[place : place + part], psi, 2 * modes * place, work,
                )  # fmt: skip
            backward_columns(field, m, modes, chunks, first, last, factors, roots)
        losses[b] = 0.5 * total
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            backward_rows_overlap_add(
                field, m, modes, chunks, first, last, factors, roots, scales[b], corners[b], pitch, probes, p,
                target, moves, tile, sums, s,
            )  # fmt: skip
            prefetch_part(amplitudes, (b + 1) * size, size, fetched, parts)
            fetched += 1
        if len(exits) > 0:
            for k in range(modes):
                merge_field(field, k * gap, chunks, exits, (b * modes + k) * m * m, m)


@compiled
def products(
    change: NDArray, pitch: int, corners: NDArray, probes: NDArray, which: NDArray, scales: NDArray, m: int,
    chunks: int, modes: int, factors: NDArray, roots: NDArray, amplitudes: NDArray, low: float, high: float,
    recompute: bool, psi: NDArray, ratio: NDArray, field: NDArray, work: NDArray, target: NDArray,
    moves: bool, tile: NDArray, moved: NDArray, sums: NDArray, slots: NDArray,
) -> None:  # fmt: skip
    """Target += sum_b P_b^* F^* H F (P_b dz_b).

    Where the probe moves, P_b dz_b + dP_b z_b with dP in `moved`, and sums += conj(z_b) F^* H F (...). Unless
    they are recomputed, psi and ratio may go on beyond the batch.
    """
    w = width(field)
    plane = plane_size(field, chunks)
    gap = 2 * plane * chunks
    part = m * w
    parts = 3 * (-(-chunks // GROUP))
    size = part * chunks
    for b in range(len(corners)):
        p = which[b] * modes * m * m
        s = slots[b] * modes * m * m
        kept = b
        if recompute:
            compute_again(
                tile, corners[b], pitch, probes, p, scales[b], m, modes, field, chunks, factors, roots,
                amplitudes[b * size : (b + 1) * size], low, high, ratio, psi, work,
            )  # fmt: skip
            kept = 0
        fetched = 0
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            forward_rows(
                change, corners[b], pitch, probes, p, scales[b], m, modes, field, chunks, first, last,
                factors, roots, moves, tile, moved, s,
            )  # fmt: skip
            prefetch_part(psi, 2 * modes * (b + 1) * size, 2 * modes * size, fetched, parts)
            prefetch_part(ratio, (b + 1) * size, size, fetched, parts)
            fetched += 1
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            forward_columns(field, m, modes, chunks, first, last, factors, roots)
            prefetch_part(psi, 2 * modes * (b + 1) * size, 2 * modes * size, fetched, parts)
            prefetch_part(ratio, (b + 1) * size, size, fetched, parts)
            fetched += 1
            for c in range(first, last):
                place = (kept * chunks + c) * part
                hessian_chunk(
                    field, 2 * plane * c, plane, gap, part, modes, ratio[place : place + part], psi,
                    2 * modes * place, work,
                )  # fmt: skip
            backward_columns(field, m, modes, chunks, first, last, factors, roots)
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            backward_rows_overlap_add(
                field, m, modes, chunks, first, last, factors, roots, scales[b], corners[b], pitch, probes, p,
                target, moves, tile, sums, s,
            )  # fmt: skip
            prefetch_part(psi, 2 * modes * (b + 1) * size, 2 * modes * size, fetched, parts)
            prefetch_part(ratio, (b + 1) * size, size, fetched, parts)
            fetched += 1


@compiled
def losses_along(
    change: NDArray, pitch: int, corners: NDArray, probes: NDArray, which: NDArray, scales: NDArray, m: int,
    chunks: int, modes: int, factors: NDArray, roots: NDArray, amplitudes: NDArray, low: float, high: float,
    recompute: bool, psi: NDArray, ratio: NDArray, field: NDArray, bends: NDArray, work: NDArray,
    steps: NDArray, losses: NDArray, moves: bool, tile: NDArray, moved: NDArray, slots: NDArray,
) -> None:  # fmt: skip
    """losses[s] += loss at z + t dz, and P + t dP where the probe moves, at t = steps[s]."""
    w = width(field)
    plane = plane_size(field, chunks)
    gap = 2 * plane * chunks
    part = m * w
    size = part * chunks
    for b in range(len(corners)):
        p = which[b] * modes * m * m
        s = slots[b] * modes * m * m
        kept = b
        if recompute:
            compute_again(
                tile, corners[b], pitch, probes, p, scales[b], m, modes, field, chunks, factors, roots,
                amplitudes[b * size : (b + 1) * size], low, high, ratio, psi, work,
            )  # fmt: skip
            kept = 0
        if moves:
            forward_rows(
                change, corners[b], pitch, moved, s, scales[b], m, modes, bends, chunks, 0, chunks, factors,
                roots, False, tile, moved, 0,
            )  # fmt: skip
            forward_columns(bends, m, modes, chunks, 0, chunks, factors, roots)
        forward_rows(
            change, corners[b], pitch, probes, p, scales[b], m, modes, field, chunks, 0, chunks, factors,
            roots, moves, tile, moved, s,
        )  # fmt: skip
        forward_columns(field, m, modes, chunks, 0, chunks, factors, roots)
        for c in range(chunks):
            here, place = (b * chunks + c) * part, (kept * chunks + c) * part
            losses_chunk(
                field, bends, 2 * plane * c, plane, gap, part, modes, moves, amplitudes[here : here + part],
                psi, 2 * modes * place, steps, losses, work,
            )  # fmt: skip


@compiled
def intensities(
    tile: NDArray, pitch: int, corners: NDArray, probes: NDArray, which: NDArray, scales: NDArray, m: int,
    chunks: int, modes: int, factors: NDArray, roots: NDArray, field: NDArray, out: NDArray,
) -> None:  # fmt: skip
    """Out = sum_k |psi_k|^2 of each position, in the far layout (B, C, m, W)."""
    w = width(field)
    plane = plane_size(field, chunks)
    part = m * w
    for b in range(len(corners)):
        forward_rows(
            tile, corners[b], pitch, probes, which[b] * modes * m * m, scales[b], m, modes, field, chunks, 0,
            chunks, factors, roots, False, tile, probes, 0,
        )  # fmt: skip
        forward_columns(field, m, modes, chunks, 0, chunks, factors, roots)
        for c in range(chunks):
            place = (b * chunks + c) * part
            intensity_chunk(
                field, 2 * plane * c, plane, 2 * plane * chunks, part, modes, out[place : place + part]
            )
