"""Measures of a scan: step, width of the probe, and what one pass over the diffraction patterns finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan

#: Relative standard error of a calibration that does not tell its own.
USUAL_CALIBRATION_ERROR = 0.3
#: Patterns are read this many bytes at a time.
BLOCK_BYTES = 64 * 2**20
#: Share of the intensity that defines the width of a probe.
WIDTH_SHARE = 0.8
#: The scale of a probe is rough if its intensity differs from the mean count of a pattern by more than this.
ROUGH_SCALE = 2.0


def median_step(positions: NDArray[np.float64]) -> float | None:
    """Return the median distance of a position to its nearest neighbour, in the unit of the positions.

    Parameters
    ----------
    positions : (N, 2) array of float

    Returns
    -------
    float or None
        None for a single position. Coincident positions are not each other's neighbours.
    """
    from scipy.spatial import KDTree

    places, index = np.unique(np.round(positions, 6), axis=0, return_inverse=True)
    if len(places) < 2:
        return None
    distance, _ = KDTree(places).query(places, k=2)
    return float(np.median(distance[index.ravel(), 1]))


def calibration_errors(scan: Scan) -> NDArray[np.float64]:
    """Return the relative standard error of each sensitivity, (N_e,); 0.3 where it is not given."""
    given = scan.sensitivity_error
    return np.full(scan.N_e, USUAL_CALIBRATION_ERROR) if given is None else given / scan.sensitivity


def probe_intensity(probe: NDArray[Any]) -> NDArray[np.float64]:
    """Return sum_k |P_k|^2 of a (K, m, m) probe."""
    return np.sum(np.abs(probe.astype(np.complex128)) ** 2, axis=0)


def probe_width(probe: NDArray[Any]) -> float:
    """Return the width of a probe: the diameter of the circle that holds 80 % of its intensity.

    The circle is about the centre of mass of sum_k |P_k|^2. The width of a uniform disc is 0.9 of its
    diameter, that of a Gaussian beam 1.5 times its full width at half maximum; rings and rims count, faint
    tails hardly.

    Parameters
    ----------
    probe : (K, m, m) array of complex
        The modes.

    Returns
    -------
    float
        In pixels of the object grid.
    """
    intensity = probe_intensity(probe)
    intensity /= intensity.sum()
    rows, columns = np.indices(intensity.shape)
    radius = np.hypot(rows - np.sum(rows * intensity), columns - np.sum(columns * intensity)).ravel()
    order = np.argsort(radius, kind="stable")
    held = np.cumsum(intensity.ravel()[order])
    # the circle passes half a pixel beyond the centre of the last pixel
    return float(2 * radius[order][np.searchsorted(held, WIDTH_SHARE)] + 1)


def scale_is_rough(probe: NDArray[Any], counts: float) -> bool:
    """Return whether a probe carries far more or fewer counts than a pattern has on average."""
    return not 1 / ROUGH_SCALE <= counts / float(probe_intensity(probe).sum()) <= ROUGH_SCALE


@dataclass
class PatternSummary:
    """What one pass over all patterns finds.

    Attributes
    ----------
    mean : (m, m) array of float
        Mean pattern; NaN and infinities count as 0.
    totals, maxima : (N,) array of float
        Sum and maximum of each pattern over its good pixels.
    not_finite, negative : int
        Values outside the mask that are NaN or infinite, or below zero.
    whole : bool
        Whether all good values are integers.
    good : (m, m) array of float
        Share of the patterns in which a pixel is good.
    """

    mean: NDArray[np.float64]
    totals: NDArray[np.float64]
    maxima: NDArray[np.float64]
    not_finite: int
    negative: int
    whole: bool
    good: NDArray[np.float64]

    @property
    def masked(self) -> float:
        """Share of the pixels of all patterns that are masked."""
        return float(1 - self.good.mean())


def summarise_patterns(scan: Scan) -> PatternSummary:
    """Read all patterns once, in blocks, and summarise them."""
    m, count = scan.m, scan.N
    total, times_good = np.zeros((2, m, m))
    totals, maxima = np.zeros(count), np.zeros(count)
    not_finite = negative = 0
    whole = True
    size = max(1, BLOCK_BYTES // (8 * m * m))
    for first in range(0, count, size):
        block = np.asarray(scan.patterns[first : first + size], dtype=np.float64)
        finite = np.isfinite(block)
        mask = scan.mask_at(slice(first, first + len(block)))
        good = np.broadcast_to(True if mask is None else mask, block.shape)
        times_good += good.sum(axis=0)
        not_finite += int((good & ~finite).sum())
        block = np.where(good & finite, block, 0.0)
        negative += int((block < 0).sum())
        whole = whole and bool((block == np.rint(block)).all())
        total += block.sum(axis=0)
        totals[first : first + size] = block.sum(axis=(1, 2))
        maxima[first : first + size] = block.max(axis=(1, 2))
    return PatternSummary(total / count, totals, maxima, not_finite, negative, whole, times_good / count)
