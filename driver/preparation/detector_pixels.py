"""Pixels of a detector that do not count as they should: gaps, saturated, hot and dead ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import rank_filter

#: A hot pixel counts so many times as much as the pixels around it, all but two of them, ...
HOT_RATIO = 4.0
#: ... and as many standard deviations more than that.
HOT_DEVIATIONS = 10.0
#: A pixel without counts is dead where neighbours have at least so many.
DEAD_COUNTS = 25.0
#: The largest value is that of saturated pixels if so many pixels of the frames share it, ...
SATURATED_PIXELS = 3
#: ... and it is at least this: small counts repeat without a reason.
SATURATED_COUNTS = 1000.0
#: The largest integers of frames that were converted to real numbers.
CONVERTED = (2.0**32 - 1, 2.0**31 - 1, 2.0**16 - 1, 2.0**32)
#: Rounds in which hot pixels are found beside hot pixels.
ROUNDS = 3
_AROUND = np.ones((5, 5), bool)
_AROUND[2, 2] = False
_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def no_counts(frames: NDArray[Any], values: Sequence[int] | None) -> NDArray[np.bool_]:
    """Return which values of frames are no counts.

    Parameters
    ----------
    frames : array of real numbers
    values : sequence of int, optional
        Values of gaps. Default: negative ones, those that are not finite, and the largest of an integer type.
    """
    if values is not None:
        return np.isin(frames, values)
    wrong = ~np.isfinite(frames) | (frames < 0)
    if frames.dtype.kind in "iu":
        return wrong | (frames == np.iinfo(frames.dtype).max)
    return wrong | np.isin(frames, CONVERTED)


def saturation_of(frames: NDArray[Any], counts: NDArray[np.bool_]) -> float | None:
    """Return the value at which pixels are saturated, or None where none are.

    Parameters
    ----------
    frames : (B, H, W) array of real numbers
        A sample.
    counts : (B, H, W) array of bool
        Values that are counts.
    """
    values = np.where(counts, frames, 0)
    top = values.max()
    if top < SATURATED_COUNTS:
        return None
    # noise never repeats a large maximum; a pixel that is stuck at it does in every frame
    reached = values == top
    moving = reached.any(axis=0) & ~np.where(counts, reached, True).all(axis=0)
    several = reached.any(axis=(1, 2)).sum() > 1
    return float(top) if several and moving.sum() >= SATURATED_PIXELS else None


def hot_pixels(sums: NDArray[np.float64], good: NDArray[np.bool_], per_photon: float) -> NDArray[np.bool_]:
    """Return which pixels count far more than all but two of the pixels around them.

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
        # the third largest of those up to two pixels away: side lobes are as narrow as one
        around = rank_filter(known, -3, footprint=_AROUND, mode="constant", cval=-np.inf)
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
