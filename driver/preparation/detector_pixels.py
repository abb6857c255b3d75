"""Pixels of a detector that do not count as they should: gaps, saturated, hot and dead ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import rank_filter

#: A hot pixel counts so many times as much as its brighter neighbours, all but one of them, ...
HOT_RATIO = 4.0
#: ... and as many standard deviations more than that.
HOT_DEVIATIONS = 10.0
#: A pixel without counts is dead where neighbours have at least so many.
DEAD_COUNTS = 25.0
#: The largest value is that of saturated pixels if so many pixels of the frames share it, ...
SATURATED_PIXELS = 3
#: ... and it is at least this: small counts repeat without a reason.
SATURATED_COUNTS = 1000.0
#: Rounds in which hot pixels are found beside hot pixels.
ROUNDS = 3
_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def outside_range(
    lowest: NDArray[Any], highest: NDArray[Any], values: Sequence[int] | None
) -> NDArray[np.bool_]:
    """Return which pixels have values that are no counts, from their lowest and highest values.

    Parameters
    ----------
    lowest, highest : arrays of one dtype
    values : sequence of int, optional
        Values of gaps. Default: negative ones, and the largest of an integer type.
    """
    if values is not None:
        return np.isin(highest, values) | np.isin(lowest, values)
    bad = ~np.isfinite(highest) | ~np.isfinite(lowest) | (lowest < 0)
    if highest.dtype.kind in "iu":
        bad |= highest == np.iinfo(highest.dtype).max
    else:  # integers that were converted
        bad |= np.isin(highest, (2.0**32 - 1, 2.0**31 - 1, 2.0**16 - 1, 2.0**32))
    return bad


def saturation_of(frames: NDArray[Any], good: NDArray[np.bool_]) -> float | None:
    """Return the value at which pixels are saturated, or None where none are.

    Parameters
    ----------
    frames : (B, H, W) array of real numbers
        A sample.
    good : (H, W) array of bool
        Pixels whose values are counts.
    """
    values = frames[:, good]
    if not values.size:
        return None
    top = values.max()
    if top < SATURATED_COUNTS:
        return None
    # noise never repeats a large maximum; a pixel that is stuck at it does in every frame
    reached = (values == top).any(axis=0)
    moving = reached & (values.min(axis=0) < top)
    return float(top) if moving.sum() >= SATURATED_PIXELS else None


def hot_pixels(sums: NDArray[np.float64], good: NDArray[np.bool_], per_photon: float) -> NDArray[np.bool_]:
    """Return which pixels count far more than all of their neighbours but one.

    Neighbours of the mean pattern differ little: a detector samples it at least twice per speckle.

    Parameters
    ----------
    sums : (H, W) array of float64
        Counts of many frames.
    good : (H, W) array of bool
        The others are neighbours of no pixel.
    per_photon : float
        Value of one photon.
    """
    hot = np.zeros(sums.shape, bool)
    for _ in range(ROUNDS):
        known = np.where(good & ~hot, sums, -np.inf)
        # the second largest of the eight
        around = rank_filter(known, -2, footprint=_NEIGHBOURS, mode="constant", cval=-np.inf)
        level = np.where(np.isfinite(around), np.maximum(around, 0.0), np.inf)
        noise = np.sqrt(per_photon * (level + per_photon))
        more = good & ~hot & (sums > HOT_RATIO * level + HOT_DEVIATIONS * noise)
        if not more.any():
            break
        hot |= more
    return hot


def dead_pixels(sums: NDArray[np.float64], good: NDArray[np.bool_], per_photon: float) -> NDArray[np.bool_]:
    """Return which pixels never count where their neighbours do; parameters as `hot_pixels`."""
    silent = good & (sums <= 0)
    if not silent.any():
        return silent
    # the lower median of the eight, those without counts the largest
    known = np.where(good, sums, np.inf)
    around = rank_filter(known, 3, footprint=_NEIGHBOURS, mode="constant", cval=np.inf)
    return silent & np.isfinite(around) & (around > DEAD_COUNTS * per_photon)
