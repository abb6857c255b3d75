"""The preview of a prepared scan: patterns with centre and mask, positions, coverage, probe and maps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.scan_measures import median_step, probe_width
from ptyxrf.driver.data.units import length_text
from ptyxrf.driver.files.scan_file import read_scan
from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.driver.pictures.colours import colour_limits, hue_image
from ptyxrf.driver.pictures.sheet import CELL, COLUMNS, Sheet, add_colour_bar, finish_map
from ptyxrf.driver.preparation.prepare import Prepared

#: Colour of masked pixels.
MASKED = "#3b82d6"
#: Up to this many circles are drawn with the width of the probe.
MOST_CIRCLES = 400
#: At most this many maps are drawn.
MOST_MAPS = 7


def area_overlap(step: float, width: float) -> float:
    """Return the share of a disc of some width that an equal one shares with it, a step away."""
    t = min(step / width, 1.0)
    return 2 / math.pi * (math.acos(t) - t * math.sqrt(1 - t * t))


def draw_preview(prepared: Prepared, scan: Scan) -> Figure:
    """Draw what a preparation has made.

    Parameters
    ----------
    prepared : Prepared
    scan : Scan
        That of its file.

    Returns
    -------
    matplotlib.figure.Figure
    """
    maps = range(min(scan.N_e, MOST_MAPS)) if scan.sampling == "scan" else range(0)
    panels = 1 + len(maps)
    rows = [(1.0, [1] * COLUMNS)]
    rows += [(1.0, [1] * min(COLUMNS, panels - first)) for first in range(0, panels, COLUMNS)]
    sheet = Sheet(rows)
    for title, image in (("mean pattern", prepared.mean), ("maximum pattern", prepared.highest)):
        _draw_pattern(sheet.panel(), title, image, prepared)
    _draw_positions(sheet.panel(), scan)
    _draw_coverage(sheet.panel(), scan)
    axes = sheet.panel()
    axes.imshow(hue_image(scan.probe[0], float(np.percentile(np.abs(scan.probe[0]), 99.9)) or 1.0))
    _finish(axes, "probe (hue: phase)", scan, (scan.m, scan.m))
    for e in maps:
        _draw_map(sheet.panel(), scan, e)
    dropped = sum(map(len, prepared.dropped.values()))
    sheet.title(
        f"{prepared.path.name} · {scan.N} patterns of {scan.m} × {scan.m}",
        f"{overlap_text(scan)}   {dropped} frames left out   "
        f"{int((~prepared.mask).sum())} pixels masked (blue)",
    )
    return sheet.drawn()


def overlap_text(scan: Scan) -> str:
    """Return step, width of the probe, and the overlap of neighbours along a line and in area."""
    step, width = median_step(scan.positions), probe_width(scan.probe)
    if step is None:
        return "one position"
    size = scan.pixel_size or 1.0
    lengths = (
        (length_text(step * size), length_text(width * size))
        if scan.pixel_size
        else (f"{step:.3g} px", f"{width:.3g} px")
    )
    linear, area = max(1 - step / width, 0.0), area_overlap(step, width)
    return (
        f"step {lengths[0]}, probe {lengths[1]} wide: overlap {100 * linear:.0f} % linear, "
        f"{100 * area:.0f} % in area"
    )


def write_preview(path: str | Path, prepared: Prepared) -> None:
    """Write the picture of `draw_preview` as PNG, whole or not at all.

    Parameters
    ----------
    path : path
    prepared : Prepared
        Its scan is read from its file.

    Raises
    ------
    ValueError
        The file cannot be written.
    """
    figure = draw_preview(prepared, read_scan(prepared.path))
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_pattern(axes: Axes, title: str, image: NDArray[Any], prepared: Prepared) -> None:
    good = image[prepared.mask & (image > 0)]
    high = float(good.max(initial=0.0)) or 1.0
    low = max(float(np.percentile(good, 2)) if good.size else 0.1, high * 1e-6)
    colours = matplotlib.colormaps["inferno"].with_extremes(bad=MASKED, under="black")
    shown = np.ma.array(np.clip(image, 0.5 * low, None), mask=~prepared.mask)
    picture = axes.imshow(shown, cmap=colours, norm=LogNorm(low, max(high, 1.01 * low)))
    row, column = prepared.centre
    axes.plot([column], [row], "+", color="white", markersize=14, markeredgewidth=1.0)
    axes.set_title(f"{title}, centre ({row:.1f}, {column:.1f})", size=10.5, loc="left", pad=5)
    axes.set(xticks=[], yticks=[], anchor="NW")
    add_colour_bar(axes, picture, "")


def _draw_positions(axes: Axes, scan: Scan) -> None:
    rows, columns = (scan.positions + scan.m // 2).T
    width = probe_width(scan.probe)
    if scan.N <= MOST_CIRCLES:
        circles = [Circle((x, y), width / 2) for y, x in zip(rows, columns, strict=True)]
        axes.add_collection(
            PatchCollection(circles, facecolor=(0.2, 0.4, 0.8, 0.06), edgecolor=(0.2, 0.4, 0.8, 0.35))
        )
    else:
        axes.add_patch(Circle((columns[0], rows[0]), width / 2, fill=False, edgecolor="C3"))
    # the order of the positions shows in their colour
    axes.scatter(columns, rows, c=np.arange(scan.N), s=min(12.0, 4000 / scan.N), cmap="viridis", linewidths=0)
    _limits(axes, scan)
    _finish(axes, "positions and width of the probe", scan, scan.shape, dark=True)


def _draw_coverage(axes: Axes, scan: Scan) -> None:
    """Draw how many probes reach each pixel."""
    width = probe_width(scan.probe)
    step = max(1, max(scan.shape) // 400)
    shape = tuple(-(-size // step) for size in scan.shape)
    count = np.zeros(shape)
    reach = math.ceil(width / 2 / step)
    disc = np.hypot(*np.meshgrid(*2 * [np.arange(-reach, reach + 1)], indexing="ij")) <= width / 2 / step
    padded = np.zeros((shape[0] + 2 * reach, shape[1] + 2 * reach))
    for row, column in np.rint((scan.positions + scan.m // 2) / step).astype(int):
        padded[row : row + 2 * reach + 1, column : column + 2 * reach + 1] += disc
    count = padded[reach : reach + shape[0], reach : reach + shape[1]]
    half = step / 2
    extent = (-half, shape[1] * step - half, shape[0] * step - half, -half)
    picture = axes.imshow(count, cmap="viridis", norm=Normalize(0, max(count.max(), 1)), extent=extent)
    _limits(axes, scan)
    _finish(axes, "probes over each pixel", scan, scan.shape)
    add_colour_bar(axes, picture, "")


def _draw_map(axes: Axes, scan: Scan, e: int) -> None:
    rows, columns = (scan.positions + scan.m // 2).T
    values = np.asarray(scan.fluorescence[e], dtype=np.float64)
    step = median_step(scan.positions) or 1.0
    size = max(1.0, 72 * CELL * step / max(scan.shape)) ** 2
    norm = Normalize(*colour_limits(values, from_zero=True))
    picture = axes.scatter(columns, rows, c=values, s=size, marker="s", cmap="inferno", norm=norm)
    _limits(axes, scan)
    _finish(axes, scan.element_names[e], scan, scan.shape, dark=True)
    add_colour_bar(axes, picture, scan.units)


def _limits(axes: Axes, scan: Scan) -> None:
    axes.set(xlim=(-0.5, scan.shape[1] - 0.5), ylim=(scan.shape[0] - 0.5, -0.5), aspect="equal")


def _finish(axes: Axes, title: str, scan: Scan, shape: tuple[int, ...], *, dark: bool = False) -> None:
    finish_map(axes, title, shape, scan.pixel_size or 1.0, metric=bool(scan.pixel_size), dark=dark)
