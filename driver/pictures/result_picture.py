"""The picture beside a result: object, element maps, probe, misfit and how the loss fell."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from ptyxrf.driver.analysis.scan_measures import median_step
from ptyxrf.driver.data.result import Result, TiledResult, loss_text
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.driver.pictures.pixels import DrawnPixels, drawn_pixels, gather_drawn_pixels
from ptyxrf.driver.reconstruction.illumination import ILLUMINATED
from ptyxrf.parallel.gather import gather_positions
from ptyxrf.parallel.startup import from_first_rank

#: Width of one cell, what is left for the colour bar beside it, margins and the gap below a row, inches.
CELL, GAP, LEFT, HEADER, ROW_GAP = 2.95, 0.85, 0.4, 0.95, 0.6
DPI = 120
#: Cells in a row.
COLUMNS = 4
#: Rows of maps are as high as the object wants, within these multiples of the width.
RATIOS = (0.3, 1.6)
#: Colour of what is not known: outside the illuminated area, or without data.
BLANK = "0.88"
#: Colour map of differences.
DIVERGING = "RdBu_r"
#: Colour limits leave out this percentage of the pixels at either end.
CLIP = 0.3
#: They come from pixels that get at least this fraction of the brightest one's light.
BRIGHT = 0.1
#: Values at positions are drawn on a raster of so many cells per step (at most so many in all along a
#: side), up to this many steps away.
CELLS_PER_STEP, LARGEST_RASTER, REACH = 6, 600, 0.75
#: A phase that spans less than this (radians) is drawn on a scale of its own, not on the whole circle.
NARROW_PHASE = 4.5
#: More probe modes than this are counted, not drawn.
SHOWN_MODES = 4

LENGTHS = ((1e-9, "nm"), (1e-6, "µm"), (1e-3, "mm"))


def scale_bar_length(extent: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is at most a third of the extent."""
    power = 10.0 ** math.floor(math.log10(extent / 3))
    return max(step * power for step in (1, 2, 5) if step * power <= extent / 3 * (1 + 1e-9))


def length_text(metres: float) -> str:
    """Return a length with the unit that keeps its number short."""
    unit, name = next(((u, n) for u, n in reversed(LENGTHS) if metres >= u * (1 - 1e-9)), LENGTHS[0])
    return f"{metres / unit:.3g} {name}"


def nearest_points(
    points: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return which point is nearest to each cell of a raster, and how far it is.

    Parameters
    ----------
    points : (N, 2) array of float
        (row, column) in cells; a cell's centre is an integer.
    shape : (int, int)
        Of the raster.

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


def error_labels(scan: Scan) -> dict[str, str]:
    """Return which errors against the truth are shown, and how they are called.

    Parameters
    ----------
    scan : Scan
        Its elements have errors of their own; shown are those on the illuminated area.
    """
    labels = {"mse": "object", "mse_aligned": "aligned"}
    return labels | {f"mse_{name}_illuminated": name for name in scan.element_names}


def hue_image(field: NDArray[Any], full: float) -> NDArray[np.float64]:
    """Return a complex field as colours: lightness from its modulus, hue from its phase.

    The hues are at equal lightness and chroma in OKLab (B. Ottosson, "A perceptual color space for image
    processing", 2020), so that no phase looks brighter than another.

    Parameters
    ----------
    field : (rows, columns) array of complex
        What is drawn.
    full : float
        Modulus that gets the full lightness.

    Returns
    -------
    (rows, columns, 3) array of float
        sRGB values in [0, 1].
    """
    strength = np.clip(np.abs(field) / full, 0.0, 1.0)
    angle = np.angle(field)
    lightness = 0.76 * strength
    a, b = (0.125 * strength * trig(angle + 0.5) for trig in (np.cos, np.sin))
    to_cones = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    cones = np.stack([lightness, a, b], axis=-1) @ to_cones.T
    linear = np.clip(cones**3 @ to_linear.T, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def without_null_directions(field: NDArray[Any], weight: NDArray[np.bool_], *, ramp: bool) -> NDArray[Any]:
    """Return the object without the global phase and, where `ramp`, the linear phase it shares with a probe.

    Parameters
    ----------
    field : (rows, columns) array of complex
        The object.
    weight : (rows, columns) array of bool
        Where the object is known.
    ramp : bool
        Whether a linear phase is arbitrary too: the probe was refined.
    """
    field = np.where(weight, field, 0)
    if ramp:
        for axis in (0, 1):
            later, earlier = (
                np.take(field, range(*limits), axis=axis) for limits in _neighbours(field.shape[axis])
            )
            slope = np.angle(np.sum(later * np.conj(earlier), dtype=np.complex128))
            turn = np.exp(-1j * slope * np.arange(field.shape[axis]))
            field = field * (turn[:, None] if axis == 0 else turn[None, :])
    return field * np.exp(-1j * np.angle(np.sum(field, dtype=np.complex128)))


def _neighbours(size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (1, size), (0, size - 1)


def _limits(values: NDArray[Any], *, from_zero: bool = False) -> tuple[float, float]:
    """Return colour limits that a few outliers do not spoil."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, (CLIP, 100 - CLIP)))
    if from_zero and low >= 0:
        low = 0.0
    if high - low <= 1e-6 * max(abs(high), abs(low)):
        # A flat map: its rounding errors are no contrast.
        margin = 0.5 * abs(high) or 0.5
        low, high = low - margin, high + margin
    return low, high


class _Sheet:
    """A figure with rows of panels, handed out from left to right and top to bottom."""

    def __init__(self, rows: list[tuple[float, list[int]]]) -> None:
        """Lay out rows: the height over the width of their panels, and the cells that each panel spans."""
        spans = [[count * CELL + (count - 1) * GAP for count in row] for _, row in rows]
        heights = [ratio * min(widths) for (ratio, _), widths in zip(rows, spans, strict=True)]
        height = HEADER + sum(heights) + ROW_GAP * len(rows)
        width = LEFT + COLUMNS * (CELL + GAP)
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        self._places = []
        bottom = height - HEADER
        for widths, tall in zip(spans, heights, strict=True):
            bottom -= tall
            left = LEFT
            for wide in widths:
                self._places.append((left / width, bottom / height, wide / width, tall / height))
                left += wide + GAP
            bottom -= ROW_GAP
        self._next = 0

    def panel(self) -> Axes:
        """Return the next panel."""
        self._next += 1
        return self.figure.add_axes(self._places[self._next - 1])


class _Report:
    def __init__(self, result: Result | TiledResult, scan: Scan, pixels: DrawnPixels) -> None:
        self.result, self.scan, self.pixels = result, scan, pixels
        # of a drawn sample, in metres where the geometry is known and in pixels elsewhere
        self.pixel = (scan.pixel_size or 1.0) * pixels.step
        light = pixels.light
        self.lit = light > ILLUMINATED * light.max()
        self.bright = light > BRIGHT * light.max()
        rows, columns = (np.flatnonzero(self.lit.any(axis=axis)) for axis in (1, 0))
        self.box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        self.has_object = result.method != "fluorescence"
        self.has_maps = result.method != "ptychography" and len(pixels.elements) > 0
        self.errors = any(np.isfinite(v) and v > 0 for r in result.history for v in r.errors.values())
        self.true_elements = self.has_maps and len(pixels.true_elements) > 0
        self.misfits = (
            result.part.pattern_misfit if isinstance(result, TiledResult) else result.pattern_misfit
        )
        self.centres = (scan.positions + scan.m // 2) / pixels.step
        # Pairs of positions may lie closer than the scan is dense: then the area of each decides.
        extent = np.ptp(self.centres, axis=0)
        self.spacing = max(median_step(self.centres) or 1.0, math.sqrt(float(extent.prod()) / scan.N))

    def draw(self) -> Figure:
        shape = [part.stop - part.start for part in self.box]
        ratio = min(max(shape[0] / shape[1], RATIOS[0]), RATIOS[1])
        rows: list[tuple[float, list[int]]] = []
        if self.has_object:
            rows.append((ratio, [2, 2]))
        misfit = self.has_object and self.misfits is not None
        # Probe and misfit take a cell each, the curves share the rest.
        small = 1 + misfit
        rest = COLUMNS - small
        rows.append((1.0, [1] * small + ([rest - rest // 2, rest // 2] if self.errors else [rest])))
        if self.has_maps:
            panels = len(self.pixels.elements) * (4 if self.true_elements else 2)
            for first in range(0, panels, COLUMNS):
                rows.append((ratio, [1] * min(COLUMNS, panels - first)))
        sheet = _Sheet(rows)
        self.size = sheet.figure.get_size_inches()
        if self.has_object:
            self.object(sheet)
        self.probe(sheet.panel())
        if misfit:
            self.misfit(sheet.panel())
        self.losses(sheet.panel())
        if self.errors:
            self.error_curves(sheet.panel())
        if self.has_maps:
            for e in range(len(self.pixels.elements)):
                self.element(sheet, e)
        self.title(sheet.figure)
        return sheet.figure

    def title(self, figure: Figure) -> None:
        result, last = self.result, self.result.history[-1]
        width, height = figure.get_size_inches()
        left = LEFT / width
        first = self.scan.title or f"{self.scan.N} patterns of {self.scan.m} × {self.scan.m}"
        figure.text(
            left, 1 - 0.25 / height, f"{result.method} · {first}", size=15, weight="bold", va="center"
        )
        parts = [
            loss_text(result),
            f"{last.iteration} iterations",
            f"{last.sweeps:.0f} sweeps",
            f"{last.seconds:.1f} s",
            result.reason.value,
        ]
        figure.text(left, 1 - 0.53 / height, "   ".join(parts), size=10.5, va="center", color="0.3")

    # Panels -------------------------------------------------------------------------------------------

    def image(
        self, axes: Axes, values: NDArray[Any], title: str, norm: Normalize, colours: str, unit: str = ""
    ) -> None:
        """Draw one map of the object grid, cropped, with its colour bar and scale bar."""
        shown = np.where(self.lit, values, np.nan)[self.box]
        colour_map = matplotlib.colormaps[colours].with_extremes(bad=BLANK)
        picture = axes.imshow(
            np.ma.masked_invalid(shown), cmap=colour_map, norm=norm, interpolation_stage="data"
        )
        self.finish(axes, title, shown.shape, dark=colours == DIVERGING)
        self.colour_bar(axes, picture, unit)

    def tiles(
        self, axes: Axes, values: NDArray[Any], title: str, norm: Normalize, colours: str, unit: str = ""
    ) -> None:
        """Draw one value per position over the surroundings that are nearest to it."""
        origin = np.array([self.box[0].start, self.box[1].start])
        rows, columns = (part.stop - part.start for part in self.box)
        cell = max(self.spacing / CELLS_PER_STEP, max(rows, columns) / LARGEST_RASTER)
        shape = (math.ceil(rows / cell), math.ceil(columns / cell))
        centres = (self.centres - origin + 0.5) / cell - 0.5
        nearest, distance = nearest_points(centres, shape)
        shown = np.where(distance * cell <= REACH * self.spacing, values[nearest], np.nan)
        colour_map = matplotlib.colormaps[colours].with_extremes(bad=BLANK)
        picture = axes.imshow(
            np.ma.masked_invalid(shown),
            cmap=colour_map,
            norm=norm,
            extent=(-0.5, shape[1] * cell - 0.5, shape[0] * cell - 0.5, -0.5),
            interpolation="nearest",
        )
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        self.finish(axes, title, (rows, columns), dark=True)
        self.colour_bar(axes, picture, unit)

    def colour_bar(self, axes: Axes, picture: Any, unit: str) -> None:
        """Put a colour bar beside a picture."""
        # As wide on a large panel as on a small one.
        width = 0.13 / (axes.get_window_extent().width / DPI)
        inset = axes.inset_axes((1 + 0.7 * width, 0.0, width, 1.0))
        numbers = ScalarFormatter(useOffset=False)
        numbers.set_powerlimits((-2, 4))
        bar = axes.figure.colorbar(picture, cax=inset, ticks=MaxNLocator(5), format=numbers)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, length=2)
        bar.ax.yaxis.get_offset_text().set(size=7, horizontalalignment="left")
        if unit:
            bar.set_label(unit, size=8)

    def finish(self, axes: Axes, title: str, shape: tuple[int, ...], *, dark: bool = False) -> None:
        """Give a picture its title and its scale bar."""
        axes.set_title(title, size=10.5, loc="left", pad=5)
        axes.set(xticks=[], yticks=[], anchor="NW")
        axes.spines[:].set_visible(False)
        length = scale_bar_length(shape[1] * self.pixel)
        pixels = length / self.pixel
        label = length_text(length) if self.scan.pixel_size else f"{length:g} px"
        # In the lower left corner, in a colour that shows on any map by its rim.
        colour, rim = ("0.15", "white") if dark else ("white", "0.1")
        x, y = 0.05 * shape[1] - 0.5, 0.95 * shape[0] - 0.5
        thickness = 0.012 * max(shape)
        axes.add_patch(
            Rectangle((x, y - thickness), pixels, thickness, facecolor=colour, edgecolor=rim, linewidth=0.7)
        )
        axes.annotate(
            label,
            (x + pixels / 2, y - thickness),
            (0, 2),
            textcoords="offset points",
            color=colour,
            size=8.5,
            ha="center",
            va="bottom",
            path_effects=[withStroke(linewidth=1.8, foreground=rim)],
        )

    def object(self, sheet: _Sheet) -> None:
        field, free = self.pixels.object, self.result.method == "ptychography"
        if free:
            refined = not np.array_equal(self.result.probe, self.scan.probe)
            field = without_null_directions(field, self.lit, ramp=refined)
        amplitude, phase = np.abs(field), np.angle(field)
        low, high = _limits(amplitude[self.bright])
        self.image(sheet.panel(), amplitude, "object: amplitude", Normalize(low, high), "gray")
        # Percentiles about the mean direction: a phase near ±pi must not look as wide as the circle.
        middle = float(np.angle(np.sum(field[self.bright], dtype=np.complex128)))
        around = np.angle(field * np.exp(-1j * middle))
        low, high = _limits(around[self.bright])
        if high - low < NARROW_PHASE:
            norm, colours, phase = Normalize(middle + low, middle + high), "cividis", around + middle
        else:
            norm, colours = Normalize(-np.pi, np.pi), "twilight"
        self.image(sheet.panel(), phase, "object: phase", norm, colours, "rad")

    def probe(self, axes: Axes) -> None:
        modes = self.result.probe
        power = np.sum(np.abs(modes) ** 2, axis=(1, 2))
        order = np.argsort(-power, kind="stable")[:SHOWN_MODES]
        side = 1 if len(order) == 1 else 2
        m = self.scan.m
        tiled = np.zeros((side * m, side * m, 3))
        for place, k in enumerate(order):
            row, column = divmod(place, side)
            modulus = np.abs(modes[k])
            tiled[row * m : (row + 1) * m, column * m : (column + 1) * m] = hue_image(
                modes[k], float(np.percentile(modulus, 99.9)) or 1.0
            )
        axes.imshow(tiled)
        several = f", {len(modes)} modes" if len(modes) > 1 else ""
        self.finish(axes, f"probe{several} (hue: phase)", tiled.shape[:2])
        for place, k in enumerate(order):
            if len(order) > 1:
                row, column = divmod(place, side)
                axes.text(
                    (column + 0.96) * m,
                    (row + 0.04) * m,
                    f"{100 * power[k] / power.sum():.3g} %",
                    color="white",
                    size=8,
                    ha="right",
                    va="top",
                )
        # The key to the hues: a small wheel.
        across = np.linspace(-1, 1, 101)
        wheel = across[None, :] - 1j * across[:, None]
        inside = np.abs(wheel) <= 1
        colours = np.dstack(
            [hue_image(np.where(inside, wheel / np.maximum(abs(wheel), 1e-9), 0), 1.0), inside]
        )
        key = axes.inset_axes((0.83, 0.02, 0.15, 0.15))
        key.imshow(colours, interpolation="antialiased")
        key.axis("off")

    def misfit(self, axes: Axes) -> None:
        values = np.asarray(self.misfits)
        low, high = _limits(values)
        self.tiles(axes, values, "misfit of each pattern", Normalize(low, high), "magma")

    def losses(self, axes: Axes) -> None:
        history = self.result.history
        sweeps = [record.sweeps for record in history]
        curves = {"loss": [record.loss for record in history]}
        if self.result.method == "joint":
            curves["ptychography"] = [record.ptychography_loss for record in history]
            curves["fluorescence"] = [record.fluorescence_loss for record in history]
        for (name, values), style in zip(curves.items(), ("k-", "C0-", "C1-"), strict=False):
            shown = [value if value > 0 else math.nan for value in values]
            if any(map(math.isfinite, shown)):
                axes.plot(sweeps, shown, style, label=name, linewidth=2.2 if name == "loss" else 1.3)
        self.curve_axes(axes, "loss", legend=len(curves) > 1)

    def error_curves(self, axes: Axes) -> None:
        history = self.result.history
        for number, (name, label) in enumerate(error_labels(self.scan).items()):
            points = [(r.sweeps, r.errors[name]) for r in history if r.errors.get(name, 0.0) > 0]
            if points:
                axes.plot(*zip(*points, strict=True), f"C{number % 10}", label=label, linewidth=1.6)
        self.curve_axes(axes, "mean square error against the truth", legend=True)

    def curve_axes(self, axes: Axes, title: str, *, legend: bool) -> None:
        axes.set_yscale("log")
        axes.set_title(title, size=10.5, loc="left", pad=5)
        axes.set_xlabel("sweeps over the positions", size=8.5, labelpad=2)
        axes.tick_params(which="both", labelsize=8)
        axes.grid(which="major", color="0.9", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.02)
        if legend:
            axes.legend(fontsize=8, frameon=False)
        # Tick labels and the name of the axis keep within the height of the images beside.
        width, height = self.size
        place = axes.get_position()
        left, below = 0.35 / width, 0.32 / height
        axes.set_position((place.x0 + left, place.y0 + below, place.width - left, place.height - below))

    def element(self, sheet: _Sheet, e: int) -> None:
        scan, name = self.scan, self.scan.element_names[e]
        axes = sheet.panel()
        data = None if self.pixels.counts is None else self.pixels.counts[e]
        if data is None or np.isnan(data).all():
            shape = tuple(part.stop - part.start for part in self.box)
            axes.imshow(np.zeros(shape), cmap=matplotlib.colors.ListedColormap([BLANK]))
            axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color="0.4")
            self.finish(axes, f"{name}: measured", shape, dark=True)
        else:
            draw = self.image if scan.sampling == "grid" else self.tiles
            within = data[self.bright] if scan.sampling == "grid" else data
            norm = Normalize(*_limits(within, from_zero=True))
            draw(axes, data, f"{name}: measured", norm, "inferno", scan.units)
        found = np.asarray(self.pixels.elements[e], dtype=np.float64)
        norm = Normalize(*_limits(found[self.bright], from_zero=True))
        if not self.true_elements:
            self.image(sheet.panel(), found, f"{name}: reconstructed", norm, "inferno")
            return
        truth = self.pixels.true_elements[e]
        norm = Normalize(*_limits(np.stack([truth, found])[:, self.bright], from_zero=True))
        self.image(sheet.panel(), found, f"{name}: reconstructed", norm, "inferno")
        self.image(sheet.panel(), truth, f"{name}: truth", norm, "inferno")
        reach = max(map(abs, _limits((found - truth)[self.bright])))
        self.image(
            sheet.panel(),
            found - truth,
            f"{name}: reconstructed − truth",
            Normalize(-reach, reach),
            DIVERGING,
        )


def draw_report(result: Result, scan: Scan) -> Figure:
    """Draw a result: object, probe, misfit, curves and, per element, measured beside reconstructed.

    The global phase of ptychography (and the phase ramp, where the probe was refined) is removed before
    it is drawn; everything outside the illuminated area is left blank.

    Parameters
    ----------
    result : Result
        What `ptyxrf.reconstruct` returned.
    scan : Scan
        What it was made from.

    Returns
    -------
    matplotlib.figure.Figure
        With an Agg canvas: nothing is registered with pyplot.
    """
    return _Report(result, scan, drawn_pixels(result, scan)).draw()


def write_report(path: str | Path, result: Result | TiledResult, scan: Scan) -> None:
    """Write the picture of a result as PNG, whole or not at all.

    Parameters
    ----------
    path : path
        Where to.
    result : Result or TiledResult
        What `ptyxrf.reconstruct` returned. Of the latter, whose parts all ranks bring, the first rank draws
        every so many pixels, so that it never holds more than a picture.
    scan : Scan
        What it was made from.
    """

    def write(pixels: DrawnPixels | None, drawn: Result | TiledResult) -> None:
        if pixels is None:  # the first rank has them
            return
        figure = _Report(drawn, scan, pixels).draw()
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="png")

    if not isinstance(result, TiledResult):
        write(drawn_pixels(result, scan), result)
        return
    comm = result.ranks.comm
    samples = gather_drawn_pixels(result, scan)
    misfit = result.part.pattern_misfit
    if misfit is not None:
        misfit = gather_positions(comm, result.tile, misfit)
    drawn = replace(result, part=replace(result.part, pattern_misfit=misfit))
    from_first_rank(comm, lambda: write(samples, drawn))
