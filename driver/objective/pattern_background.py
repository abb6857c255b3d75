"""The background of the patterns as an unknown: counts that do not come from the beam.

The intensity of pattern j is |psi_j|^2 + B with B = beta^2, and beta the unknown: B stays positive without
bounds. It enters like one more probe mode, real and the same in all patterns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.local_data import LocalData, MeanPattern
from ptyxrf.driver.objective.terms import Terms
from ptyxrf.driver.objective.unknown_kinds import Replicated
from ptyxrf.driver.solver.inverse_blocks import InverseBlocks

#: The curvature of a pixel lies between 0 and 1: this is added, for pixels that are bright.
FLOOR = 0.1

#: Percentage of the good pixels that count as dark at the start.
DARKEST = 1.0

#: Least background at the start, as a fraction of the mean count: at 0 the gradient in beta is 0.
LEAST = 1e-4


class PatternBackground(Replicated):
    """The root beta (m, m) of the background, in detector order, in the root of the unit of the data.

    Parameters
    ----------
    data : LocalData
    mean : MeanPattern
    terms : Terms
        Which know the point last evaluated.
    real : float32 or float64
    """

    def __init__(self, data: LocalData, mean: MeanPattern, terms: Terms, real: np.dtype[Any]) -> None:
        super().__init__("background_amplitude", (data.scan.m, data.scan.m), real)
        self._data, self._mean, self._terms = data, mean, terms

    def initial(self) -> NDArray[np.float64]:
        """Return beta at the start: that of the scan, or one number from the darkest pixels."""
        assert self._data.patterns is not None
        least = LEAST * self._data.patterns.mean_count
        given = self._data.scan.pattern_background
        if given is None:
            dark = np.percentile(self._mean.counts[self._mean.good > 0], DARKEST)
            given = np.full(self.shape, dark)
        return np.sqrt(np.maximum(given, least))

    def inverse_blocks(self, held: frozenset[str]) -> InverseBlocks:
        """Return M^-1 of beta: the curvature of a pixel is about its share B/I of the intensity."""
        if "background_amplitude" in held:
            return self.identity_blocks(held)
        background = self._terms.background()
        share = background / np.maximum(np.maximum(self._mean.counts, background), 1e-300)
        return self.diagonal((1 / (self._mean.good * share + FLOOR)).reshape(-1).astype(self.real))
