"""Standard deviations of what a reconstruction has found."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, repr=False)
class Deviations:
    """Standard deviations of a result, and how they were found.

    They are whole arrays, and None for what the result does not have or has not refined. On pixels that are
    not illuminated the data say nothing: NaN.

    Attributes
    ----------
    meaning : str
        What an interval of so many deviations around the result stands for.
    samples : int
        How many samples of the posterior they come from; 0: an estimate from curvatures of single pixels.
    sampling_error : float
        Relative standard deviation of a standard deviation from so many samples, 1/sqrt(2 samples); NaN for
        none.
    products : int
        Hessian products of all samples.
    residual : float
        Largest relative residual of the linear problems.
    unsolved : float
        What more products would change a sample by, relative to it: the largest of the object and each map.
    iterations : int
        That took the fit to its minimum first.
    moved : float
        Distance of the result from there, in standard deviations: the largest root mean square of object and
        maps.
    amplitude, phase : (n_rows, n_cols) array of float64
        Of the object's modulus, and of its phase in radians.
    elements : (N_e, n_rows, n_cols) array of float64
    matrix : (n_rows, n_cols) array of float64
    probe : (K, m, m) array of float64
        Root of the mean of |change|^2.
    positions : (N, 2) array of float64
        In pixels.
    intensities : (N,) array of float64
    pattern_background : (m, m) array of float64
    """

    meaning: str
    samples: int
    products: int = 0
    residual: float = math.nan
    unsolved: float = math.nan
    iterations: int = 0
    moved: float = math.nan
    amplitude: NDArray[np.float64] | None = None
    phase: NDArray[np.float64] | None = None
    elements: NDArray[np.float64] | None = None
    matrix: NDArray[np.float64] | None = None
    probe: NDArray[np.float64] | None = None
    positions: NDArray[np.float64] | None = None
    intensities: NDArray[np.float64] | None = None
    pattern_background: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        of = ", ".join(self.arrays)
        return f"<{type(self).__name__}: {self.samples} samples of {of}; unsolved {self.unsolved:.1e}>"

    @property
    def sampling_error(self) -> float:
        """See the attributes."""
        return 1 / math.sqrt(2 * self.samples) if self.samples else math.nan

    @property
    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Those that there are, by name."""
        named = {entry.name: getattr(self, entry.name) for entry in fields(Deviations)}
        return {name: value for name, value in named.items() if isinstance(value, np.ndarray)}

    @property
    def plain(self) -> Deviations:
        """The deviations alone."""
        everything: dict[str, Any] = {**self.facts, **self.arrays}
        return Deviations(**everything)

    @property
    def facts(self) -> dict[str, Any]:
        """The rest, by name."""
        names = ("meaning", "samples", "products", "residual", "unsolved", "iterations", "moved")
        return {name: getattr(self, name) for name in names}
