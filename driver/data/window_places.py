"""The places of the probe window on the object grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import array_of
from ptyxrf.driver.data.data_checks import grid_shape

#: Positions closer than this (pixels) to an integer are that integer: the error of metres read back.
POSITION_ROUNDING = 1e-9


def placed_windows(
    positions: ArrayLike, count: int, m: int, shape: tuple[int, int] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Return checked positions, the same without the rounding of metres, and the shape of the object grid.

    Parameters
    ----------
    positions : (N, 2) array of float
        (row, column) in pixels.
    count, m : int
        Number and edge of the patterns.
    shape : (int, int), optional
        Default: what the positions cover.

    Raises
    ------
    ValueError
        Naming the first position that is wrong.
    """
    array = array_of("positions", positions, 2)
    if array.shape != (count, 2):
        raise ValueError(
            f"positions: expected shape ({count}, 2), one (row, column) for each of the {count} "
            f"patterns, got {array.shape}"
        )
    if not np.isfinite(array).all():
        j = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"positions: expected finite pixels, got {tuple(array[j].tolist())} at position {j}")
    array = array.copy()  # that of the caller may change
    nearest = np.round(array)
    snapped = np.where(np.abs(array - nearest) < POSITION_ROUNDING, nearest, array)
    corners = np.floor(snapped)
    if shape is None:
        extent = corners.max(axis=0) + m
        if extent.max() > 2**31:
            raise ValueError(f"positions: expected pixels, got a scan that covers {extent.tolist()} pixels")
        grid = (int(extent[0]), int(extent[1]))
    else:
        grid = grid_shape(shape)
    outside = (corners < 0).any(axis=1) | (corners + m > grid).any(axis=1)
    if outside.any():
        j = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"positions: expected every {m} x {m} window inside the "
            f"{grid[0]} x {grid[1]} object grid, "
            f"got {tuple(array[j].tolist())} at position {j}"
        )
    return array, snapped, grid
