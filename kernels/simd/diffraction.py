"""The ptychographic term in explicit vector code: see `ptyxrf.kernels.simd.passes`.

Kept of the point last evaluated are psi and c/|psi|^2: 12 bytes per pattern pixel in single precision with
one mode, 4 of which spare a product the root and the division; nothing with low memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_empty
from ptyxrf.kernels.diffraction import Diffraction
from ptyxrf.kernels.kept_counts import KEPT, MASKED, KeptCounts
from ptyxrf.kernels.patches import add_patches, sum_patches
from ptyxrf.kernels.probe_shift import AdjointSum
from ptyxrf.kernels.simd import passes
from ptyxrf.kernels.simd.arguments import (
    Detector,
    Layout,
    Patterns,
    Positions,
    ProbeChange,
    Scratch,
    State,
)
from ptyxrf.kernels.simd.fourier import VectorPlan


def _ordered(patterns: NDArray, plan: VectorPlan, masked: int) -> NDArray[Any]:
    """Return patterns in the far layout: in their own memory, where they are as far apart as it wants."""
    count, m, _ = patterns.shape
    chunks, _, lanes = plan.far_shape()
    shape, each = (count, chunks, m, lanes), patterns.itemsize
    if patterns.strides == (chunks * m * lanes * each, m * each, each):
        ordered = as_strided(
            patterns, shape, (chunks * m * lanes * each, m * lanes * each, lanes * each, each)
        )
    else:
        ordered = aligned_empty(shape, patterns.dtype)
    for j in range(count):
        ordered[j] = plan.to_far(patterns[j], fill=masked)
    return ordered


class VectorDiffraction(Diffraction):
    """The term for patterns whose size has the prime factors 2, 3, 5 and 7 only; see `Diffraction`."""

    def _set_up(self, amplitudes: NDArray | KeptCounts, keep_far_fields: bool) -> None:
        plan = self._order = VectorPlan.of(self.m, self.real)
        fields = self._plan = plan.of_fields(self.modes)
        positions = self.count if keep_far_fields else 1
        psi = aligned_empty((positions * 2 * self.modes * fields.pattern,), self.real)
        ratio = aligned_empty((positions * fields.pattern,), self.real)
        self.kept_bytes = psi.nbytes + ratio.nbytes if keep_far_fields else 0
        size = 0 if self.plain else fields.pattern
        # where a vector is wider than what is left of the pattern, no division by 0
        self._levels, self._sums = np.ones((3, size), self.real), np.zeros(size)
        detector = Detector(
            self.plain, self.poisson, self.background_moves, self._levels.reshape(-1), self._sums
        )
        self._patterns = self._measured(amplitudes, detector)
        self._state = State(psi, ratio, not keep_far_fields)
        field = plan.fields(self.modes)
        self._scratch = Scratch(field, field, aligned_empty((5 * fields.part,), self.real))
        self._layout = Layout(self.modes * self.m**2, self.m**2, self.m, plan.lanes)
        if self.probe.split:
            self._layout = Layout(self.modes * fields.field, fields.field, plan.lanes, fields.chunk)
        no_fields, no_exits = np.zeros(0, self.probe.stack.dtype), np.zeros(0, self.probe.dtype)
        self._at_rest = ProbeChange(False, np.zeros(self.count, np.int64), no_fields, no_fields, no_exits)

    def _measured(self, amplitudes: NDArray | KeptCounts, detector: Detector) -> Patterns:
        """Order the patterns, and return what the passes want to know of them."""
        bounds = self.low, self.high, detector
        if isinstance(amplitudes, KeptCounts):
            amplitudes.values = _ordered(amplitudes.values, self._order, MASKED)
            self.amplitudes, room = amplitudes, aligned_empty((self._plan.pattern,), self.real)
            counts = amplitudes.values.reshape(-1)
            return Patterns(room, counts, amplitudes.unit, amplitudes.faint, *bounds)
        ordered = self.amplitudes = _ordered(amplitudes, self._order, -1)
        zero = self.real.type(0)
        return Patterns(ordered.reshape(-1), np.zeros(0, KEPT), zero, zero, *bounds)

    def _set_levels(self) -> None:
        """See `Diffraction`."""
        levels = np.stack([self.added, self.beta, self.beta_change])
        self._levels[...] = self._order.to_far(levels, fill=1).reshape(3, -1)

    def clear_background_sum(self) -> None:
        """See `Diffraction.clear_background_sum`."""
        self._sums[...] = 0

    def background_sum(self) -> NDArray[np.float64]:
        """See `Diffraction.background_sum`."""
        return self._order.from_far(self._sums.reshape(self._order.far_shape()))

    def _positions(self, first: int, last: int, pitch: int) -> Positions:
        """Return what the passes want to know of the positions first..last-1."""
        versions, which = self.probe.versions(first, last)
        rows, probes = Layout(0, 0, pitch, self._order.lanes), versions.reshape(-1)
        return Positions(first, rows, self.corners, self.scales, probes, self._layout, which)

    def gradient(
        self, tile: NDArray, gradient: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        """See `Diffraction.gradient`."""
        self._tile = tile
        change = self._at_rest
        if probe_sum is not None:
            if self.full and self._exits is None:
                self._exits = aligned_empty((self.count, self.modes, self.m, self.m), self.probe.dtype)
            sums, slots = probe_sum.target(first, last)
            exits = change.exits if self._exits is None else self._exits.reshape(-1)
            change = ProbeChange(True, slots, change.moved, sums.reshape(-1), exits)
        passes.gradients(
            self._plan, self._positions(first, last, tile.shape[1]), change, self._patterns, self._state,
            self._scratch, tile.reshape(-1), gradient.reshape(-1), self.pattern_losses,
        )  # fmt: skip
        if probe_sum is not None:
            probe_sum.add(first, last)

    def product(
        self, change: NDArray, product: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        """See `Diffraction.product`."""
        probe_change = self._at_rest
        if probe_sum is not None:
            moved, slots = self.probe.direction(first, last)
            sums, slots = probe_sum.target(first, last)
            exits = probe_change.exits  # those of the gradient are added below
            probe_change = ProbeChange(True, slots, moved.reshape(-1), sums.reshape(-1), exits)
        passes.products(
            self._plan, self._positions(first, last, change.shape[1]), probe_change, self._patterns,
            self._state, self._scratch, self._tile.reshape(-1), change.reshape(-1), product.reshape(-1),
        )  # fmt: skip
        if probe_sum is not None:
            if self._exits is not None:
                exits, corners, scales = (a[first:last] for a in (self._exits, self.corners, self.scales))
                add_patches(exits, moved, slots, corners, scales, product)
                sum_patches(exits, change, slots, corners, scales, sums)
            probe_sum.add(first, last)
            self._add_bend(probe_sum, first, last)

    def losses_along(
        self, change: NDArray, steps: NDArray, losses: NDArray, first: int, last: int, with_probe: bool
    ) -> None:
        """See `Diffraction.losses_along`."""
        probe_change = self._at_rest
        if with_probe:
            if self._scratch.bends is self._scratch.field:  # the same while the probe is known
                self._scratch = self._scratch._replace(bends=np.zeros_like(self._scratch.field))
            moved, slots = self.probe.direction(first, last)
            _, _, _, sums, exits = probe_change
            probe_change = ProbeChange(True, slots, moved.reshape(-1), sums, exits)
        passes.losses_along(
            self._plan, self._positions(first, last, change.shape[1]), probe_change, self._patterns,
            self._state, self._scratch, self._tile.reshape(-1), change.reshape(-1),
            np.asarray(steps, dtype=self.real), losses,
        )  # fmt: skip

    def intensities(self, tile: NDArray, first: int, last: int) -> NDArray[Any]:
        """See `Diffraction.intensities`."""
        out = np.empty((last - first, *self.amplitudes.shape[1:]), self.real)
        positions = self._positions(first, last, tile.shape[1])
        passes.intensities(self._plan, positions, self._scratch, tile.reshape(-1), out.reshape(-1))
        return out if self.plain else out + self._levels[0].reshape(out.shape[1:])

    def in_order(self, values: NDArray[Any]) -> NDArray[Any]:
        """See `Diffraction.in_order`."""
        return self._order.from_far(values)
