"""Scan paths: the positions of raster, snake, spiral and random scans."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.checks import integer, integer_pair, one_of, positive
from ptyxrf.driver.data.words import PATHS

#: Default overlap of neighbouring windows, if neither a step nor the size of the grid is given.
DEFAULT_OVERLAP = 0.5
#: Displacement of a random scan's positions, as a fraction of the step.
RANDOM_JITTER = 0.5
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def _sides(per_side: object) -> tuple[int, int]:
    if isinstance(per_side, tuple | list | np.ndarray):
        return integer_pair("per_side", per_side, 1)
    side = integer("per_side", per_side, 1)
    return side, side


def scan_step(m: int, overlap: float | None = None, step: float | None = None) -> float:
    """Return the step between neighbouring positions.

    Parameters
    ----------
    m : int
        Edge of the probe window in pixels.
    overlap : float, optional
        1 - step/m, in [0, 1); default 0.5.
    step : float, optional
        The step itself in pixels, instead of `overlap`.

    Returns
    -------
    float
        Step in pixels.

    Raises
    ------
    ValueError
        An argument is out of its range, or both are given.
    """
    m = integer("m", m, 1)
    if step is not None:
        if overlap is not None:
            raise ValueError(f"step: expected a step or an overlap, got step {step} and overlap {overlap}")
        return positive("step", step, "of pixels")
    overlap = DEFAULT_OVERLAP if overlap is None else overlap
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap: expected a number in [0, 1), got {overlap}")
    return (1 - overlap) * m


def covered_shape(
    m: int,
    *,
    per_side: int | tuple[int, int] = 8,
    overlap: float | None = None,
    step: float | None = None,
    margin: int = 0,
) -> tuple[int, int]:
    """Return the object grid that a scan of given size and step needs.

    Parameters
    ----------
    m : int
        Edge of the probe window in pixels.
    per_side : int or (int, int)
        Positions along rows and columns.
    overlap, step : float, optional
        As for `scan_step`.
    margin : int
        Pixels around the outermost windows.

    Returns
    -------
    (int, int)
        (n_rows, n_cols).

    Raises
    ------
    ValueError
        An argument is out of its range.
    """
    spacing = scan_step(m, overlap, step)
    margin = integer("margin", margin, 0)
    rows, columns = (math.ceil((count - 1) * spacing - 1e-9) + m + 2 * margin for count in _sides(per_side))
    return rows, columns


def _axis(
    room: int, count: int | None, spacing: float | None, margin: int, whole: bool
) -> tuple[float, int, float]:
    """Return (first position, count, spacing) along one axis, where positions range from 0 to `room`.

    Without a spacing the positions fill the room within the margins; with one they are centred in it.
    """
    free = room - 2 * margin
    if count is not None and spacing is None:
        return float(margin), count, free / max(count - 1, 1)
    if spacing is None:
        raise ValueError(
            "per_side: expected a number of positions where no overlap or step is given, got None"
        )
    if count is None:
        count = int((free + 1e-9) // spacing) + 1
    length = (count - 1) * spacing
    rest = (free - (math.ceil(length - 1e-9) if whole else length)) / 2
    if rest < -1e-9:
        fit = int((free + 1e-9) // spacing) + 1
        raise ValueError(
            f"per_side: expected at most {fit} positions {spacing:.4g} pixels apart in the {free} pixels "
            f"that the windows can move by, got {count}; a step of at most {free / (count - 1):.4g} pixels "
            "would fit them"
        )
    return margin + max(math.floor(rest) if whole else rest, 0.0), count, spacing


def _fermat(low: NDArray, high: NDArray, count: int) -> NDArray[np.float64]:
    """Return `count` points of a Fermat spiral that fills a box, from its centre outwards."""
    half = (high - low) / 2
    if half.min() <= 0:
        raise ValueError(
            "per_side: expected at least 2 positions along rows and columns for a spiral, got a line"
        )
    # points of unit density: take as many as the disc around the box holds, whose area over that of the box
    # is pi (h^2 + w^2) / (4 h w); those nearest to the centre in the norm of the box are inside
    many = math.ceil(count * math.pi * (half**2).sum() / (4 * half.prod())) + 16
    k = np.arange(many)
    radius, angle = np.sqrt(k / math.pi), k * GOLDEN_ANGLE
    spiral = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    reach = np.max(np.abs(spiral) / half, axis=1)
    inside = np.sort(np.argsort(reach, kind="stable")[:count])
    return (low + high) / 2 + spiral[inside] / max(reach[inside].max(), np.finfo(float).tiny)


def scan_positions(
    path: str,
    m: int,
    shape: tuple[int, int] | None = None,
    *,
    per_side: int | tuple[int, int] | None = 8,
    overlap: float | None = None,
    step: float | None = None,
    margin: int = 0,
    jitter: float | None = None,
    fractional: bool = False,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the positions of a scan, with every window inside the object grid.

    Parameters
    ----------
    path : {"raster", "snake", "spiral", "random"}
        "raster": rows one after the other, each from its first column; "snake": the same with every second
        row reversed; "spiral": a Fermat spiral with as many positions that fills the rectangle of the raster,
        from its centre outwards; "random": a raster with displaced positions in random order.
    m : int
        Edge of the probe window in pixels.
    shape : (int, int), optional
        (n_rows, n_cols) of the object grid. The positions spread evenly over it without `overlap` and `step`,
        and are centred in it with one of them. Default: `covered_shape`.
    per_side : int or (int, int) or None
        Positions along rows and columns. None: as many as fit (this needs `shape` and a step or an overlap).
    overlap, step : float, optional
        As for `scan_step`; the default overlap is 0.5 without a `shape`.
    margin : int
        Pixels around the outermost windows.
    jitter : float, optional
        Each coordinate is displaced by a uniformly random fraction of the step, up to this one, within the
        grid. Default: 0.5 for a random path, otherwise 0.
    fractional : bool
        Keep fractions of pixels. False rounds the positions, not the step, which keeps the mean overlap.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    (N, 2) array of float64
        (row, column) of the first pixel of each window.

    Raises
    ------
    ValueError
        An argument is out of its range, or the scan does not fit; the message says what would.
    """
    one_of("path", path, PATHS)
    raster = _raster(m, shape, per_side, overlap, step, margin, whole=not fractional)
    generator = np.random.default_rng(seed)
    positions = _displaced(raster.along(path), raster.steps, path, jitter, generator)
    if path == "random":
        positions = generator.permutation(positions)
    if not fractional:
        positions = np.floor(positions + 0.5)  # halves up: rounding to even would alternate the steps
    return np.clip(positions, margin, raster.room - margin).astype(np.float64)


def _displaced(
    positions: NDArray, steps: NDArray, path: str, jitter: float | None, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return positions displaced by up to a fraction of the step."""
    if jitter is None:
        jitter = RANDOM_JITTER if path == "random" else 0.0
    if not (np.isfinite(jitter) and jitter >= 0):
        raise ValueError(f"jitter: expected a finite fraction of the step, at least 0, got {jitter}")
    return (
        positions if jitter == 0 else positions + jitter * steps * generator.uniform(-1, 1, positions.shape)
    )


@dataclass(frozen=True)
class _Raster:
    """A rectangle of positions: arrays of two, for rows and columns; `room` is the largest position."""

    first: NDArray[np.float64]
    counts: NDArray[np.int64]
    steps: NDArray[np.float64]
    room: NDArray[np.int64]

    def along(self, path: str) -> NDArray[np.float64]:
        """Return the positions in the order of a path, or those of a spiral in their place."""
        count, columns = int(self.counts.prod()), self.counts[1]
        if path == "spiral":
            return _fermat(self.first, self.first + (self.counts - 1) * self.steps, count)
        row, column = np.divmod(np.arange(count), columns)
        if path == "snake":
            column = np.where(row % 2 == 1, columns - 1 - column, column)
        return self.first + np.stack([row, column], axis=1) * self.steps


def _raster(
    m: int,
    shape: tuple[int, int] | None,
    per_side: int | tuple[int, int] | None,
    overlap: float | None,
    step: float | None,
    margin: int,
    *,
    whole: bool,
) -> _Raster:
    """Return the raster that `scan_positions` describes; with `whole` it begins at a whole pixel."""
    m, margin = integer("m", m, 1), integer("margin", margin, 0)
    counts: tuple[int | None, int | None] = (None, None) if per_side is None else _sides(per_side)
    spread = shape is not None and overlap is None and step is None
    spacing = None if spread else scan_step(m, overlap, step)
    if shape is not None:
        grid = integer_pair("shape", shape, 1)
    elif per_side is None:
        raise ValueError("per_side: expected a number of positions where no shape is given, got None")
    else:
        grid = covered_shape(m, per_side=per_side, overlap=overlap, step=step, margin=margin)
    if min(grid) < m + 2 * margin:
        raise ValueError(
            f"shape: expected at least {m + 2 * margin} x {m + 2 * margin} for windows of {m} pixels "
            f"with a margin of {margin}, got {grid[0]} x {grid[1]}"
        )
    room = np.array(grid) - m
    axes = [_axis(int(room[i]), counts[i], spacing, margin, whole) for i in (0, 1)]
    first, lengths, steps = (np.array(values) for values in zip(*axes, strict=True))
    # if the grid follows from the raster, it begins at the margin; rounding of its size affects only its end
    return _Raster(np.full(2, float(margin)) if shape is None else first, lengths, steps, room)
