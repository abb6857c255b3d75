"""The common part of the two samplings of the fluorescence: weighted least squares in the element maps.

    Phi_f = sum_e weight_e / 2 sum_i relative_ei (gain_e A w_e - data_e)_i^2

The residual is linear in w and, where the probe is unknown, quadratic in the probe through |P|^2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.probe_shift import AdjointSum, PositionedProbe
from ptyxrf.kernels.reductions import dot


class Fluorescence(ABC):
    """The fluorescence term of a rank.

    Parameters
    ----------
    data : (N_e, ...) array of float32 or float64
        Counts minus background, in the unit of the term; 0 for an element of weight 0.
    gains, weights : (N_e,) arrays of float64
        Factor of A_e and weight of each element; an element of weight 0 is left out.
    probe : PositionedProbe
        Shared with the diffraction term.
    full : bool
        Keep the terms of the Hessian in the residual (probe unknown).

    Attributes
    ----------
    relative : (N_e, ...) array like the data, or None
        Weight of each sample relative to that of its element; None: 1.
    """

    def __init__(
        self,
        data: NDArray,
        gains: NDArray[np.float64],
        weights: NDArray[np.float64],
        probe: PositionedProbe,
        full: bool,
    ) -> None:
        self.data, self.gains, self.probe, self.full = data, gains, probe, full
        self.set_weights(weights)
        self.residual = np.zeros_like(data)

    def set_weights(self, weights: NDArray[np.float64], relative: NDArray | None = None) -> None:
        """Take new (N_e,) weights, and those of the samples relative to them."""
        self.weights = weights
        self.relative = None if relative is None else relative.astype(self.data.dtype)
        self.active = [int(e) for e in np.flatnonzero(weights)]

    def _weighed(self, e: int, values: NDArray) -> NDArray:
        """Return values at the samples of an element times their relative weights."""
        return values if self.relative is None else self.relative[e] * values

    def _loss(self) -> float:
        return sum(
            0.5 * float(self.weights[e]) * dot(self.residual[e], self._weighed(e, self.residual[e]))
            for e in self.active
        )

    def losses_along(self, change: NDArray, steps: NDArray, with_probe: bool) -> NDArray[np.float64]:
        """Return the loss at w + t dw (and P + t dP) for each t in `steps`, from the point last evaluated.

        The residual is a polynomial in t, so its Gram matrix holds all that is needed.
        """
        steps = np.asarray(steps, dtype=np.float64)
        losses = np.zeros(len(steps))
        for e, terms in self._residual_terms(change, with_probe):
            weighed = [self._weighed(e, values) for values in terms]
            gram = np.array([[dot(left, right) for right in weighed] for left in terms])
            powers = steps[:, None] ** np.arange(len(terms))
            losses += 0.5 * self.weights[e] * np.einsum("si,ij,sj->s", powers, gram, powers)
        return losses

    @abstractmethod
    def set_probe(self, probe: NDArray) -> None:
        """Take the (K, m, m) probe; the shared `PositionedProbe` has it already."""

    @abstractmethod
    def blur(self, maps: NDArray) -> NDArray:
        """Return gain_e A w_e for maps (N_e, rows, columns) on the tile."""

    @abstractmethod
    def adjoint(self, samples: NDArray, maps: NDArray) -> None:
        """Add weight_e gain_e A^T R samples_e (N_e, ...) to `maps` (N_e, rows, columns) on the tile."""

    @abstractmethod
    def gradient(self, maps: NDArray, gradient: NDArray, probe_sum: AdjointSum | None) -> float:
        """Add the gradient in w to `gradient` (N_e, rows, columns); return the loss.

        The gradient in the probe of each position is added to `probe_sum`, where it is asked for.
        """

    @abstractmethod
    def product(self, change: NDArray, product: NDArray, probe_sum: AdjointSum | None) -> None:
        """Add the Hessian product in w to `product`, and that in the probe to `probe_sum`, where it changes.

        The change of the probe is the one that `set_direction` was given.
        """

    @abstractmethod
    def set_direction(self, direction: NDArray) -> None:
        """Take the (K, m, m) change of the probe; the shared `PositionedProbe` has it already."""

    @abstractmethod
    def diagonal(
        self, shape: tuple[int, int], corners: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return the row sums of A^T R A on the tile, R the relative weights: its lumped diagonal.

        It is that of every element, (N_e, rows, columns), or of all, (1, rows, columns), without gain and
        weight. With corners (N, 2), the probe of a position is taken at these whole pixels and without gain.
        """

    @abstractmethod
    def _residual_terms(self, change: NDArray, with_probe: bool) -> list[tuple[int, list[NDArray]]]:
        """Return, for each active element, the residual's coefficients of t^0, t^1, ..."""
