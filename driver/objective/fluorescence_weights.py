"""The weights of the fluorescence that are in use, and the strengths of the prior of its maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.fluorescence_noise import FluorescenceNoise
from ptyxrf.driver.objective.terms import Terms
from ptyxrf.driver.objective.weights import power_of_two


class FluorescenceWeights:
    """Weights and strengths that may change between two iterations; the objective is another one afterwards.

    Parameters
    ----------
    terms : Terms
        Gets the weights.
    alpha : (N_e,) array of float64
        Of a mean sample of each element.
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
    vector : (size,) array or None
        Where those counts were taken; None: the weights are uniform.
    """

    def __init__(
        self, terms: Terms, alpha: NDArray[np.float64], strengths: NDArray[np.float64], *, statistical: bool
    ) -> None:
        self._terms, self._data, self.alpha = terms, terms.data, alpha
        self.noise = (
            None if self._data.counts is None else FluorescenceNoise(self._data.scan, self._data.counts)
        )
        self.follow_counts = statistical and self.noise is not None and self.noise.noisy
        self.vector: NDArray[Any] | None = None
        self._relative: NDArray[np.float64] | None = None
        self.strengths = strengths
        self._set()

    def _set(self) -> None:
        self._terms.set_alpha(self.alpha, self._relative)
        if self.noise is not None:
            # the loss of an element is its negative log likelihood times this
            unit = self.alpha * self.noise.mean / len(self.alpha)
            self._terms.set_strengths(unit * self.strengths)

    def regularise(self, strengths: NDArray[np.float64]) -> None:
        """Take other (N_e,) strengths of the prior."""
        self.strengths = strengths
        self._set()

    def follow(self, vector: NDArray[Any], predicted: NDArray[np.float64]) -> None:
        """Weigh each sample by the variance of its expected count (N_e, ...), which a vector predicts.

        alpha_e,i = (N_e / N) sigma_b^2 / variance_e,i: maximum likelihood.
        """
        assert self.noise is not None
        extra = (-1, *[1] * (predicted.ndim - 1))
        self._relative = self.noise.mean.reshape(extra) / self.noise.variance(predicted)
        self.vector = vector.copy()
        self._set()

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
