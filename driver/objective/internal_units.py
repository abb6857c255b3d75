"""The units inside the objective, in which every field is of order 1 for any units of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.local_data import LocalData


@dataclass(frozen=True)
class InternalUnits:
    """What data, probe and losses are divided by.

    Amplitudes are divided by the root of the mean count and the probe with them; the fluorescence of each
    element by its root mean square. Losses, gradients and products are multiplied by the mean count when
    they come out.

    Attributes
    ----------
    mean_count : float
        mean(d) over the good pixels of all patterns.
    fluorescence : (N_e,) array of float64
        Root mean square of D_e - B_e; 1 where that is 0. Empty without fluorescence.
    """

    mean_count: float
    fluorescence: NDArray[np.float64]

    @classmethod
    def of(cls, data: LocalData, probe: NDArray) -> InternalUnits:
        """Return the units for the data of all ranks; without patterns the probe gives the mean count."""
        if data.patterns is not None:
            mean_count = data.patterns.mean_count
        else:
            mean_count = float((np.abs(probe) ** 2).sum()) / data.scan.m**2
        roots = np.zeros(0) if data.counts is None else np.sqrt(data.counts.mean_square)
        return cls(mean_count, np.where(roots > 0, roots, 1.0))

    @property
    def amplitude(self) -> float:
        """Unit of amplitudes and of the probe."""
        return np.sqrt(self.mean_count)

    def gains(self, sensitivity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the factors of A_e, for a probe and counts in internal units."""
        return sensitivity * self.mean_count / self.fluorescence

    def weights(self, alpha: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights of squared residuals in internal units."""
        return alpha * self.fluorescence**2 / (len(alpha) * self.mean_count)

    def counts(self, net: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
        """Return D_e - B_e in internal units."""
        return np.ascontiguousarray(net / self._columns(net), dtype=dtype)

    def net_counts(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Return D_e - B_e from counts in internal units."""
        return counts.astype(np.float64) * self._columns(counts)

    def _columns(self, maps: NDArray[Any]) -> NDArray[np.float64]:
        return self.fluorescence.reshape(-1, *([1] * (maps.ndim - 1)))
