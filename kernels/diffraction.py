"""The ptychographic term of a rank: loss, gradient, Hessian product and loss along a line.

Two kinds do the same: `ptyxrf.kernels.simd.diffraction` in explicit vector code, where the size of the
patterns has small prime factors, and `ptyxrf.kernels.fftw.diffraction` with the transforms of a library,
for any size. `ptyxrf.kernels.implementation` chooses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.intensity_residual import FAINT
from ptyxrf.kernels.kept_counts import KeptCounts
from ptyxrf.kernels.patches import sum_patches
from ptyxrf.kernels.probe_shift import AdjointSum, PositionedProbe
from ptyxrf.kernels.words import CURVATURES, PATTERN_LOSSES


class Diffraction(ABC):
    """sum_j 1/2 || M_j (sqrt(|psi_j|^2 + beta^2) - b_j) ||^2 over the positions of a rank, without 1/N.

    Or the same sum of the loss of Poisson counts: see `ptyxrf.kernels.intensity_residual`.

    Parameters
    ----------
    amplitudes : (N, m, m) array of float32 or float64, or KeptCounts
        b_j with the zero frequency at [0, 0]; negative where masked. The term takes them over and may order
        them anew.
    corners : (N, 2) array of int64
        Patch corners on the tile.
    exposure : (N,) array of float64
        t_j, the factor of |psi_j|^2.
    probe : PositionedProbe
        Shared with the fluorescence term.
    curvature : {"full", "gauss-newton", "positive"}
    keep_far_fields : bool
        False: low memory.
    loss : {"amplitude", "poisson"}
    background : {"none", "given", "refined"}
        Whether intensities have a background, and whether it changes.

    Attributes
    ----------
    amplitudes : (N, ...) array or KeptCounts
        In an order of its own; negative where masked, and where a kind needs room beyond the pattern.
    kept_bytes : int
        What is kept of the point last evaluated.
    pattern_losses : (N,) array of float64
        Loss of each pattern at that point.
    known : (m, m) array of float64
        Background that is known, zero frequency at [0, 0].
    beta, beta_change : (m, m) array of real
        Root of the rest of it, and the direction in that.
    added : (m, m) array of real
        What adds to |psi|^2.
    plain : bool
        Nothing does, and amplitudes are compared.
    """

    amplitudes: NDArray[Any] | KeptCounts
    kept_bytes = 0

    def __init__(
        self,
        amplitudes: NDArray | KeptCounts,
        corners: NDArray[np.int64],
        exposure: NDArray[np.float64],
        probe: PositionedProbe,
        curvature: str,
        keep_far_fields: bool = True,
        loss: str = PATTERN_LOSSES[0],
        background: str = "none",
    ) -> None:
        self.real = amplitudes.dtype
        self.corners = np.ascontiguousarray(corners)
        self.probe, self.modes = probe, probe.modes
        self.count, self.m = amplitudes.shape[0], amplitudes.shape[1]
        self.scales = (np.sqrt(exposure) / self.m).astype(self.real)  # 1/m makes the transforms unitary
        self.low, self.high = (self.real.type(bound) for bound in CURVATURES[curvature])
        self.full = curvature == "full"
        self.poisson, self.background_moves = loss == "poisson", background == "refined"
        self.plain = background == "none" and not self.poisson
        if self.poisson:
            faint = self.real.type(FAINT)
            if isinstance(amplitudes, KeptCounts):
                amplitudes.faint = faint
            else:
                np.copyto(amplitudes, np.sqrt(amplitudes**2 + faint), where=amplitudes >= 0)
        self.pattern_losses = np.zeros(self.count)
        self._tile: NDArray[Any] = np.zeros((0, 0), probe.dtype)  # the point last evaluated
        self._exits: NDArray[Any] | None = None  # conj-side fields of the full Hessian with a free probe
        self._set_up(amplitudes, keep_far_fields)
        self.beta, self.beta_change, self.added = np.zeros((3, self.m, self.m), self.real)
        self.known = np.zeros((self.m, self.m))
        if not self.plain:
            self.set_background(self.beta)

    @abstractmethod
    def _set_up(self, amplitudes: NDArray | KeptCounts, keep_far_fields: bool) -> None:
        """Store the amplitudes, and allocate what is kept and computed."""

    def set_known_background(self, background: NDArray) -> None:
        """Take the background that is known (m, m), zero frequency at [0, 0]."""
        self.known = background.astype(np.float64)
        self.set_background(self.beta)

    def set_background(self, beta: NDArray) -> None:
        """Take the root of the rest of the background (m, m), zero frequency at [0, 0]."""
        self.beta = beta.astype(self.real)
        faint = FAINT if self.poisson else 0.0
        self.added = (self.beta.astype(np.float64) ** 2 + self.known + faint).astype(self.real)
        self._set_levels()

    def set_background_direction(self, change: NDArray) -> None:
        """Take a change of the root of the background (m, m)."""
        self.beta_change = change.astype(self.real)
        self._set_levels()

    @abstractmethod
    def _set_levels(self) -> None:
        """Take what was set of the background into a layout of its own."""

    @abstractmethod
    def clear_background_sum(self) -> None:
        """Begin an empty sum of what positions tell of the background."""

    @abstractmethod
    def background_sum(self) -> NDArray[np.float64]:
        """Return what gradients or products have added in beta since then, (m, m)."""

    @abstractmethod
    def gradient(
        self, tile: NDArray, gradient: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        """Add the gradient of some positions to a tile and to a sum for the probe; set their losses.

        Parameters
        ----------
        tile : (rows, columns) array of complex
            z; it is remembered as the point of the products that follow.
        gradient : (rows, columns) array of complex
            sum_j P_j^* F^* (psi - b q) is added to it.
        first, last : int
            The positions first to last - 1, at most `probe.batch` of them.
        probe_sum : AdjointSum or None
            sum_j S_j^* [conj(z_j) F^* (psi - b q)] is added to it.
        """

    @abstractmethod
    def product(
        self, change: NDArray, product: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        """Add the Hessian product of some positions to a tile and to a sum for the probe.

        Parameters
        ----------
        change : (rows, columns) array of complex
            dz; the change of the probe is the direction that its `PositionedProbe` holds.
        product : (rows, columns) array of complex
            The product is added to it.
        first, last : int
            As for `gradient`.
        probe_sum : AdjointSum or None
            The probe's part is added to it; None: the probe does not change.
        """

    def _add_bend(self, probe_sum: AdjointSum, first: int, last: int) -> None:
        """Add the part of the full Hessian that comes from the second derivative of the shifts."""
        if self._exits is not None and probe_sum.with_slopes:
            target, slots = probe_sum.target(first, last)
            corners, scales = self.corners[first:last], self.scales[first:last]
            sum_patches(self._exits[first:last], self._tile, slots, corners, scales, target)
            probe_sum.add_bend(first, last)

    @abstractmethod
    def losses_along(
        self, change: NDArray, steps: NDArray, losses: NDArray, first: int, last: int, with_probe: bool
    ) -> None:
        """Add the loss of some positions at z + t dz (and P + t dP) for each t; nothing is kept.

        Parameters
        ----------
        change : (rows, columns) array of complex
            dz.
        steps : (S,) array of float
            The values of t.
        losses : (S,) array of float64
            The losses are added to it.
        first, last : int
            As for `gradient`.
        with_probe : bool
            Whether the probe changes too.
        """

    @abstractmethod
    def intensities(self, tile: NDArray, first: int, last: int) -> NDArray[Any]:
        """Return the intensities of some positions, background included; nothing is kept of them.

        Parameters
        ----------
        tile : (rows, columns) array of complex
            z; it does not become the point of products.
        first, last : int
            As for `gradient`.

        Returns
        -------
        (last - first, ...) array
            In the order of `amplitudes`; numbers beyond a pattern mean nothing.
        """

    @abstractmethod
    def in_order(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return an (m, m) pattern, zero frequency at [0, 0], from numbers in the order of `amplitudes`."""
