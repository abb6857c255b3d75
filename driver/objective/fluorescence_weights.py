"""The weights of the fluorescence that are in use, and the strengths of the prior of its maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.fluorescence_noise import FluorescenceNoise
from ptyxrf.driver.objective.terms import Terms
from ptyxrf.driver.objective.weights import power_of_two
from ptyxrf.parallel.gather import gather_tiles


class FluorescenceWeights:
    """Weights and strengths that may change between two iterations; the objective is another one afterwards.

    Parameters
    ----------
    terms : Terms
        Gets the weights.
    alpha : (N_e,) array of float64
        Of a mean sample of each element.
    changed : callable
        Called when weights or strengths have changed.
    statistical : bool
        Whether they are those of maximum likelihood.
    strengths : (N_e,) array of float64
        Of the prior, see the attributes.

    Attributes
    ----------
    alpha : (N_e,) array of float64
    noise : FluorescenceNoise or None
        None without fluorescence.
    follow_counts : bool
        Whether samples are weighed by the counts that the model expects in them.
    strengths : (N_e,) array of float64
        Of the prior of each map: one over the variance of the differences of neighbouring pixels. Beside it
        stands the negative log likelihood of the fluorescence, sum_i residual_e,i^2 / (2 variance_e,i).
    sensitivity : (N_e,) array of float64
        In use; that of the scan until it is calibrated.
    """

    def __init__(
        self,
        terms: Terms,
        alpha: NDArray[np.float64],
        strengths: NDArray[np.float64],
        changed: Callable[[], None],
        *,
        statistical: bool,
    ) -> None:
        self._terms, self._data, self.alpha = terms, terms.data, alpha
        self.sensitivity = terms.data.scan.sensitivity
        counts, data = self._data.counts, self._data
        self.noise = None if counts is None else FluorescenceNoise(data.scan, counts, data.tile)
        self.follow_counts = statistical and self.noise is not None and self.noise.noisy
        self._present = None if counts is None or counts.lost is None else np.where(counts.lost, 0.0, 1.0)
        self._relative = self._present
        self.strengths, self._changed = strengths, changed
        self._set()

    @property
    def unit(self) -> NDArray[np.float64]:
        """The loss of each element over its negative log likelihood."""
        assert self.noise is not None
        return self.alpha * self.noise.mean / len(self.alpha)

    def _set(self) -> None:
        self._terms.set_alpha(self.alpha, self._relative)
        if self.noise is not None:
            self._terms.set_strengths(self.unit * self.strengths)
        self._changed()

    @property
    def scales(self) -> NDArray[np.float64]:
        """The variance of a count over its expected value, for each element; empty without fluorescence."""
        return np.zeros(0) if self.noise is None else self.noise.scales

    @property
    def uniform(self) -> bool:
        """Whether all samples of an element have the same weight."""
        return self._relative is None

    def regularise(self, strengths: NDArray[np.float64]) -> None:
        """Take other (N_e,) strengths of the prior."""
        self.strengths = strengths
        self._set()

    def calibrate(self, sensitivity: NDArray[np.float64]) -> None:
        """Take other (N_e,) sensitivities; maps of the same counts keep the loss of their prior."""
        self.strengths = self.strengths * (sensitivity / self.sensitivity) ** 2
        self.sensitivity = sensitivity
        self._terms.set_sensitivity(sensitivity)
        self._set()

    def rescale(self, scales: NDArray[np.float64]) -> None:
        """Take other count scales (N_e,), and the weights of mean samples that belong to them."""
        assert self.noise is not None
        if self.follow_counts and not np.array_equal(scales, self.noise.scales):
            self.alpha = self.alpha * self.noise.scales / scales
        self.noise.scales = scales
        self._set()

    def follow(self, predicted: NDArray[np.float64]) -> None:
        """Weigh each sample by the variance of its expected count (N_e, ...).

        alpha_e,i = (N_e / N) sigma_b^2 / variance_e,i: maximum likelihood.
        """
        assert self.noise is not None
        extra = (-1, *[1] * (predicted.ndim - 1))
        self._relative = self.noise.mean.reshape(extra) / self.variance(predicted)
        self._set()

    def variance(self, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance of each sample for expected values (N_e, ...); infinite where it is lost."""
        assert self.noise is not None
        variance = self.noise.variance(predicted)
        return variance if self._present is None else np.where(self._present > 0, variance, np.inf)

    def memory(self) -> dict[str, NDArray[Any]]:
        """Return what has changed since the objective was made: arrays, the same on every rank."""
        if self.noise is None:
            return {}
        kept = {"strengths": self.strengths, "count_scales": self.noise.scales}
        if not np.array_equal(self.sensitivity, self._data.scan.sensitivity):
            kept["sensitivity"] = self.sensitivity
        return kept if self._relative is None else kept | {"relative_weights": self._gathered(self._relative)}

    def restore(self, memory: Mapping[str, NDArray[Any]]) -> None:
        """Take what `memory` has returned, of this objective or of another one of the same fluorescence."""
        if "strengths" not in memory:
            return
        if "relative_weights" in memory:
            tile, on_grid = self._data.tile, self._data.scan.sampling == "grid"
            here = tile.owned.slices if on_grid else (tile.positions,)
            self._relative = memory["relative_weights"][(slice(None), *here)]
        self.calibrate(memory.get("sensitivity", self.sensitivity))
        self.rescale(memory["count_scales"])
        self.regularise(memory["strengths"])

    def _gathered(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the samples (N_e, ...) of all ranks, on every rank."""
        data = self._data
        if data.scan.sampling == "grid":
            return gather_tiles(data.ranks.comm, data.tile, samples)
        whole = np.zeros(data.scan.fluorescence.shape)
        whole[:, data.tile.positions] = samples
        return data.ranks.sum(whole)

    def variances(self) -> NDArray[np.float64]:
        """Return the variances from which the weights follow, as they broadcast over the samples.

        They are infinite where a sample has no weight.
        """
        assert self.noise is not None and self._data.net is not None
        mean = self.noise.mean.reshape(-1, *[1] * (self._data.net.ndim - 1))
        weights = np.where(self.alpha > 0, 1.0, 0.0).reshape(mean.shape)
        if self._relative is not None:
            weights = weights * self._relative
        return np.where(weights > 0, mean / np.where(weights > 0, weights, 1.0), np.inf)

    def pulling(self, deviations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return changes of the samples that are some standard deviations of their weights in the loss."""
        variances = self.variances() / self.unit.reshape(-1, *[1] * (deviations.ndim - 1))
        return np.where(np.isfinite(variances), deviations * np.sqrt(variances), 0.0)

    def scale(self) -> float:
        """Multiply the weights so that the fluorescence alone has a loss of order 1; return the factor.

        Single precision cannot hold the squares of its loss. A power of two changes no digit of the result.
        """
        counts, scan = self._data.counts, self._data.scan
        if self._data.patterns is not None or counts is None:
            return 1.0
        samples = np.prod(scan.fluorescence.shape[1:])
        factor = power_of_two(float((self.alpha * counts.mean_square).sum()) * samples)
        self.alpha = self.alpha * factor
        self._set()
        return factor
