"""The variance that counts of a model have in each sample of the fluorescence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.fluorescence_counts import FluorescenceData
from ptyxrf.parallel.tile import Tile

#: Smallest expected count of a sample, as a fraction of the mean count of its element: where the model says
#: nearly none, a single count must not outweigh the map.
LEAST_COUNT = 0.05


class FluorescenceNoise:
    """Variances of the fluorescence of a scan.

    Parameters
    ----------
    scan : Scan
    counts : FluorescenceData
    tile : Tile

    Attributes
    ----------
    scales : (N_e,) array of float64
        eta_e: the variance of a sample over its expected value; 0 for noiseless data.
    known : bool
        Whether the scan tells the scales; otherwise they are 1.
    mean : (N_e,) array of float64
        Variance of a mean sample, to which the uniform weights belong; 1 for elements without data. Without
        noise it is that of raw counts.
    """

    def __init__(self, scan: Scan, counts: FluorescenceData, tile: Tile) -> None:
        given, self._given = scan.fluorescence_count_scale, scan.fluorescence_variance
        here = tile.owned.slices if scan.sampling == "grid" else (tile.positions,)
        self._here = None if self._given is None else self._given[(slice(None), *here)]
        self._background, self._measured = scan.background, counts.measured
        self._counts = np.where(counts.measured & (counts.mean_modulus > 0), counts.mean_modulus, 1.0)
        self.scales = np.ones(scan.N_e) if given is None else np.array(given, dtype=np.float64)
        self.known = given is not None or counts.whole or self._given is not None

    @property
    def noisy(self) -> bool:
        """Whether all measured elements have noise."""
        return self._given is not None or bool((self.scales[self._measured] > 0).all())

    @property
    def mean(self) -> NDArray[np.float64]:
        """See the attributes."""
        if self._given is not None:
            flat = self._given.reshape(len(self._given), -1)
            weights = np.where(np.isnan(flat), 0.0, 1 / flat).sum(axis=1) / np.sum(~np.isnan(flat), axis=1)
            return np.where(self._measured, 1 / weights, 1.0)
        scales = np.where(self.scales > 0, self.scales, 1.0)
        return np.where(self._measured, scales * self._counts, 1.0)

    def variance(self, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance of each sample for expected values (N_e, ...), background included.

        Poisson counts times eta have the variance eta times their expected value: from the model,
        never from the datum, whose own noise would bias a weighted mean downwards. Variances that the scan
        has stand instead; they are infinite where a value is to have no weight.
        """
        if self._here is not None:
            return np.where(np.isnan(self._here), np.inf, self._here)
        floor = np.maximum(self._background, LEAST_COUNT * self._counts)
        extra = (-1, *[1] * (predicted.ndim - 1))
        return self.scales.reshape(extra) * np.maximum(predicted, floor.reshape(extra))
