"""The ptychographic term with the transforms of a library, a few patterns at a time.

One pass goes over the positions in batches, so that their fields stay in cache: patch times probe, FFT,
amplitude kernel, inverse FFT, overlap-add. Only the far fields psi at the point last evaluated are kept
(8 bytes per pattern pixel and mode in single precision), and not even these in low-memory mode, where a
product computes them again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_zeros
from ptyxrf.kernels.amplitude_residual import amplitude_hessian, amplitude_losses_along, amplitude_residual
from ptyxrf.kernels.diffraction import Diffraction
from ptyxrf.kernels.fftw.transforms import PatternFourier
from ptyxrf.kernels.intensity_residual import (
    intensity_hessian,
    intensity_losses_along,
    intensity_residual,
)
from ptyxrf.kernels.kept_counts import KeptCounts
from ptyxrf.kernels.patches import add_patches, multiply_patches, multiply_patches_add, sum_patches
from ptyxrf.kernels.probe_shift import AdjointSum


class LibraryDiffraction(Diffraction):
    """The term for patterns of any size; see `Diffraction`."""

    def _set_up(self, amplitudes: NDArray | KeptCounts, keep_far_fields: bool) -> None:
        probe = self.probe
        self.amplitudes = amplitudes
        self.fourier = PatternFourier(self.modes, self.m, probe.dtype, probe.batch)
        self._fields, self._more = self.fourier.buffer(), self.fourier.buffer()
        self._psi = aligned_zeros(self._shape(), probe.dtype) if keep_far_fields else None
        self.kept_bytes = 0 if self._psi is None else self._psi.nbytes
        self._bends: NDArray[Any] | None = None
        self._sums = np.zeros((self.m, self.m))
        self._nothing = np.zeros((0, self.modes, self.m, self.m), probe.dtype)

    def _set_levels(self) -> None:
        """See `Diffraction`; the layout is the same."""

    def clear_background_sum(self) -> None:
        """See `Diffraction.clear_background_sum`."""
        self._sums[...] = 0

    def background_sum(self) -> NDArray[np.float64]:
        """See `Diffraction.background_sum`."""
        return self._sums.copy()

    def _residual(self, psi: NDArray, fields: NDArray, first: int, last: int) -> None:
        """Set fields to the gradient in psi, and the losses of these patterns."""
        measured, losses = self.amplitudes[first:last], self.pattern_losses[first:last]
        if self.plain:
            amplitude_residual(psi, measured, fields, losses)
            return
        intensity_residual(psi, measured, self.added, self.beta, self.poisson, fields, losses, self._sums)

    def _hessian(self, psi: NDArray, fields: NDArray, first: int, last: int) -> None:
        """Replace fields by the Hessian applied to them."""
        measured = self.amplitudes[first:last]
        if self.plain:
            amplitude_hessian(psi, measured, self.low, self.high, fields)
            return
        intensity_hessian(
            psi, measured, self.added, self.beta, self.beta_change, self.poisson, self.low, self.high, fields,
            self._sums,
        )  # fmt: skip

    def _shape(self) -> tuple[int, int, int, int]:
        return self.count, self.modes, self.m, self.m

    def _far_fields(self, first: int, last: int, scratch: NDArray) -> NDArray[Any]:
        """Return psi of positions first..last-1: kept, or computed again into `scratch`."""
        if self._psi is not None:
            return self._psi[first:last]
        psi = scratch[: last - first]
        multiply_patches(
            self._tile,
            *self.probe.versions(first, last),
            self.corners[first:last],
            self.scales[first:last],
            psi,
        )
        self.fourier.forward(psi, psi)
        return psi

    def gradient(
        self, tile: NDArray, gradient: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        """See `Diffraction.gradient`."""
        self._tile = tile
        if probe_sum is not None and self.full and self._exits is None:
            self._exits = aligned_zeros(self._shape(), self.probe.dtype)
        corners, scales = self.corners[first:last], self.scales[first:last]
        fields = self._fields[: last - first]
        psi = self._psi[first:last] if self._psi is not None else self._more[: last - first]
        versions, which = self.probe.versions(first, last)
        multiply_patches(tile, versions, which, corners, scales, fields)
        self.fourier.forward(fields, psi)
        self._residual(psi, fields, first, last)
        self.fourier.backward(fields, fields)
        add_patches(fields, versions, which, corners, scales, gradient)
        if probe_sum is not None:
            target, slots = probe_sum.target(first, last)
            sum_patches(fields, tile, slots, corners, scales, target)
            probe_sum.add(first, last)
            if self._exits is not None:
                self._exits[first:last] = fields

    def product(
        self, change: NDArray, product: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        """See `Diffraction.product`."""
        corners, scales = self.corners[first:last], self.scales[first:last]
        fields = self._fields[: last - first]
        psi = self._far_fields(first, last, self._more)
        versions, which = self.probe.versions(first, last)
        multiply_patches(change, versions, which, corners, scales, fields)
        if probe_sum is not None:
            moved, slots = self.probe.direction(first, last)
            multiply_patches_add(self._tile, moved, slots, corners, scales, fields)
            if self._exits is not None:
                # before `moved`, which lives in a shared buffer, is overwritten
                add_patches(self._exits[first:last], moved, slots, corners, scales, product)
        self.fourier.forward(fields, fields)
        self._hessian(psi, fields, first, last)
        self.fourier.backward(fields, fields)
        add_patches(fields, versions, which, corners, scales, product)
        if probe_sum is not None:
            target, slots = probe_sum.target(first, last)
            sum_patches(fields, self._tile, slots, corners, scales, target)
            if self._exits is not None:
                sum_patches(self._exits[first:last], change, slots, corners, scales, target)
            probe_sum.add(first, last)
            self._add_bend(probe_sum, first, last)

    def losses_along(
        self, change: NDArray, steps: NDArray, losses: NDArray, first: int, last: int, with_probe: bool
    ) -> None:
        """See `Diffraction.losses_along`."""
        corners, scales = self.corners[first:last], self.scales[first:last]
        fields = self._fields[: last - first]
        psi = self._far_fields(first, last, self._more)
        versions, which = self.probe.versions(first, last)
        multiply_patches(change, versions, which, corners, scales, fields)
        bend = self._nothing
        if with_probe:
            moved, slots = self.probe.direction(first, last)
            multiply_patches_add(self._tile, moved, slots, corners, scales, fields)
            if self._bends is None:
                self._bends = self.fourier.buffer()
            bend = self._bends[: last - first]
            multiply_patches(change, moved, slots, corners, scales, bend)
            self.fourier.forward(bend, bend)
        self.fourier.forward(fields, fields)
        steps = np.asarray(steps, dtype=self.amplitudes.dtype)
        measured = self.amplitudes[first:last]
        if self.plain:
            amplitude_losses_along(psi, fields, bend, measured, steps, losses)
            return
        intensity_losses_along(
            psi, fields, bend, measured, self.added, self.beta, self.beta_change, self.poisson, steps, losses
        )

    def intensities(self, tile: NDArray, first: int, last: int) -> NDArray[Any]:
        """See `Diffraction.intensities`."""
        fields = self._fields[: last - first]
        versions, which = self.probe.versions(first, last)
        multiply_patches(tile, versions, which, self.corners[first:last], self.scales[first:last], fields)
        self.fourier.forward(fields, fields)
        return (fields.real**2 + fields.imag**2).sum(axis=1) + self.added

    def in_order(self, values: NDArray[Any]) -> NDArray[Any]:
        """See `Diffraction.in_order`: nothing to do."""
        return values
