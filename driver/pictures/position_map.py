"""Values at scan positions as a map: each covers the raster around its position."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan_measures import median_step

#: A value is drawn up to this many steps of the scan away from its position.
REACH = 0.75


def spacing_of(centres: NDArray[np.float64]) -> float:
    """Return the step from a position to the next, in the unit of the positions, (N, 2)."""
    # pairs of positions can be closer than the scan is dense: the area of a position is the other bound
    dense = math.sqrt(float(np.ptp(centres, axis=0).prod()) / len(centres))
    return max(median_step(centres) or 1.0, dense)


def position_map(
    values: NDArray[Any], centres: NDArray[np.float64], shape: tuple[int, int], reach: float
) -> NDArray[Any]:
    """Return a map of values at positions: each cell of a raster has that of the nearest position.

    Parameters
    ----------
    values : (N,) array
    centres : (N, 2) array of float64
        (row, column) in cells; the centre of a cell is an integer.
    shape : (int, int)
        Rows and columns of the raster.
    reach : float
        Cells that are further than this from all positions, along rows or columns, are NaN.

    Returns
    -------
    (rows, columns) array of float
    """
    nearest, distance = nearest_points(centres, shape)
    return np.where(distance <= reach, np.asarray(values)[nearest], np.nan)


def nearest_points(
    points: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the point that is nearest to each cell of a raster, and its distance.

    Parameters
    ----------
    points : (N, 2) array of float
        (row, column) in cells; the centre of a cell is an integer.
    shape : (int, int)
        Rows and columns of the raster.

    Returns
    -------
    nearest : array of int
        Index of the point.
    distance : array of float
        The larger of the distances along rows and columns.
    """
    from scipy.spatial import KDTree

    cells = np.indices(shape).reshape(2, -1).T
    _, found = KDTree(points).query(cells)
    distance = np.abs(points[found] - cells).max(axis=1)
    return found.reshape(shape), distance.reshape(shape)
