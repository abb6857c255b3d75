"""The background of the patterns as an unknown: counts that do not come from the beam.

The intensity of pattern j is |psi_j|^2 + B, with B = B_0 + beta^2 and beta the unknown. B_0 is the background
of the scan or, where it has none, what the darkest pixels have in common; beta^2 stays positive without
bounds and enters like one more probe mode, real and the same in all patterns.

B_0 stays, because roots of few counts are lower on average than the root of the intensity, by up to 0.28: an
amplitude loss alone takes a background of less than a count away.
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

#: Beta^2 at the start, as a fraction of the known background, and at least so much of the mean count.
START, LEAST = 0.1, 1e-4


def dark_level(data: LocalData, mean: MeanPattern) -> float:
    """Return the background that the darkest pixels have in common, or less.

    Intensities of the beam vary from position to position, those of the background by the noise of counts
    only: what the darkest pixels vary more than their counts explain is taken off their mean.

    Parameters
    ----------
    data : LocalData
    mean : MeanPattern
    """
    scale = data.scan.count_scale
    assert data.patterns is not None
    eta = float(data.patterns.whole) if scale is None else float(scale.mean())
    lit = mean.good > 0
    dark = lit & (mean.counts <= np.percentile(mean.counts[lit], DARKEST))
    level = float(mean.counts[dark].mean())
    variance = float((mean.squares - mean.counts**2)[dark].mean())
    return max(level - np.sqrt(max(variance - eta * level, 0.0)), 0.0)


class PatternBackground(Replicated):
    """The root beta (m, m) of the background above B_0, in detector order and the root of the data's unit.

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
        """Return beta at the start, one number: small, but not 0, where the gradient is 0."""
        assert self._data.patterns is not None
        known, mean_count = self._terms.background(), self._data.patterns.mean_count
        return np.full(self.shape, np.sqrt(max(START * float(known.mean()), LEAST * mean_count)))

    def inverse_blocks(self, held: frozenset[str]) -> InverseBlocks:
        """Return M^-1 of beta: the curvature of a pixel is about its share B/I of the intensity."""
        if "background_amplitude" in held:
            return self.identity_blocks(held)
        background = self._terms.background()
        share = background / np.maximum(np.maximum(self._mean.counts, background), 1e-300)
        return self.diagonal((1 / (self._mean.good * share + FLOOR)).reshape(-1).astype(self.real))
