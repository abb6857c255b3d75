"""Counts of fluorescence maps that are stored as rates, averaged over the elements of a detector.

XRF-Maps and MapsPy divide the counts of all elements of the detector, summed, by the number of elements and
the live time. Counts are whole numbers: that shows which number of elements it was.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Units, in small letters, of counts and of counts for each second of live time.
COUNTS = ("cts", "counts", "count", "ct")
RATES = ("cts/s", "counts/s", "counts/sec", "counts per second", "cps", "c/s")
#: Largest number of elements of a detector that is looked for.
MOST_ELEMENTS = 8
#: Share of the pixels with whole numbers that shows counts. Live times are rounded.
WHOLE_SHARE = 0.85
#: Distance from a whole number that rounding explains, and the largest number for which that is so.
NEAR, LARGEST = 0.02, 1000.0
#: Pixels with counts that say anything.
LEAST_PIXELS = 10


@dataclass(frozen=True)
class CountRule:
    """How the values of maps become counts.

    Attributes
    ----------
    factor : (rows, columns) array of float64 or 1.0
        Counts = factor x value.
    note : str
        What the factor is, and what shows it.
    """

    factor: Any
    note: str


def whole_share(values: NDArray[np.float64]) -> float:
    """Return the share of the values of a typical map that are whole numbers; 0 where there are too few."""
    shares = []
    for image in values:
        known = image[np.isfinite(image) & (image > NEAR) & (image < LARGEST)]
        if len(known) >= LEAST_PIXELS:
            shares.append(np.mean(np.abs(known - np.rint(known)) < NEAR))
    return float(np.median(shares)) if shares else 0.0


def count_rule(
    regions: NDArray[np.float64], live: NDArray[np.float64] | None, detectors: int | None = None
) -> CountRule:
    """Return how maps become counts, from the maps of regions of interest of the same spectra.

    Parameters
    ----------
    regions : (N_e, rows, columns) array of float64
        Sums over regions of the spectra: whole numbers where they are counts.
    live : (rows, columns) array of float64 or None
        Live time in seconds, where the file has it.
    detectors : int, optional
        Elements of the detector; default: the fewest that make whole numbers.

    Warns
    -----
    UserWarning
        Nothing shows what the values are.
    """
    if detectors is None:
        share = whole_share(regions)
        if share >= WHOLE_SHARE:
            return CountRule(1.0, f"counts as they are (whole in {100 * share:.0f} % of the pixels)")
    if live is None:
        warnings.warn(
            "maps: expected counts, or rates with a live time: the counts are a guess", stacklevel=4
        )
        return CountRule(1.0, "counts as they are, which nothing shows")
    tried = range(1, MOST_ELEMENTS + 1) if detectors is None else [detectors]
    for k in tried:
        share = whole_share(k * regions * live)
        if share >= WHOLE_SHARE or detectors is not None:
            return CountRule(
                k * live,
                f"rates x live time x {k} elements of the detector "
                f"(whole in {100 * share:.0f} % of the pixels)",
            )
    warnings.warn(
        "maps: rates times live time are no whole numbers for 1 to 8 elements of the detector: their number "
        "(detectors) is taken for 1",
        stacklevel=4,
    )
    return CountRule(live, "rates x live time x 1 element of the detector, which nothing shows")
