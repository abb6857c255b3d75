"""Fluorescence at the scan positions: one count per position and element, no FFT.

count_ej = t_j sum over the patch of |P_j|^2 (w_e)_j: patch extraction and overlap-add again. The weight
image of a position is Re sum_k conj(left_k) right_k of two positioned probes: the probe with itself, or
with a change of it where the probe is unknown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled, kernel_part
from ptyxrf.kernels.fluorescence import Fluorescence
from ptyxrf.kernels.probe_shift import AdjointSum, PositionedProbe


@kernel_part
def weight_row(left: NDArray, right: NDArray, i: int, weight: NDArray) -> None:
    """Set weight to row i of Re sum_k conj(left[k]) right[k], of two (K, m, m) probes."""
    weight[:] = 0
    for k in range(left.shape[0]):
        one, other = left[k, i], right[k, i]
        for l in range(weight.size):  # noqa: E741
            weight[l] += one[l].real * other[l].real + one[l].imag * other[l].imag


@compiled
def patch_sums(
    maps: NDArray, left: NDArray, left_which: NDArray, right: NDArray, right_which: NDArray,
    corners: NDArray, scales: NDArray, counts: NDArray,
) -> None:  # fmt: skip
    """counts[e, b] += scales[b] sum over patch b of (Re sum_k conj(left_k) right_k) maps[e]."""
    m = left.shape[3]
    weight = np.empty(m, maps.dtype)
    for b in range(corners.shape[0]):
        row, column = corners[b, 0], corners[b, 1]
        for i in range(m):
            weight_row(left[left_which[b]], right[right_which[b]], i, weight)
            for e in range(maps.shape[0]):
                source = maps[e, row + i, column : column + m]
                total = maps.dtype.type(0)
                for l in range(m):  # noqa: E741
                    total += weight[l] * source[l]
                counts[e, b] += scales[b] * total


@compiled
def patch_sums_adjoint(
    counts: NDArray, left: NDArray, left_which: NDArray, right: NDArray, right_which: NDArray,
    corners: NDArray, scales: NDArray, maps: NDArray,
) -> None:  # fmt: skip
    """Adjoint in the maps: maps[e][patch b] += scales[b] counts[e, b] (Re sum_k conj(left_k) right_k)."""
    m = left.shape[3]
    weight = np.empty(m, maps.dtype)
    for b in range(corners.shape[0]):
        row, column = corners[b, 0], corners[b, 1]
        for i in range(m):
            weight_row(left[left_which[b]], right[right_which[b]], i, weight)
            for e in range(maps.shape[0]):
                factor = scales[b] * counts[e, b]
                target = maps[e, row + i, column : column + m]
                for l in range(m):  # noqa: E741
                    target[l] += factor * weight[l]


@compiled
def weigh_maps(
    maps: NDArray, counts: NDArray, corners: NDArray, first: int, m: int, weighed: NDArray
) -> None:
    """weighed[b] = sum_e counts[e, first + b] maps[e][patch first + b], an (m, m) array per position."""
    for b in range(weighed.shape[0]):
        row, column = corners[first + b, 0], corners[first + b, 1]
        for i in range(m):
            target = weighed[b, i]
            target[:] = 0
            for e in range(maps.shape[0]):
                source = maps[e, row + i, column : column + m]
                factor = counts[e, first + b]
                for l in range(m):  # noqa: E741
                    target[l] += factor * source[l]


class ScanFluorescence(Fluorescence):
    """Counts recorded at the scan positions; see `Fluorescence` for the other parameters.

    Parameters
    ----------
    corners : (N, 2) array of int64
        Patch corners on the tile.
    exposure : (N,) array of float64
        t_j.
    """

    def __init__(
        self, data: NDArray, gains: NDArray[np.float64], weights: NDArray[np.float64], probe: PositionedProbe,
        full: bool, corners: NDArray[np.int64], exposure: NDArray[np.float64],
    ) -> None:  # fmt: skip
        super().__init__(data, gains, weights, probe, full)
        self.corners = np.ascontiguousarray(corners)
        self.exposure = exposure.astype(data.dtype)
        self._batch = probe.batch
        self._maps: NDArray[Any] = np.zeros((0, 0, 0), data.dtype)

    def set_probe(self, probe: NDArray) -> None:
        """No-op: the shared `PositionedProbe` has the probe of each position."""

    def set_direction(self, direction: NDArray) -> None:
        """No-op: the shared `PositionedProbe` has the change at each position."""

    def _sums(self, maps: NDArray) -> NDArray[Any]:
        """Return A w without the gains."""
        counts = np.zeros((len(maps), len(self.corners)), self.data.dtype)
        stack, which = self.probe.stack, self.probe.which
        patch_sums(maps, stack, which, stack, which, self.corners, self.exposure, counts)
        return counts

    def _moved_sums(self, maps: NDArray, squared: bool) -> NDArray[Any]:
        """Return the sums with the weight 2 Re sum_k conj(P_jk) dP_jk, or |dP_j|^2 where `squared`."""
        counts = np.zeros((len(maps), len(self.corners)), self.data.dtype)
        for first in range(0, len(self.corners), self._batch):
            last = min(first + self._batch, len(self.corners))
            moved, slots = self.probe.direction(first, last)
            left, left_which = (moved, slots) if squared else (self.probe.stack, self.probe.which[first:last])
            part = counts[:, first:last].copy()
            patch_sums(
                maps,
                left,
                left_which,
                moved,
                slots,
                self.corners[first:last],
                self.exposure[first:last],
                part,
            )
            counts[:, first:last] = part
        return counts if squared else counts + counts

    def _factors(self, power: int) -> NDArray[Any]:
        """Return weight_e gain_e^power times the relative weights, as a column where these are 1."""
        factors = (self.weights * self.gains**power).astype(self.data.dtype)[:, None]
        return factors if self.relative is None else factors * self.relative

    def blur(self, maps: NDArray) -> NDArray[Any]:
        """Return gain_e A w_e at the positions."""
        return self.gains.astype(self.data.dtype)[:, None] * self._sums(maps)

    def adjoint(self, samples: NDArray, maps: NDArray) -> None:
        """See `Fluorescence.adjoint`."""
        self._add_adjoint(self._factors(1) * samples, maps)

    def _add_adjoint(self, forces: NDArray, maps: NDArray) -> None:
        stack, which = self.probe.stack, self.probe.which
        patch_sums_adjoint(forces, stack, which, stack, which, self.corners, self.exposure, maps)

    def gradient(self, maps: NDArray, gradient: NDArray, probe_sum: AdjointSum | None) -> float:
        """See `Fluorescence.gradient`."""
        self._maps = maps
        self.residual = self.blur(maps) - self.data
        forces = self._factors(1) * self.residual
        self._add_adjoint(forces, gradient)
        if probe_sum is not None:
            self._add_probe_adjoint([(forces, maps, False)], probe_sum)
        return self._loss()

    def _add_probe_adjoint(
        self, terms: list[tuple[NDArray, NDArray, bool]], total: AdjointSum, *, bend: bool = False
    ) -> None:
        """Add sum_j S_j^* [2 t_j (sum_e forces_ej w_e) P_j], or with dP_j where a term says so.

        With `bend`, add how that changes along the direction for fixed fields in the brackets.
        """
        m = self.probe.m
        weighed = np.zeros((self._batch, m, m), self.data.dtype)
        for first in range(0, len(self.corners), self._batch):
            last = min(first + self._batch, len(self.corners))
            fields = np.zeros((last - first, self.probe.modes, m, m), self.probe.dtype)
            for forces, maps, moved in terms:
                weigh_maps(maps, forces, self.corners, first, m, weighed[: last - first])
                versions, slots = (
                    self.probe.direction(first, last)
                    if moved
                    else (self.probe.stack, self.probe.which[first:last])
                )
                fields += weighed[: last - first, None] * versions[slots]
            fields *= 2 * self.exposure[first:last, None, None, None]
            total.add_fields(fields, first, last, bend=bend)

    def product(self, change: NDArray, product: NDArray, probe_sum: AdjointSum | None) -> None:
        """See `Fluorescence.product`."""
        sums = self._sums(change)
        if probe_sum is not None:
            sums += self._moved_sums(self._maps, squared=False)
        forces = self._factors(2) * sums
        self._add_adjoint(forces, product)
        if probe_sum is None:
            return
        stack, which = self.probe.stack, self.probe.which
        terms = [(forces, self._maps, False)]
        if self.full:
            still = self._factors(1) * self.residual
            for first in range(0, len(self.corners), self._batch):
                last = min(first + self._batch, len(self.corners))
                moved, slots = self.probe.direction(first, last)
                twice = 2 * np.ascontiguousarray(still[:, first:last])
                patch_sums_adjoint(
                    twice, stack, which[first:last], moved, slots, self.corners[first:last],
                    self.exposure[first:last], product,
                )  # fmt: skip
            terms += [(still, change, False), (still, self._maps, True)]
            if probe_sum.with_slopes:
                self._add_probe_adjoint([(still, self._maps, False)], probe_sum, bend=True)
        self._add_probe_adjoint(terms, probe_sum)

    def diagonal(
        self, shape: tuple[int, int], corners: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return A^T R A 1 on the tile."""
        stack, which = self.probe.stack, self.probe.which
        if corners is not None:
            stack, which = self.probe.unshifted[None], np.zeros_like(which)
        at = stack, which, stack, which, self.corners if corners is None else corners, self.exposure
        counts = np.zeros((1, len(self.corners)), self.data.dtype)
        patch_sums(np.ones((1, *shape), self.data.dtype), *at, counts)
        if self.relative is not None:
            counts = np.multiply(counts, self.relative, order="C")
        total = np.zeros((len(counts), *shape), self.data.dtype)
        patch_sums_adjoint(counts, *at, total)
        return total.astype(np.float64)

    def _residual_terms(self, change: NDArray, with_probe: bool) -> list[tuple[int, list[NDArray]]]:
        parts = [self._sums(change)]
        if with_probe:
            parts[0] = parts[0] + self._moved_sums(self._maps, squared=False)
            parts.append(self._moved_sums(change, squared=False) + self._moved_sums(self._maps, squared=True))
            parts.append(self._moved_sums(change, squared=True))
        gains = self.gains.astype(self.data.dtype)
        return [(e, [self.residual[e], *(gains[e] * part[e] for part in parts)]) for e in self.active]
