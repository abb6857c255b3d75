"""Scan positions of a recipe, or of the files, in metres or in pixels of the object."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan_measures import median_step
from ptyxrf.driver.preparation.beam import unit_in_name
from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.guesses import Guesses, name_of, number_of_ones
from ptyxrf.driver.preparation.input_files import InputFiles, NamedArray
from ptyxrf.driver.preparation.quantities import LENGTHS, PIXELS, factor_of, plain_unit
from ptyxrf.driver.preparation.settings import Preparation

#: Steps between neighbours, as shares of the width of the probe's window, that a unit has to lead to.
LEAST_STEP, LARGEST_STEP = 0.004, 0.7
#: Names of positions whose first coordinate is x.
X_FIRST = re.compile(r"translation|points|xy|motor|coord|table|csv|txt|dat")


@dataclass(frozen=True)
class Lattice:
    """The pixels of the object, which positions are counted in.

    Attributes
    ----------
    pixel_size : float or None
        In metres; None without a geometry.
    m : int
        Edge of the probe's window in pixels.
    """

    pixel_size: float | None
    m: int


def fits(count: int, frames: int) -> bool:
    """Return whether so many positions may be those of so many frames."""
    return count >= 2 and (frames % count == 0 or count % frames == 0)


def find_positions(
    settings: Preparation,
    files: InputFiles,
    guesses: Guesses,
    frames: NamedArray,
    count: int,
    lattice: Lattice,
    findings: Findings,
) -> NDArray[np.float64]:
    """Return positions of the probe's window, (row, column) in pixels, in the order of the files.

    Parameters
    ----------
    settings : Preparation
    files, guesses
        Where they are.
    frames : NamedArray
        With a shape that tells a raster.
    count : int
        Number of frames, or of positions where frames have an index.
    lattice : Lattice
    findings : Findings

    Raises
    ------
    ValueError
        There are none, or they are not finite, or nothing tells their unit.
    """
    table = pair = None
    if settings.positions is not None:
        table = files.find("positions", settings.positions)
    elif settings.rows is not None and settings.columns is not None:
        pair = files.find("rows", settings.rows), files.find("columns", settings.columns)
    else:
        table, pair = _guessed(guesses, count)
    if table is not None:
        rows, columns = _of_table(settings, table, findings)
        sources = (table, table)
    elif pair is not None:
        rows, columns = _of_pair(settings, pair, frames, count, findings)
        sources = pair
    else:
        raise ValueError(
            f"positions: expected them for {count} frames in the files, or their name in the recipe, got none"
        )
    finite = np.isfinite(rows) & np.isfinite(columns)
    if not finite.all():
        raise ValueError(
            f"positions: expected finite numbers in {sources[0].reference}, got {int((~finite).sum())} others"
        )
    axes = ("positions", "positions") if pair is None else ("rows", "columns")
    factors = [
        _pixels_of_unit(axis, source, np.stack([rows, columns], axis=1), lattice, findings)
        for axis, source in dict(zip(axes, sources, strict=True)).items()
    ]
    return np.stack([rows * factors[0], columns * factors[-1]], axis=1)


def _guessed(guesses: Guesses, count: int) -> tuple[NamedArray | None, tuple[NamedArray, NamedArray] | None]:
    """Return the positions in one array, or in two; those for each frame come first."""
    for matches in (partial(operator.eq, count), partial(fits, frames=count)):
        pair = guesses.axes(partial(_equal_and, matches))
        if pair is not None:
            return None, pair
        table = guesses.positions(matches)
        if table is not None:
            return table, None
    return None, guesses.axes(lambda r, c: r > 1 and c > 1 and fits(r * c, count))


def _equal_and(matches: Callable[[int], bool], rows: int, columns: int) -> bool:
    return rows == columns and matches(rows)


def _of_table(
    settings: Preparation, table: NamedArray, findings: Findings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns of positions in one array."""
    values: Any = np.asarray(table.read(), dtype=np.float64)
    values = values.reshape(values.shape[number_of_ones(values.shape) :])
    if values.ndim != 2 or not ({2, 3} & set(values.shape)):
        raise ValueError(f"positions: expected shape (N, 2), (N, 3) or (2, N), got {values.shape}")
    values = values if values.shape[1] in (2, 3) and values.shape[0] != 2 else values.T
    order = settings.order
    if order is None:
        order = "xy" if X_FIRST.search(name_of(table)) and "yx" not in name_of(table) else "yx"
        findings.tell("order", f"{order}, from the name {table.key}", order)
    findings.tell("positions", f"{len(values)} in {table.key}", table.reference)
    return (values[:, 1], values[:, 0]) if order == "xy" else (values[:, 0], values[:, 1])


def _of_pair(
    settings: Preparation,
    pair: tuple[NamedArray, NamedArray],
    frames: NamedArray,
    count: int,
    findings: Findings,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns of positions in two arrays, which may be the axes of a raster."""
    rows, columns = (np.ravel(one.read()).astype(np.float64) for one in pair)
    findings.tell("rows", f"{pair[0].key} {pair[0].shape}", pair[0].reference)
    findings.tell("columns", f"{pair[1].key} {pair[1].shape}", pair[1].reference)
    if len(rows) == len(columns) and fits(len(rows), count) and not fits(len(rows) ** 2, count):
        return rows, columns
    if len(rows) == len(columns) == count:
        return rows, columns
    if not fits(len(rows) * len(columns), count):
        raise ValueError(
            f"rows, columns: expected {count} of each, or the axes of a raster, got {len(rows)} and "
            f"{len(columns)}"
        )
    y_is_fast = settings.fast == "y"
    if len(frames.shape) == 4 and frames.shape[:2] == (len(columns), len(rows)) and len(rows) != len(columns):
        y_is_fast = True
    across, down = np.meshgrid(columns, rows, indexing="xy")
    if y_is_fast:
        across, down = across.T, down.T
    findings.tell("fast", f"the axes of a raster of {len(rows)} x {len(columns)}", "y" if y_is_fast else "x")
    return down.ravel(), across.ravel()


def _pixels_of_unit(
    axis: str, source: NamedArray, values: NDArray[np.float64], lattice: Lattice, findings: Findings
) -> float:
    """Return the pixels of the object in a unit of positions: the one that is given, named or plausible."""
    for unit in (source.unit, unit_in_name(name_of(source))):
        if unit is None:
            continue
        if plain_unit(unit) in PIXELS:
            return 1.0
        factor = factor_of(unit, LENGTHS)
        if factor is not None and lattice.pixel_size is None:
            raise ValueError(
                f"energy, distance, detector_pixel: expected them for positions in {unit}, got none of them"
            )
        if factor is not None and lattice.pixel_size is not None:
            return factor / lattice.pixel_size
    step = median_step(values) or 0.0
    lengths = ("m", "mm", "um", "nm") if lattice.pixel_size else ()
    size = lattice.pixel_size or 1.0
    for unit, pixels in (*((unit, LENGTHS[unit] / size) for unit in lengths), ("pixels", 1.0)):
        if LEAST_STEP <= step * pixels / lattice.m <= LARGEST_STEP:
            findings.tell(axis, f"in {unit}, as neighbours are {step:.4g} apart (override: KEY in UNIT)")
            findings.values[axis] = f"{source.reference} in {unit}"
            return pixels
    width = f"{lattice.m * size:.3g} m" if lattice.pixel_size else f"{lattice.m} pixels"
    raise ValueError(
        f"positions: expected a unit ({source.key} in UNIT): steps of {step:.4g} suit the window of {width} "
        "in none"
    )
