"""Passes over diffraction patterns in explicit vector code: gradient, Hessian product, loss along a line.

Each pattern goes through patch times probe, DFT, amplitudes, inverse DFT and overlap-add before the next one
begins, a few chunks at a time, so that what one step leaves is in the cache for the next. While one pattern
is computed, what was kept for the next one is fetched from memory.

Layouts: `ptyxrf.kernels.simd.fourier`. Groups of arguments: `ptyxrf.kernels.simd.arguments`. Objects
(``tile``, ``change``, ``target``) are flat and complex.
"""

from __future__ import annotations

from numpy.typing import NDArray

from ptyxrf.kernels.compiled import NO, YES, ZERO, allocation_free, kernel_part
from ptyxrf.kernels.simd.amplitudes import (
    chunk_of,
    hessian_chunk,
    intensity_chunk,
    losses_chunk,
    residual_chunk,
)
from ptyxrf.kernels.simd.arguments import (
    Patterns,
    Positions,
    ProbeChange,
    Scratch,
    State,
    Window,
)
from ptyxrf.kernels.simd.fourier import FieldPlan, backward_chunks, exchange, forward_chunks, merge_field
from ptyxrf.kernels.simd.operations import add_row, multiply_row, prefetch, width

#: Chunks that go through the steps together.
GROUP = 4


# ---------------------------------------------------------------------------------------------------------
# Patches and probes
# ---------------------------------------------------------------------------------------------------------


@kernel_part
def corner_of(positions: Positions, j: int) -> int:
    """Return the number of the first pixel of a patch."""
    return positions.corners[j, 0] * positions.rows.pitch + positions.corners[j, 1]


@kernel_part
def place(window: Window, k: int, i: int, c: int) -> int:
    """Return the number at which chunk c of row i begins, for mode k."""
    layout = window.layout
    return window.start + k * layout.mode + i * layout.pitch + c * layout.step


@kernel_part
def multiply(
    plan: FieldPlan, field: NDArray, k: int, first: int, last: int, scale: float, patch: Window,
    probe: Window, adding: bool,
) -> None:  # fmt: skip
    """Chunks first..last-1 of field k = (or +=) scale probe patch."""
    w = width(field)
    m, plane, x, y = plan.m, plan.plane, patch.numbers, probe.numbers
    full = min(last, m // w)
    for i in range(m):
        there, here = place(patch, k, i, first), place(probe, k, i, first)
        row = plan.field * k + plan.chunk * first + i * w
        for _ in range(first, full):
            if adding:
                multiply_row(x, there, y, here, plane, scale, field, row, plane, 0, True)
            else:
                multiply_row(x, there, y, here, plane, scale, field, row, plane, 0, False)
            there += patch.layout.step
            here += probe.layout.step
            row += plan.chunk
        for c in range(full, last):
            rest = m - c * w
            if adding:
                multiply_row(x, there, y, here, plane, scale, field, row, plane, rest, True)
            else:
                multiply_row(x, there, y, here, plane, scale, field, row, plane, rest, False)


@kernel_part
def multiply_adjoint(
    plan: FieldPlan, field: NDArray, k: int, first: int, last: int, scale: float, factor: Window,
    target: Window,
) -> None:  # fmt: skip
    """Target += scale conj(factor) field k, for chunks first..last-1.

    Factor the probe and target the patch, or the reverse.
    """
    w = width(field)
    m, plane, x, y = plan.m, plan.plane, factor.numbers, target.numbers
    full = min(last, m // w)
    for i in range(m):
        there, here = place(target, k, i, first), place(factor, k, i, first)
        row = plan.field * k + plan.chunk * first + i * w
        for _ in range(first, full):
            add_row(field, row, plane, x, here, plane, scale, y, there, plane, 0)
            there += target.layout.step
            here += factor.layout.step
            row += plan.chunk
        for c in range(full, last):
            add_row(field, row, plane, x, here, plane, scale, y, there, plane, m - c * w)


@kernel_part
def prefetch_part(array: NDArray, start: int, count: int, part: int, parts: int) -> None:
    """Ask for one of some parts of the numbers start..start+count-1, as far as the array goes."""
    w = width(array)
    share = -(-count // (parts * w)) * w
    begin = start + part * share
    for at in range(begin, min(begin + share, start + count, len(array)), w):
        prefetch(array, at)


@kernel_part
def prefetch_measured(patterns: Patterns, start: int, count: int, part: int, parts: int) -> None:
    """Ask for one of some parts of a pattern, as it is kept."""
    if len(patterns.counts) > 0:
        prefetch_part(patterns.counts, start, count, part, parts)
    else:
        prefetch_part(patterns.amplitudes, start, count, part, parts)


@kernel_part
def prefetch_state(psi: NDArray, ratio: NDArray, j: int, far: int, size: int, part: int, parts: int) -> None:
    """Ask for one of some parts of what is kept of a position: `far` numbers of psi and `size` ratios."""
    prefetch_part(psi, j * far, far, part, parts)
    prefetch_part(ratio, j * size, size, part, parts)


# ---------------------------------------------------------------------------------------------------------
# Steps of all modes, for the chunks first..last-1
# ---------------------------------------------------------------------------------------------------------


@kernel_part
def forward_rows(
    plan: FieldPlan, field: NDArray, first: int, last: int, scale: float, patch: Window, probe: Window,
    moves: bool, still: Window, moved: Window,
) -> None:  # fmt: skip
    """DFT of one dimension of scale probe patch; where the probe moves, of scale moved still added to it."""
    for k in range(plan.modes):
        multiply(plan, field, k, first, last, scale, patch, probe, False)
        if moves:
            multiply(plan, field, k, first, last, scale, still, moved, True)
        forward_chunks(plan, field, plan.field * k + plan.chunk * first, last - first)


@kernel_part
def forward_columns(plan: FieldPlan, field: NDArray, first: int, last: int) -> None:
    """Transpose and transform the other dimension: what `forward_rows` left becomes far fields."""
    for k in range(plan.modes):
        exchange(plan, field, k, first, last)
        forward_chunks(plan, field, plan.field * k + plan.chunk * first, last - first)


@kernel_part
def backward_columns(plan: FieldPlan, field: NDArray, first: int, last: int) -> None:
    """Undo the DFT of `forward_columns`, but for a factor m."""
    for k in range(plan.modes):
        backward_chunks(plan, field, plan.field * k + plan.chunk * first, last - first)


@kernel_part
def backward_rows_overlap_add(
    plan: FieldPlan, field: NDArray, first: int, last: int, scale: float, probe: Window, target: Window,
    moves: bool, patch: Window, sums: Window,
) -> None:  # fmt: skip
    """Transpose back and undo the DFT of `forward_rows`; target += scale conj(probe) field.

    Where the probe moves, sums += scale conj(patch) field.
    """
    for k in range(plan.modes):
        exchange(plan, field, k, first, last)
        backward_chunks(plan, field, plan.field * k + plan.chunk * first, last - first)
        multiply_adjoint(plan, field, k, first, last, scale, probe, target)
        if moves:
            multiply_adjoint(plan, field, k, first, last, scale, patch, sums)


@kernel_part
def compute_again(
    plan: FieldPlan, patterns: Patterns, state: State, scratch: Scratch, j: int, scale: float, patch: Window,
    probe: Window,
) -> None:  # fmt: skip
    """Make psi and ratio of one position; the field is lost."""
    forward_rows(plan, scratch.field, ZERO, plan.chunks, scale, patch, probe, NO, patch, probe)
    forward_columns(plan, scratch.field, ZERO, plan.chunks)
    for c in range(plan.chunks):
        residual_chunk(plan, patterns, state, scratch, chunk_of(plan, patterns, state, j, c), NO)


# ---------------------------------------------------------------------------------------------------------
# Passes over positions
# ---------------------------------------------------------------------------------------------------------


@allocation_free
def gradients(
    plan: FieldPlan, positions: Positions, probe_change: ProbeChange, patterns: Patterns, state: State,
    scratch: Scratch, tile: NDArray, target: NDArray, losses: NDArray,
) -> None:  # fmt: skip
    """Target += sum_j P_j^* F^* (psi - b q); losses[j] = loss of pattern j; psi and ratio are kept.

    Where the probe moves, sums += conj(patch) F^* (psi - b q). F^* (psi - b q) itself is left in the exits,
    unless these are empty.
    """
    field, chunks, moves = scratch.field, plan.chunks, probe_change.moves
    groups = -(-chunks // GROUP)
    rows, layout = positions.rows, positions.layout
    for b in range(len(positions.which)):
        j = positions.first + b
        scale, corner = positions.scales[j], corner_of(positions, j)
        patch, goal = Window(tile, corner, rows), Window(target, corner, rows)
        probe = Window(positions.probes, positions.which[b] * layout.version, layout)
        sums = Window(probe_change.sums, probe_change.slots[b] * layout.version, layout)
        following = (j + 1) * plan.pattern
        fetched = ZERO
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            forward_rows(plan, field, first, last, scale, patch, probe, NO, patch, probe)
            prefetch_measured(patterns, following, plan.pattern, fetched, 3 * groups)
            fetched += 1
        total = 0.0
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            forward_columns(plan, field, first, last)
            prefetch_measured(patterns, following, plan.pattern, fetched, 3 * groups)
            fetched += 1
            for c in range(first, last):
                chunk = chunk_of(plan, patterns, state, j, c)
                total += residual_chunk(plan, patterns, state, scratch, chunk, YES)
            backward_columns(plan, field, first, last)
        losses[j] = 0.5 * total
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            backward_rows_overlap_add(plan, field, first, last, scale, probe, goal, moves, patch, sums)
            prefetch_measured(patterns, following, plan.pattern, fetched, 3 * groups)
            fetched += 1
        if len(probe_change.exits) > 0:
            for k in range(plan.modes):
                start = (j * plan.modes + k) * plan.m * plan.m
                merge_field(plan, field, k, probe_change.exits, start)


@allocation_free
def products(
    plan: FieldPlan, positions: Positions, probe_change: ProbeChange, patterns: Patterns, state: State,
    scratch: Scratch, tile: NDArray, change: NDArray, target: NDArray,
) -> None:  # fmt: skip
    """Target += sum_j P_j^* F^* H F (P_j dz_j).

    Where the probe moves, P_j dz_j + dP_j z_j with dP in `moved`, and sums += conj(z_j) F^* H F (...).
    """
    field, chunks, moves = scratch.field, plan.chunks, probe_change.moves
    psi, ratio, far = state.psi, state.ratio, 2 * plan.modes * plan.pattern
    groups = -(-chunks // GROUP)
    rows, layout = positions.rows, positions.layout
    for b in range(len(positions.which)):
        j = positions.first + b
        scale, corner = positions.scales[j], corner_of(positions, j)
        patch, goal = Window(tile, corner, rows), Window(target, corner, rows)
        changed = Window(change, corner, rows)
        probe = Window(positions.probes, positions.which[b] * layout.version, layout)
        moved = Window(probe_change.moved, probe_change.slots[b] * layout.version, layout)
        sums = Window(probe_change.sums, probe_change.slots[b] * layout.version, layout)
        if state.recompute:
            compute_again(plan, patterns, state, scratch, j, scale, patch, probe)
        fetched = ZERO
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            forward_rows(plan, field, first, last, scale, changed, probe, moves, patch, moved)
            prefetch_state(psi, ratio, j + 1, far, plan.pattern, fetched, 3 * groups)
            fetched += 1
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            forward_columns(plan, field, first, last)
            prefetch_state(psi, ratio, j + 1, far, plan.pattern, fetched, 3 * groups)
            fetched += 1
            for c in range(first, last):
                chunk = chunk_of(plan, patterns, state, j, c)
                hessian_chunk(plan, patterns.detector, state, scratch, chunk)
            backward_columns(plan, field, first, last)
        for first in range(0, chunks, GROUP):
            last = min(first + GROUP, chunks)
            backward_rows_overlap_add(plan, field, first, last, scale, probe, goal, moves, patch, sums)
            prefetch_state(psi, ratio, j + 1, far, plan.pattern, fetched, 3 * groups)
            fetched += 1


@allocation_free
def losses_along(
    plan: FieldPlan, positions: Positions, probe_change: ProbeChange, patterns: Patterns, state: State,
    scratch: Scratch, tile: NDArray, change: NDArray, steps: NDArray, losses: NDArray,
) -> None:  # fmt: skip
    """losses[s] += loss at z + t dz, and P + t dP where the probe moves, at t = steps[s]."""
    field, bends, chunks, moves = scratch.field, scratch.bends, plan.chunks, probe_change.moves
    rows, layout = positions.rows, positions.layout
    for b in range(len(positions.which)):
        j = positions.first + b
        scale, corner = positions.scales[j], corner_of(positions, j)
        patch, changed = Window(tile, corner, rows), Window(change, corner, rows)
        probe = Window(positions.probes, positions.which[b] * layout.version, layout)
        moved = Window(probe_change.moved, probe_change.slots[b] * layout.version, layout)
        if state.recompute:
            compute_again(plan, patterns, state, scratch, j, scale, patch, probe)
        if moves:
            forward_rows(plan, bends, ZERO, chunks, scale, changed, moved, NO, patch, moved)
            forward_columns(plan, bends, ZERO, chunks)
        forward_rows(plan, field, ZERO, chunks, scale, changed, probe, moves, patch, moved)
        forward_columns(plan, field, ZERO, chunks)
        for c in range(chunks):
            chunk = chunk_of(plan, patterns, state, j, c)
            losses_chunk(plan, patterns, state, scratch, chunk, moves, steps, losses)


@allocation_free
def intensities(plan: FieldPlan, positions: Positions, scratch: Scratch, tile: NDArray, out: NDArray) -> None:
    """Out = sum_k |psi_k|^2 of each position, in the far layout (B, C, m, W)."""
    field, chunks = scratch.field, plan.chunks
    rows, layout = positions.rows, positions.layout
    for b in range(len(positions.which)):
        j = positions.first + b
        patch = Window(tile, corner_of(positions, j), rows)
        probe = Window(positions.probes, positions.which[b] * layout.version, layout)
        forward_rows(plan, field, ZERO, chunks, positions.scales[j], patch, probe, NO, patch, probe)
        forward_columns(plan, field, ZERO, chunks)
        for c in range(chunks):
            place = (b * chunks + c) * plan.part
            intensity_chunk(plan, field, plan.chunk * c, out[place : place + plan.part])
