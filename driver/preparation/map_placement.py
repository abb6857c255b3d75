"""Where the positions of a scan lie on fluorescence maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.count_maps import between, fractional_index, runs_with_the_raster
from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.settings import MapSettings

#: Registration tries shifts by up to so many steps of the map, ...
REACH = 4
#: ... so many for each step.
FINENESS = 2

Values = NDArray[np.float64]
Axes = tuple[Values, Values]


@dataclass(frozen=True)
class Placed:
    """The positions of a scan as the files have them.

    Attributes
    ----------
    metres : (P, 2) array of float64
        (y, x) of all positions in the files.
    places : (n,) array of int
        The positions that have a pattern.
    exposure : (P,) array of float64
        Of the patterns.
    totals : (n,) array of float64
        Counts of the patterns.
    """

    metres: Values
    places: NDArray[np.intp]
    exposure: Values
    totals: Values


def placement(
    shape: tuple[int, ...], axes: Axes | None, settings: MapSettings, placed: Placed, findings: Findings
) -> Callable[[Values, tuple[float, float]], Values]:
    """Return a function that takes maps, and a shift (y, x) in metres, to values at the positions (..., n).

    Parameters
    ----------
    shape : (int,) or (int, int)
        Of a map: counts at the positions, or rows and columns.
    axes : (array, array), optional
        y and x of the maps in metres. Default: the maps cover the scan.
    settings : MapSettings
    placed : Placed
    findings : Findings

    Raises
    ------
    ValueError
        The numbers do not agree, or positions are outside the maps.
    """
    count, places = len(placed.metres), placed.places
    points = int(np.prod(shape))
    in_order = runs_with_the_raster(placed.metres, shape[-1]) if points == count else False
    match = settings.map_match or (
        "order" if points == count and (len(shape) == 1 or in_order) else "nearest"
    )
    if match == "order":
        if points != count or (len(shape) == 2 and not in_order):
            raise ValueError(
                f"map_match: expected as many points, in lines of one direction, as there are positions "
                f"({count}) for 'order', got {' x '.join(map(str, shape))}"
            )
        findings.tell("map_match", "the points of the maps are the positions, in their order", "order")
        return lambda values, _: values.reshape(*values.shape[: values.ndim - len(shape)], count)[..., places]
    if len(shape) == 1:
        raise ValueError(f"maps: expected counts at {count} positions, got {shape[0]}")
    here = _on_the_axes(shape, axes, settings, placed, findings)
    grid = here.axes

    def at_positions(values: Values, shift: tuple[float, float]) -> Values:
        rows, columns = (
            fractional_index(
                np.clip(coordinate + move, axis.min(), axis.max()) if any(shift) else coordinate, axis, name
            )
            for coordinate, move, axis, name in zip(here.coordinates, shift, grid, "yx", strict=True)
        )
        if match == "bilinear":
            return between(values, rows, columns)
        return values[..., np.rint(rows).astype(int), np.rint(columns).astype(int)]

    findings.tell("map_match", f"{match} points of maps of {shape[0]} x {shape[1]}", match)
    return at_positions


@dataclass(frozen=True)
class _OnAxes:
    """Positions on the axes of maps, in metres."""

    axes: Axes
    coordinates: Axes


def _on_the_axes(
    shape: tuple[int, ...], axes: Axes | None, settings: MapSettings, placed: Placed, findings: Findings
) -> _OnAxes:
    metres = placed.metres[placed.places]
    low, high = placed.metres.min(axis=0), placed.metres.max(axis=0)
    flips = settings.map_flip_rows, settings.map_flip_columns
    if axes is None:
        grid = tuple(np.linspace(a, b, size) for a, b, size in zip(low, high, shape, strict=True))
        coordinates = [a + b - v if f else v for a, b, v, f in zip(low, high, metres.T, flips, strict=True)]
        findings.tell("map_rows", "the maps are taken to cover the scan, for want of axes")
        return _OnAxes((grid[0], grid[1]), (coordinates[0], coordinates[1]))
    absolute = settings.map_origin is None and not any(flips)
    for axis, a, b in zip(axes, low, high, strict=True):
        reach = np.abs(np.diff(axis)).max(initial=0.0)
        absolute = absolute and axis.min() - reach <= a and b <= axis.max() + reach
    if absolute:
        findings.tell("map_origin", "maps and positions have the same coordinates")
        return _OnAxes(axes, (metres[:, 0], metres[:, 1]))
    starts = [axis.max() if flip else axis.min() for axis, flip in zip(axes, flips, strict=True)]
    starts = starts if settings.map_origin is None else list(settings.map_origin)
    if settings.map_origin is None:
        findings.tell(
            "map_origin", f"y {starts[0]:.6g} m, x {starts[1]:.6g} m at the first row and column", starts
        )
    moved = [
        s - (v - a) if flip else s + (v - a)
        for s, v, a, flip in zip(starts, metres.T, low, flips, strict=True)
    ]
    return _OnAxes(axes, (moved[0], moved[1]))


def registered(
    maps: Values, axes: Axes, at_positions: Callable[[Values, tuple[float, float]], Values], placed: Placed
) -> tuple[tuple[float, float], float]:
    """Return the shift (y, x) in metres at which the sum of maps agrees best with the patterns.

    What the elements absorb and scatter is missing in the counts of a pattern. The measure is the modulus of
    the correlation between the sum of the maps, each by its standard deviation, and the logarithm of counts.

    Returns
    -------
    shift : (float, float)
    correlation : float
    """
    scaled = maps / np.maximum(maps.std(axis=(1, 2), keepdims=True), 1e-300)
    together = scaled.sum(axis=0)
    contrast = -np.log(placed.totals / placed.exposure[placed.places])
    moves = [
        np.arange(-REACH * FINENESS, REACH * FINENESS + 1) / FINENESS * np.abs(np.diff(axis)).mean()
        for axis in axes
    ]
    best, most = (0.0, 0.0), -1.0
    for down in sorted(moves[0], key=abs):
        for across in sorted(moves[1], key=abs):
            values = at_positions(together, (float(down), float(across)))
            spread = float(values.std() * contrast.std())
            likeness = abs(float(np.mean((values - values.mean()) * (contrast - contrast.mean())))) / (
                spread or np.inf
            )
            if likeness > most + 1e-9:
                best, most = (float(down), float(across)), likeness
    return best, most
