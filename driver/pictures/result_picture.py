"""The picture beside a result: object, element maps, probe, misfit, and losses over the sweeps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptyxrf.driver.data.result import Result, loss_text
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.driver.pictures.colours import (
    BLANK,
    DIVERGING,
    colour_limits,
    hue_image,
    hue_wheel,
    misfit_limits,
)
from ptyxrf.driver.pictures.pixels import DrawnPixels, drawn_pixels, gather_drawn_pixels
from ptyxrf.driver.pictures.position_map import REACH, position_map, spacing_of
from ptyxrf.driver.pictures.position_panels import draw_arrows, draw_histogram
from ptyxrf.driver.pictures.sheet import COLUMNS, Sheet, add_colour_bar, finish_curves, finish_map
from ptyxrf.driver.reconstruction.alignment import without_null_directions
from ptyxrf.driver.reconstruction.illumination import ILLUMINATED
from ptyxrf.parallel.gather import gather_positions
from ptyxrf.parallel.startup import from_first_rank

#: Least and largest ratio of height to width of a row of maps.
RATIOS = (0.3, 1.6)
#: Colour limits come from pixels that get at least this fraction of the largest illumination.
WELL_ILLUMINATED = 0.1
#: Values at positions are drawn on a raster with this many cells per step ...
CELLS_PER_STEP = 6
#: ... and at most this many cells along an edge.
LARGEST_RASTER = 600
#: A phase that spans less than this (radians) has a scale of its own instead of the whole circle.
NARROW_PHASE = 4.5
#: At most this many probe modes are drawn.
SHOWN_MODES = 4


def error_labels(scan: Scan) -> dict[str, str]:
    """Return the errors against the truth that are shown, and their labels.

    Parameters
    ----------
    scan : Scan
        The errors of its elements are those on the illuminated area.
    """
    labels = {"mse": "object", "mse_aligned": "aligned"}
    return labels | {f"mse_{name}_illuminated": name for name in scan.element_names}


class _Picture:
    """The panels of one result; every map is cropped to the illuminated area and blank outside it."""

    def __init__(self, result: Result, scan: Scan, pixels: DrawnPixels) -> None:
        self.result, self.scan, self.pixels = result, scan, pixels
        illumination = pixels.illumination
        self.illuminated = illumination > ILLUMINATED * illumination.max()
        self.well_illuminated = illumination > WELL_ILLUMINATED * illumination.max()
        rows, columns = (np.flatnonzero(self.illuminated.any(axis=axis)) for axis in (1, 0))
        self.box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        self.shape = (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
        self.has_object = result.method != "fluorescence"
        self.has_maps = result.method != "ptychography" and len(pixels.elements) > 0
        self.has_errors = any(np.isfinite(v) and v > 0 for r in result.history for v in r.errors.values())
        self.has_true_maps = self.has_maps and len(pixels.true_elements) > 0
        part = result.part
        self.misfits = part.pattern_misfit if self.has_object else None
        self.quality = result.quality if self.has_object else None
        self.has_floor = self.quality is not None and self.quality.per_position is not None

    def draw(self) -> Figure:
        sheet = Sheet(self._rows())
        if self.has_object:
            self._draw_object(sheet)
        self._draw_probe(sheet.panel())
        self._draw_misfit(sheet)
        self._draw_losses(sheet.panel())
        if self.has_errors:
            self._draw_errors(sheet.panel())
        self._draw_beam(sheet)
        if self.has_maps:
            for e in range(len(self.pixels.elements)):
                self._draw_measured(sheet.panel(), e)
                self._draw_reconstructed(sheet, e)
        self._draw_deviations(sheet)
        self._title(sheet)
        return sheet.drawn()

    def _rows(self) -> list[tuple[float, list[int]]]:
        """Return the layout: object; probe, misfits and curves; four maps of the elements to a row."""
        ratio = min(max(self.shape[0] / self.shape[1], RATIOS[0]), RATIOS[1])
        rows: list[tuple[float, list[int]]] = [(ratio, [2, 2])] if self.has_object else []
        small = 3 if self.has_floor else 1 + (self.misfits is not None)
        rest = COLUMNS - small
        if self.has_errors and rest == 1:  # the errors have a row of their own
            rows += [(1.0, [1] * COLUMNS), (0.25, [COLUMNS])]
        else:
            rows.append((1.0, [1] * small + ([rest - rest // 2, rest // 2] if self.has_errors else [rest])))
        if self._beam_cells():
            rows.append((1.0, self._beam_cells()))
        if self.has_maps:
            panels = len(self.pixels.elements) * (4 if self.has_true_maps else 2)
            rows += [(ratio, [1] * min(COLUMNS, panels - first)) for first in range(0, panels, COLUMNS)]
        panels = len(self._deviations())
        rows += [(ratio, [1] * min(COLUMNS, panels - first)) for first in range(0, panels, COLUMNS)]
        return rows

    def _deviations(self) -> dict[str, NDArray[Any]]:
        """Return the standard deviations on the object grid by the words above their panels."""
        found = self.result.uncertainty
        if found is None:
            return {}
        maps = {"object: amplitude": found.amplitude, "object: phase (rad)": found.phase}
        if found.elements is not None:
            maps |= dict(zip(self.scan.element_names, found.elements, strict=True))
        step = self.pixels.step
        return {name: values[::step, ::step] for name, values in maps.items() if values is not None}

    def _draw_deviations(self, sheet: Sheet) -> None:
        for name, values in self._deviations().items():
            known = values[self.well_illuminated & np.isfinite(values)]
            limits = Normalize(*(colour_limits(known, from_zero=True) if known.size else (0.0, 1.0)))
            self._on_grid(sheet.panel(), values, f"{name}, standard deviation", limits, "magma")

    def _beam_cells(self) -> list[int]:
        """Return the layout of what was refined of the beam and the detector."""
        others = [self.result.intensities, self.result.pattern_background]
        cells = [1 for values in others if values is not None]
        wide = COLUMNS - 1 - len(cells)
        return ([1, min(wide, 2)] if self.result.positions is not None else []) + cells

    def _title(self, sheet: Sheet) -> None:
        result, last = self.result, self.result.history[-1]
        name = self.scan.title or f"{self.scan.N} patterns of {self.scan.m} × {self.scan.m}"
        details = [
            loss_text(result),
            f"{last.iteration} iterations",
            f"{last.sweeps:.0f} sweeps",
            f"{last.seconds:.1f} s",
            result.reason.value,
        ]
        quality = self.quality
        verdict, poor = ("", False) if quality is None else (quality.verdict, quality.good is False)
        if quality is not None and quality.link_good is False:
            verdict, poor = quality.link, True
        sheet.title(f"{result.method} · {name}", "   ".join(details), verdict, poor=poor)

    # maps -------------------------------------------------------------------------------------------------

    def _on_grid(
        self, axes: Axes, values: NDArray[Any], title: str, norm: Normalize, colours: str, unit: str = ""
    ) -> None:
        """Draw values on the object grid."""
        shown = np.where(self.illuminated, values, np.nan)[self.box]
        self._show(axes, shown, title, norm, colours, unit, interpolation_stage="data")

    def _at_positions(
        self, axes: Axes, values: NDArray[Any], title: str, norm: Normalize, colours: str, unit: str = ""
    ) -> None:
        """Draw one value per position over its neighbourhood."""
        centres = (self.scan.positions + self.scan.m // 2) / self.pixels.step
        spacing = spacing_of(centres)
        rows, columns = self.shape
        cell = max(spacing / CELLS_PER_STEP, max(rows, columns) / LARGEST_RASTER)
        shape = (math.ceil(rows / cell), math.ceil(columns / cell))
        origin = np.array([part.start for part in self.box])
        shown = position_map(values, (centres - origin + 0.5) / cell - 0.5, shape, REACH * spacing / cell)
        extent = (-0.5, shape[1] * cell - 0.5, shape[0] * cell - 0.5, -0.5)
        self._show(axes, shown, title, norm, colours, unit, extent=extent, interpolation="nearest")
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))

    def _on_detector(
        self, axes: Axes, values: NDArray[Any], title: str, norm: Normalize, unit: str = ""
    ) -> None:
        """Draw one value per detector pixel."""
        colour_map = matplotlib.colormaps["magma"].with_extremes(bad=BLANK)
        picture = axes.imshow(np.ma.masked_invalid(values), cmap=colour_map, norm=norm)
        axes.set_title(title, size=10.5, loc="left", pad=5)
        axes.set(xticks=[], yticks=[], anchor="NW")
        axes.spines[:].set_visible(False)
        add_colour_bar(axes, picture, unit)

    def _show(
        self, axes: Axes, shown: NDArray, title: str, norm: Normalize, colours: str, unit: str, **how: Any
    ) -> None:
        colour_map = matplotlib.colormaps[colours].with_extremes(bad=BLANK)
        picture = axes.imshow(np.ma.masked_invalid(shown), cmap=colour_map, norm=norm, **how)
        self._finish(axes, title, self.shape, dark=colours == DIVERGING or "extent" in how)
        add_colour_bar(axes, picture, unit)

    def _finish(self, axes: Axes, title: str, shape: tuple[int, ...], *, dark: bool = False) -> None:
        size = self.scan.pixel_size
        pixel = (size or 1.0) * self.pixels.step
        finish_map(axes, title, shape, pixel, metric=bool(size), dark=dark)

    # panels -----------------------------------------------------------------------------------------------

    def _draw_object(self, sheet: Sheet) -> None:
        field = self.pixels.object
        if self.result.method == "ptychography":
            refined = not np.array_equal(self.result.probe, self.scan.probe)
            field = without_null_directions(field, self.illuminated, ramp=refined)
        amplitude, phase = np.abs(field), np.angle(field)
        limits = Normalize(*colour_limits(amplitude[self.well_illuminated]))
        self._on_grid(sheet.panel(), amplitude, "object: amplitude", limits, "gray")
        # limits about the mean direction: a phase near ±pi must not look as wide as the circle
        middle = float(np.angle(np.sum(field[self.well_illuminated], dtype=np.complex128)))
        around = np.angle(field * np.exp(-1j * middle))
        low, high = colour_limits(around[self.well_illuminated])
        if high - low < NARROW_PHASE:
            norm, colours, phase = Normalize(middle + low, middle + high), "cividis", around + middle
        else:
            norm, colours = Normalize(-np.pi, np.pi), "twilight"
        self._on_grid(sheet.panel(), phase, "object: phase", norm, colours, "rad")

    def _draw_probe(self, axes: Axes) -> None:
        modes, m = self.result.probe, self.scan.m
        power = np.sum(np.abs(modes) ** 2, axis=(1, 2))
        shares = 100 * power / power.sum()
        order = np.argsort(-power, kind="stable")[:SHOWN_MODES]
        side = 1 if len(order) == 1 else 2
        shown = np.zeros((side * m, side * m, 3))
        for place, k in enumerate(order):
            row, column = (m * index for index in divmod(place, side))
            full = float(np.percentile(np.abs(modes[k]), 99.9)) or 1.0
            shown[row : row + m, column : column + m] = hue_image(modes[k], full)
            if side > 1:
                place_of_share = (column + 0.96 * m, row + 0.04 * m)
                axes.text(*place_of_share, f"{shares[k]:.3g} %", color="white", size=8, ha="right", va="top")
        axes.imshow(shown)
        several = f", {len(modes)} modes" if len(modes) > 1 else ""
        self._finish(axes, f"probe{several} (hue: phase)", shown.shape[:2])
        key = axes.inset_axes((0.83, 0.02, 0.15, 0.15))
        key.imshow(hue_wheel(), interpolation="antialiased")
        key.axis("off")

    def _draw_beam(self, sheet: Sheet) -> None:
        """Draw where positions went, how the intensity varies, and the background, where refined."""
        recorded, refined, intensities = self.scan.positions, self.result.positions, self.result.intensities
        if refined is not None:
            draw_arrows(sheet.panel(), recorded, refined, "from recorded to refined")
            draw_histogram(sheet.panel(), recorded, refined)
        if intensities is not None:
            limits = Normalize(*colour_limits(intensities))
            self._at_positions(sheet.panel(), intensities, "intensity of the beam", limits, "cividis")
        background = self.result.pattern_background
        if background is not None:
            limits = Normalize(*colour_limits(background, from_zero=True))
            self._on_detector(sheet.panel(), background, "background of the patterns", limits, "counts")

    def _draw_misfit(self, sheet: Sheet) -> None:
        """Draw the misfit of each pattern and detector pixel over its floor, or without one the losses."""
        if self.quality is not None and self.has_floor:
            positions, pixels = np.asarray(self.quality.per_position), np.asarray(self.quality.per_pixel)
            limits = Normalize(*misfit_limits(positions))
            self._at_positions(sheet.panel(), positions, "misfit / noise: patterns", limits, "magma")
            limits = Normalize(*misfit_limits(pixels))
            self._on_detector(sheet.panel(), pixels, "misfit / noise: detector pixels", limits)
        elif self.misfits is not None:
            limits = Normalize(*colour_limits(self.misfits))
            self._at_positions(sheet.panel(), self.misfits, "misfit of each pattern", limits, "magma")

    def _draw_losses(self, axes: Axes) -> None:
        history = self.result.history
        sweeps, curves = history["sweeps"], {"loss": history["loss"]}
        if self.result.method == "joint":
            curves["ptychography"] = history["ptychography_loss"]
            curves["fluorescence"] = history["fluorescence_loss"]
        for (name, values), style in zip(curves.items(), ("k-", "C0-", "C1-"), strict=False):
            shown = [value if value > 0 else math.nan for value in values]
            if any(map(math.isfinite, shown)):
                axes.plot(sweeps, shown, style, label=name, linewidth=2.2 if name == "loss" else 1.3)
        floor = math.nan if self.quality is None else self.quality.noise_floor
        if floor > 0:
            axes.axhline(floor, color="0.5", linestyle="--", linewidth=1.0, label="noise of the patterns")
        finish_curves(axes, "loss", legend=len(curves) > 1 or floor > 0)

    def _draw_errors(self, axes: Axes) -> None:
        history = self.result.history
        for number, (name, label) in enumerate(error_labels(self.scan).items()):
            points = [(r.sweeps, r.errors[name]) for r in history if r.errors.get(name, 0.0) > 0]
            if points:
                axes.plot(*zip(*points, strict=True), f"C{number % 10}", label=label, linewidth=1.6)
        finish_curves(axes, "mean square error against the truth", legend=True)

    def _draw_measured(self, axes: Axes, e: int) -> None:
        scan, title = self.scan, f"{self.scan.element_names[e]}: measured"
        data = None if self.pixels.counts is None else self.pixels.counts[e]
        if data is None or np.isnan(data).all():
            axes.imshow(np.zeros(self.shape), cmap=ListedColormap([BLANK]))
            axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color="0.4")
            self._finish(axes, title, self.shape, dark=True)
            return
        on_grid = scan.sampling == "grid"
        norm = Normalize(*colour_limits(data[self.well_illuminated] if on_grid else data, from_zero=True))
        draw = self._on_grid if on_grid else self._at_positions
        draw(axes, data, title, norm, "inferno", scan.units)

    def _draw_reconstructed(self, sheet: Sheet, e: int) -> None:
        """Draw the reconstructed map and, if the truth is known, the true map and their difference."""
        name = self.scan.element_names[e]
        maps = {"reconstructed": np.asarray(self.pixels.elements[e], dtype=np.float64)}
        if self.has_true_maps:
            maps["truth"] = self.pixels.true_elements[e]
        limits = colour_limits(np.stack([*maps.values()])[:, self.well_illuminated], from_zero=True)
        refined = self.result.sensitivity
        factor = "" if refined is None else f", sensitivity × {refined.factors[e]:.3g}"
        notes = {"reconstructed": factor}
        for what, values in maps.items():
            title = f"{name}: {what}{notes.get(what, '')}"
            self._on_grid(sheet.panel(), values, title, Normalize(*limits), "inferno")
        if self.has_true_maps:
            difference = maps["reconstructed"] - maps["truth"]
            most = max(map(abs, colour_limits(difference[self.well_illuminated])))
            title = f"{name}: reconstructed − truth"
            self._on_grid(sheet.panel(), difference, title, Normalize(-most, most), DIVERGING)


def draw_report(result: Result, scan: Scan) -> Figure:
    """Draw a result: object, probe, misfit, curves and, per element, measured beside reconstructed.

    The global phase of ptychography (and the phase ramp, if the probe was refined) is removed first. Pixels
    outside the illuminated area are blank.

    Parameters
    ----------
    result : Result
        As `ptyxrf.reconstruct` returns it.
    scan : Scan
        The scan that was reconstructed.

    Returns
    -------
    matplotlib.figure.Figure
        With an Agg canvas: nothing is registered with pyplot.
    """
    return _Picture(result, scan, drawn_pixels(result, scan)).draw()


def write_report(path: str | Path, result: Result, scan: Scan) -> None:
    """Write the picture of `draw_report` as PNG, whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    result : Result
        As `ptyxrf.reconstruct` returns it. A tiled result is drawn by the first rank from a sample of its
        pixels, so that no rank has more than a picture in memory; all ranks call.
    scan : Scan
        The scan that was reconstructed.

    Raises
    ------
    ValueError
        The file cannot be written.
    """

    def write(pixels: DrawnPixels | None, drawn: Result) -> None:
        if pixels is None:  # the first rank has them
            return
        figure = _Picture(drawn, scan, pixels).draw()
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="png")

    if result.shared is None:
        write(drawn_pixels(result, scan), result)
        return
    tile, ranks = result.shared
    samples = gather_drawn_pixels(result.part, scan, tile, ranks)
    misfit = result.part.pattern_misfit
    if misfit is not None:
        misfit = gather_positions(ranks.comm, tile, misfit)
    drawn = result.replaced(pattern_misfit=misfit)
    from_first_rank(ranks.comm, lambda: write(samples, drawn))
