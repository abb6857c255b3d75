"""Two results beside each other: aligned objects, ring correlation, differences of objects and maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.analysis.ring_correlation import RingCorrelation, ring_correlation
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.reconstruction.alignment import align, without_null_directions
from ptyxrf.driver.reconstruction.illumination import ILLUMINATED

#: The rectangle that is compared has at least this share of illuminated pixels in each outer line.
LEAST_FILLED = 0.9


@dataclass(frozen=True)
class Comparison:
    """What two results have in common.

    Attributes
    ----------
    first, second : (rows, columns) array of complex128
        The objects on the rectangle that both know, the second aligned with the first.
    rings : RingCorrelation
    object_difference : float
        Root mean square of the difference over that of the first object's variation.
    maps : dict of str to (float, float)
        For each element of both: correlation of the maps, and rms difference over the rms of the first.
    pixel_size : float or None
        In metres.
    """

    first: NDArray[np.complex128]
    second: NDArray[np.complex128]
    rings: RingCorrelation
    object_difference: float
    maps: dict[str, tuple[float, float]]
    pixel_size: float | None


def illuminated_by(
    positions: NDArray[np.float64], probe: NDArray, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return where probes at positions (N, 2) of the window's first pixel illuminate an object."""
    intensity, m = np.sum(np.abs(probe) ** 2, axis=0), probe.shape[-1]
    total = np.zeros(shape)
    for row, column in np.floor(positions).astype(int):
        total[row : row + m, column : column + m] += intensity
    return total > ILLUMINATED * total.max()


def inner_rectangle(area: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return a rectangle within an area: its bounding box without the outer lines that are not filled."""
    rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("compare: expected objects that overlap, got none")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    while bottom - top > 8 and right - left > 8:
        inside = area[top:bottom, left:right]
        edges = inside[0], inside[-1], inside[:, 0], inside[:, -1]
        filled = [float(edge.mean()) for edge in edges]
        worst = int(np.argmin(filled))
        if filled[worst] >= LEAST_FILLED:
            break
        top, bottom, left, right = (
            top + (worst == 0), bottom - (worst == 1), left + (worst == 2), right - (worst == 3)
        )  # fmt: skip
    return slice(top, bottom), slice(left, right)


def compare_results(
    first: Result,
    second: Result,
    areas: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None] = (None, None),
    *,
    names: tuple[list[str], list[str]] = ([], []),
    pixel_size: float | None = None,
) -> Comparison:
    """Compare two whole results of one grid, or of grids that begin at the same pixel.

    Parameters
    ----------
    first, second : Result
    areas : pair of (rows, columns) array of bool, optional
        Where each knows the object; default: everywhere.
    names : pair of list of str
        Of the elements of each.
    pixel_size : float, optional
        In metres.

    Raises
    ------
    ValueError
        The objects have no part in common.
    """
    shape = tuple(min(sizes) for sizes in zip(first.object.shape, second.object.shape, strict=True))
    part = slice(shape[0]), slice(shape[1])
    area = np.ones(shape, bool)
    for one in areas:
        area &= True if one is None else one[part]
    box = inner_rectangle(area)
    z = without_null_directions(np.asarray(first.object[part], np.complex128), area, ramp=True)
    other = align(np.where(area, second.object[part], 0), z, area, blind=True)
    a, b = z[box], other[box]
    spread = float(np.sqrt(np.mean(np.abs(a - a.mean()) ** 2)))
    maps = {}
    for e, name in enumerate(names[0]):
        if name in names[1]:
            w, v = (
                np.asarray(result.elements[k][part], np.float64)[box]
                for result, k in ((first, e), (second, names[1].index(name)))
            )
            both = float(w.std() * v.std())
            likeness = float(np.mean((w - w.mean()) * (v - v.mean()))) / both if both else float("nan")
            power = float(np.sqrt(np.mean(w**2)))
            maps[name] = likeness, float(np.sqrt(np.mean((w - v) ** 2))) / power if power else float("nan")
    difference = float(np.sqrt(np.mean(np.abs(a - b) ** 2))) / (spread or 1.0)
    return Comparison(a, b, ring_correlation(a, b), difference, maps, pixel_size)
