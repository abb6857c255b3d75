"""Sensitivities of the fluorescence detector as a joint reconstruction has refined them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RefinedSensitivity:
    """The sensitivity of each element, and how far the patterns tell it; the same on every rank.

    Attributes
    ----------
    given : (N_e,) array of float64
        Counts per incident photon and unit of the map, as the scan has them.
    values : (N_e,) array of float64
        As they were refined.
    errors : (N_e,) array of float64
        Standard deviation of their logarithms by calibration and patterns.
    prior_errors : (N_e,) array of float64
        That by the calibration alone. An element of which the patterns tell nothing has no less.
    """

    given: NDArray[np.float64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    prior_errors: NDArray[np.float64]

    @property
    def factors(self) -> NDArray[np.float64]:
        """(N_e,): the refined over the given values."""
        return self.values / self.given

    def texts(self, names: Sequence[str]) -> list[str]:
        """Return a line for each element: what was refined, and to how many per cent it is known."""
        return [
            f"{name}: {factor:.3g} times that of the scan, known to {100 * error:.2g} % "
            f"({100 * prior:.2g} % without the patterns)"
            for name, factor, error, prior in zip(
                names, self.factors, self.errors, self.prior_errors, strict=True
            )
        ]
