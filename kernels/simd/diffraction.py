"""The ptychographic term in explicit vector code: see `ptyxrf.kernels.simd.passes`.

Kept of the point last evaluated are psi and c/|psi|^2: 12 bytes per pattern pixel in single precision with
one mode, 4 of which spare a product the root and the division; nothing with low memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_empty
from ptyxrf.kernels.diffraction import Diffraction
from ptyxrf.kernels.patches import add_patches, sum_patches
from ptyxrf.kernels.probe_shift import AdjointSum
from ptyxrf.kernels.simd import passes as vector_patterns
from ptyxrf.kernels.simd.fourier import VectorPlan


def _ordered(amplitudes: NDArray, plan: VectorPlan) -> NDArray[Any]:
    """Return amplitudes in the far layout, in their own memory where a row fills whole vectors."""
    count, m, _ = amplitudes.shape
    shape = (count, *plan.far_shape())
    in_place = plan.padded == m and amplitudes.flags.c_contiguous
    ordered = amplitudes.reshape(shape) if in_place else aligned_empty(shape, amplitudes.dtype)
    for j in range(count):
        ordered[j] = plan.to_far(amplitudes[j], fill=-1)
    return ordered


class VectorDiffraction(Diffraction):
    """The term for patterns whose size has the prime factors 2, 3, 5 and 7 only; see `Diffraction`."""

    def _set_up(self, amplitudes: NDArray, keep_far_fields: bool) -> None:
        self._plan = plan = VectorPlan.of(self.m, self.real)
        self.amplitudes = _ordered(amplitudes, plan)
        self._low_memory = not keep_far_fields
        self._size = plan.m * plan.padded  # numbers of a pattern in the far layout
        positions = self.count if keep_far_fields else 1
        self._psi = aligned_empty((positions * 2 * self.modes * self._size,), self.real)
        self._ratio = aligned_empty((positions * self._size,), self.real)
        self.kept_bytes = self._psi.nbytes + self._ratio.nbytes if keep_far_fields else 0
        self._field = plan.fields(self.modes)
        self._bends: NDArray[Any] | None = None
        self._work = aligned_empty((5 * plan.m * plan.lanes,), self.real)
        self._transform = (plan.m, plan.chunks, self.modes, plan.factors, plan.roots)
        self._nothing = np.zeros(0, self.probe.dtype)
        self._no_slots = np.zeros(self.count, np.int64)

    def _positions(self, start: int, end: int, pitch: int) -> tuple[Any, ...]:
        """Return what the passes want to know of some positions: their place, probes, scales, transforms."""
        corners = self.corners[start:end]
        versions, which = self.probe.versions(start, end)
        return (
            pitch,
            corners[:, 0] * pitch + corners[:, 1],
            versions.reshape(-1),
            which,
            self.scales[start:end],
            *self._transform,
        )

    def _kept(self, start: int) -> tuple[Any, ...]:
        """Return the amplitudes, bounds of the curvature, and what is kept, from a position on."""
        flat = self.amplitudes.reshape(-1)[start * self._size :]
        if self._low_memory:
            return flat, self.low, self.high, True, self._psi, self._ratio
        psi = self._psi[2 * self.modes * self._size * start :]
        return flat, self.low, self.high, False, psi, self._ratio[self._size * start :]

    def gradient(
        self, tile: NDArray, gradient: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        """See `Diffraction.gradient`."""
        self._tile = tile
        modes, m = self.modes, self.m
        if probe_sum is not None and self.full and self._exits is None:
            self._exits = aligned_empty((self.count, modes, m, m), self.probe.dtype)
        sums = exits = self._nothing
        slots, moves = self._no_slots, probe_sum is not None
        if probe_sum is not None:
            sums, slots = probe_sum.target(first, last)
            if self._exits is not None:
                exits = self._exits[first:last].reshape(-1)
        vector_patterns.gradients(
            tile.reshape(-1), *self._positions(first, last, tile.shape[1]), *self._kept(first),
            self.pattern_losses[first:last], self._field, self._work, gradient.reshape(-1), moves,
            sums.reshape(-1), slots, exits,
        )  # fmt: skip
        if probe_sum is not None:
            probe_sum.add(first, last)

    def product(
        self, change: NDArray, product: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        """See `Diffraction.product`."""
        moved = sums = self._nothing
        slots, moves = self._no_slots, probe_sum is not None
        if probe_sum is not None:
            moved, slots = self.probe.direction(first, last)
            sums, slots = probe_sum.target(first, last)
        vector_patterns.products(
            change.reshape(-1), *self._positions(first, last, change.shape[1]), *self._kept(first),
            self._field, self._work, product.reshape(-1), moves, self._tile.reshape(-1),
            moved.reshape(-1), sums.reshape(-1), slots,
        )  # fmt: skip
        if probe_sum is not None:
            if self._exits is not None:
                exits, corners, scales = (a[first:last] for a in (self._exits, self.corners, self.scales))
                add_patches(exits, moved, slots, corners, scales, product)
                sum_patches(exits, change, slots, corners, scales, sums)
            probe_sum.add(first, last)

    def losses_along(
        self, change: NDArray, steps: NDArray, losses: NDArray, first: int, last: int, with_probe: bool
    ) -> None:
        """See `Diffraction.losses_along`."""
        if with_probe and self._bends is None:
            self._bends = np.zeros_like(self._field)
        bends = self._field if self._bends is None else self._bends  # not touched while the probe rests
        moved, slots = self.probe.direction(first, last) if with_probe else (self._nothing, self._no_slots)
        vector_patterns.losses_along(
            change.reshape(-1), *self._positions(first, last, change.shape[1]), *self._kept(first),
            self._field, bends, self._work, np.asarray(steps, dtype=self.real), losses, with_probe,
            self._tile.reshape(-1), moved.reshape(-1), slots,
        )  # fmt: skip

    def intensities(self, tile: NDArray, first: int, last: int) -> NDArray[Any]:
        """See `Diffraction.intensities`."""
        out = np.empty((last - first, *self.amplitudes.shape[1:]), self.real)
        vector_patterns.intensities(
            tile.reshape(-1), *self._positions(first, last, tile.shape[1]), self._field, out.reshape(-1)
        )
        return out

    def in_order(self, values: NDArray[Any]) -> NDArray[Any]:
        """See `Diffraction.in_order`."""
        return self._plan.from_far(values)
