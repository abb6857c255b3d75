"""The ptychographic term of a rank: loss, gradient, Hessian product and loss along a line.

One pass goes over the positions a few patterns at a time, so that their fields stay in cache:
patch times probe, FFT, amplitude kernel, inverse FFT, overlap-add. Only the far fields psi at the point
last evaluated are kept (8 bytes per pattern pixel and mode in single precision), and not even these in
low-memory mode, where a product computes them again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.amplitudes import (
    CURVATURES,
    amplitude_hessian,
    amplitude_losses_along,
    amplitude_residual,
)
from ptyxrf.kernels.fourier import PatternFourier, aligned_zeros
from ptyxrf.kernels.patches import add_patches, multiply_patches, multiply_patches_add, sum_patches
from ptyxrf.kernels.probe_shift import PositionedProbe


class Diffraction:
    """sum_j 1/2 || M_j (|psi_j| - b_j) ||^2 over the positions of a rank, without the factor 1/N.

    Parameters
    ----------
    amplitudes : (N, m, m) array of float32 or float64
        b_j with the zero frequency at [0, 0]; negative where masked.
    corners : (N, 2) array of int64
        Patch corners on the tile.
    exposure : (N,) array of float64
        t_j, the factor of |psi_j|^2.
    probe : PositionedProbe
        Shared with the fluorescence term.
    curvature : {"full", "gauss-newton", "positive"}
    keep_far_fields : bool
        False: low memory.
    """

    def __init__(
        self,
        amplitudes: NDArray,
        corners: NDArray[np.int64],
        exposure: NDArray[np.float64],
        probe: PositionedProbe,
        curvature: str,
        keep_far_fields: bool = True,
    ) -> None:
        real = amplitudes.dtype
        self.amplitudes = amplitudes
        self.corners = np.ascontiguousarray(corners)
        self.probe = probe
        self.count, self.m = amplitudes.shape[0], amplitudes.shape[1]
        self.scales = (np.sqrt(exposure) / self.m).astype(real)  # 1/m makes the transforms unitary
        self.fourier = PatternFourier(probe.modes, self.m, probe.dtype)
        self.low, self.high = (real.type(bound) for bound in CURVATURES[curvature])
        self.full = curvature == "full"
        self.pattern_losses = np.zeros(self.count)
        self._fields, self._more = self.fourier.buffer(), self.fourier.buffer()
        shape = (self.count, probe.modes, self.m, self.m)
        self._psi = aligned_zeros(shape, probe.dtype) if keep_far_fields else None
        self._exits: NDArray[Any] | None = None  # conj-side fields of the full Hessian with a free probe
        self._tile: NDArray[Any] = np.zeros((0, 0), probe.dtype)
        self._nothing = np.zeros((0, probe.modes, self.m, self.m), probe.dtype)

    def _batches(self, batches: Iterable[tuple[int, int]] | None) -> Iterable[tuple[int, int]]:
        """Return the given batches of positions, or those of all positions in order."""
        if batches is not None:
            return batches
        size = self.fourier.batch
        return ((first, min(first + size, self.count)) for first in range(0, self.count, size))

    def _far_fields(self, first: int, last: int, scratch: NDArray) -> NDArray[Any]:
        """Return psi of positions first..last-1: kept, or computed again into `scratch`."""
        if self._psi is not None:
            return self._psi[first:last]
        psi = scratch[: last - first]
        multiply_patches(
            self._tile, self.probe.stack, self.probe.which[first:last], self.corners[first:last],
            self.scales[first:last], psi,
        )  # fmt: skip
        self.fourier.forward(psi, psi)
        return psi

    def gradient(
        self,
        tile: NDArray,
        gradient: NDArray,
        with_probe: bool,
        batches: Iterable[tuple[int, int]] | None = None,
    ) -> float:
        """Add the gradient over the positions to a tile, and to the probe's adjoint sum.

        Parameters
        ----------
        tile : (rows, columns) array of complex
            z. It is remembered as the point of the products that follow.
        gradient : (rows, columns) array of complex
            sum_j P_j^* F^* (psi - b q) is added to it.
        with_probe : bool
            Add sum_j S_j^* [conj(z_j) F^* (psi - b q)] to the adjoint sum of the probe.
        batches : iterable of (int, int), optional
            First position and one beyond the last of each batch, at most `fourier.batch` positions; together
            all of them. What is needed of a tile may become valid only when its batch is asked for.

        Returns
        -------
        float
            The loss of the positions.
        """
        self._tile = tile
        stack, which = self.probe.stack, self.probe.which
        if with_probe and self.full and self._exits is None:
            self._exits = aligned_zeros((self.count, self.probe.modes, self.m, self.m), self.probe.dtype)
        for start, end in self._batches(batches):
            corners, scales = self.corners[start:end], self.scales[start:end]
            fields = self._fields[: end - start]
            psi = self._psi[start:end] if self._psi is not None else self._more[: end - start]
            multiply_patches(tile, stack, which[start:end], corners, scales, fields)
            self.fourier.forward(fields, psi)
            amplitude_residual(psi, self.amplitudes[start:end], fields, self.pattern_losses[start:end])
            self.fourier.backward(fields, fields)
            add_patches(fields, stack, which[start:end], corners, scales, gradient)
            if with_probe:
                target, slots = self.probe.adjoint_target(start, end)
                sum_patches(fields, tile, slots, corners, scales, target)
                self.probe.adjoint_add(start, end)
                if self._exits is not None:
                    self._exits[start:end] = fields
        return float(self.pattern_losses.sum())

    def product(
        self,
        change: NDArray,
        product: NDArray,
        with_probe: bool,
        batches: Iterable[tuple[int, int]] | None = None,
    ) -> None:
        """Add the Hessian product over the positions to a tile, and to the probe's adjoint sum.

        Parameters
        ----------
        change : (rows, columns) array of complex
            dz; the change of the probe is the direction that its `PositionedProbe` holds.
        product : (rows, columns) array of complex
            The product is added to it.
        with_probe : bool
            Whether the probe changes too.
        batches : iterable of (int, int), optional
            As for `gradient`.
        """
        stack, which = self.probe.stack, self.probe.which
        for start, end in self._batches(batches):
            corners, scales = self.corners[start:end], self.scales[start:end]
            fields = self._fields[: end - start]
            psi = self._far_fields(start, end, self._more)
            multiply_patches(change, stack, which[start:end], corners, scales, fields)
            if with_probe:
                moved, slots = self.probe.direction(start, end)
                multiply_patches_add(self._tile, moved, slots, corners, scales, fields)
                if self._exits is not None:
                    # before `moved`, which lives in a shared buffer, is overwritten
                    add_patches(self._exits[start:end], moved, slots, corners, scales, product)
            self.fourier.forward(fields, fields)
            amplitude_hessian(psi, self.amplitudes[start:end], self.low, self.high, fields)
            self.fourier.backward(fields, fields)
            add_patches(fields, stack, which[start:end], corners, scales, product)
            if with_probe:
                target, slots = self.probe.adjoint_target(start, end)
                sum_patches(fields, self._tile, slots, corners, scales, target)
                if self._exits is not None:
                    sum_patches(self._exits[start:end], change, slots, corners, scales, target)
                self.probe.adjoint_add(start, end)

    def losses_along(
        self,
        change: NDArray,
        steps: NDArray,
        with_probe: bool,
        batches: Iterable[tuple[int, int]] | None = None,
    ) -> NDArray[np.float64]:
        """Return the loss at z + t dz (and P + t dP) for each t in `steps`; nothing is stored.

        Parameters
        ----------
        change : (rows, columns) array of complex
            dz.
        steps : (S,) array of float
            The values of t.
        with_probe : bool
            Whether the probe changes too.
        batches : iterable of (int, int), optional
            As for `gradient`.

        Returns
        -------
        (S,) array of float64
        """
        losses = np.zeros(len(steps))
        steps = np.asarray(steps, dtype=self.amplitudes.dtype)
        stack, which = self.probe.stack, self.probe.which
        bends = self.fourier.buffer() if with_probe else self._nothing
        for start, end in self._batches(batches):
            corners, scales = self.corners[start:end], self.scales[start:end]
            fields = self._fields[: end - start]
            psi = self._far_fields(start, end, self._more)
            multiply_patches(change, stack, which[start:end], corners, scales, fields)
            bend = self._nothing
            if with_probe:
                moved, slots = self.probe.direction(start, end)
                multiply_patches_add(self._tile, moved, slots, corners, scales, fields)
                bend = bends[: end - start]
                multiply_patches(change, moved, slots, corners, scales, bend)
                self.fourier.forward(bend, bend)
            self.fourier.forward(fields, fields)
            amplitude_losses_along(psi, fields, bend, self.amplitudes[start:end], steps, losses)
        return losses
