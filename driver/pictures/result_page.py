"""A result as one page of HTML: maps that zoom together under one cursor, profiles, quality and settings."""

from __future__ import annotations

import base64
import html
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.files.result_file import Placement
from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.driver.pictures.colours import colour_limits, misfit_limits
from ptyxrf.driver.pictures.page_parts import PAGE, SCRIPT, STYLE
from ptyxrf.driver.pictures.position_map import REACH, position_map, spacing_of
from ptyxrf.driver.reconstruction.alignment import without_null_directions
from ptyxrf.driver.reconstruction.illumination import ILLUMINATED

#: Most pixels along an edge of a map; of larger objects every second, third, ... pixel is shown.
LONGEST_EDGE = 768
#: Values are whole numbers up to this between the least and the largest of a map, and this for none.
MOST_CODE, BLANK_CODE = 65534, 65535
#: Colour maps in use.
COLOURS = ("gray", "cividis", "inferno", "magma", "viridis")


@dataclass(frozen=True)
class Map:
    """A map of the page; values (rows, columns) have NaN where there is none."""

    title: str
    unit: str
    values: NDArray[Any]
    colours: str
    limits: tuple[float, float] | None = None

    def packed(self) -> dict[str, Any]:
        """Return the map as the script reads it."""
        values = np.asarray(self.values, np.float64)
        known = np.isfinite(values)
        low, high = (float(f(values[known])) for f in (np.min, np.max)) if known.any() else (0.0, 1.0)
        span = high - low or 1.0
        codes = np.full(values.shape, BLANK_CODE, "<u2")
        codes[known] = np.rint((values[known] - low) / span * MOST_CODE)
        shown = self.limits or colour_limits(values, from_zero=self.colours == "inferno")
        return {
            "title": self.title,
            "unit": self.unit,
            "colours": self.colours,
            "rows": values.shape[0],
            "columns": values.shape[1],
            "low": low,
            "high": low + span,
            "shownLow": shown[0],
            "shownHigh": shown[1],
            "codes": base64.b64encode(codes.tobytes()).decode(),
        }


def write_page(
    path: str | os.PathLike[str],
    result: Result,
    placement: Placement,
) -> None:
    """Write a result as a page of HTML that needs no other file and no server.

    Parameters
    ----------
    path : path
        Written whole or not at all.
    result : Result
        Whole, with at least one record of its history; its error bars are maps of their own.
    placement : Placement
        Names of the elements, recorded positions and pixel size, as `read_placement` returns them.

    Raises
    ------
    UnwritableFile
        The page cannot be written.
    """
    text = page_of(result, placement)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page_of(result: Result, placement: Placement) -> str:
    """Return the text of the page; parameters as of `write_page`."""
    step = -(-max(result.object.shape) // LONGEST_EDGE)
    on_grid = [*_object_maps(result, placement, step), *_position_maps(result, placement, step)]
    if result.fallback is not None:
        before = _object_maps(result.fallback, placement, step)
        on_grid += [replace(entry, title=f"{entry.title}, fallback") for entry in before]
    groups = {
        "object": [entry.packed() for entry in on_grid],
        "detector": [entry.packed() for entry in _window_maps(result)],
    }
    data = {
        "groups": groups,
        "colours": {name: _colours(name) for name in COLOURS},
        "step": step,
        "pixel_size": placement.pixel_size,
        "losses": _losses(result),
        "positions": _positions(result, placement),
    }
    # a closing tag within a text would end the script
    packed = json.dumps(data, allow_nan=False).replace("</", "<\\/")
    title = f"{result.method}, {result.object.shape[0]} x {result.object.shape[1]} pixels"
    moved = '<section><h2>Positions</h2><div id="positions"></div></section>'
    return PAGE.format(
        title=html.escape(title),
        style=STYLE,
        verdicts=_verdicts(result),
        detector='<h2>Probe and detector</h2><div id="detector" class="maps"></div>',
        positions=moved if data["positions"] else "",
        quality=_table(_quality_rows(result.quality, placement.names)),
        made=_table(_made_rows(result, placement)),
        settings=_table(sorted(result.settings.items()), "settings"),
        data=packed,
        script=SCRIPT,
    )


# maps ------------------------------------------------------------------------------------------------------


def _object_maps(result: Result, placement: Placement, step: int) -> Iterable[Map]:
    """Yield the maps on the object grid, thinned, and blank where no beam came."""
    area = _illuminated(result, placement)

    def shown(values: NDArray[Any]) -> NDArray[Any]:
        return np.where(area, values, np.nan)[::step, ::step]

    if result.method != "fluorescence":
        # a ramp belongs to object and probe where the probe was refined, but for maps, which see no ramp
        ramp = result.method == "ptychography" and bool(result.settings.get("refine_probe"))
        field = without_null_directions(result.object, area, ramp=ramp)
        yield Map("amplitude", "", shown(np.abs(field)), "gray")
        yield Map("phase", "rad", shown(np.angle(field)), "cividis")
    names = placement.names or [f"element {e + 1}" for e in range(len(result.elements))]
    for name, values in zip(names, result.elements, strict=False):
        yield Map(name, "", shown(values), "inferno")
    if result.matrix is not None:
        yield Map("matrix", "", shown(result.matrix), "inferno")
    deviations = result.uncertainty
    if deviations is None:
        return
    for title, found in (("amplitude", deviations.amplitude), ("phase", deviations.phase)):
        if found is not None:
            yield Map(f"error of {title}", "", shown(found), "viridis")
    for name, found in zip(names, [] if deviations.elements is None else deviations.elements, strict=False):
        yield Map(f"error of {name}", "", shown(found), "viridis")


def _position_maps(result: Result, placement: Placement, step: int) -> Iterable[Map]:
    """Yield what belongs to the positions as maps on the thinned object grid."""
    if placement.positions is None:
        return
    centres = (placement.positions + result.probe.shape[-1] // 2) / step
    rows, columns = (-(-length // step) for length in result.object.shape)
    reach = REACH * spacing_of(centres)

    def shown(values: NDArray[Any]) -> NDArray[Any]:
        return position_map(values, centres, (rows, columns), reach)

    ratios = None if result.quality is None else result.quality.per_position
    if ratios is not None:
        yield Map("misfit over noise of patterns", "", shown(ratios), "magma", misfit_limits(ratios))
    elif result.pattern_misfit is not None:
        yield Map("misfit of patterns", "", shown(result.pattern_misfit), "magma")
    if result.intensities is not None:
        yield Map("intensity of the beam", "", shown(result.intensities), "cividis")
    if result.uncertainty is not None and result.uncertainty.positions is not None:
        errors = np.hypot(*result.uncertainty.positions.T)
        yield Map("error of position", "pixels", shown(errors), "viridis")


def _window_maps(result: Result) -> Iterable[Map]:
    """Yield the maps in the window: probe modes, misfit of detector pixels, background."""
    for k, mode in enumerate(result.probe[:4]):
        yield Map(f"probe {k + 1}, modulus", "", np.abs(mode), "magma")
        yield Map(f"probe {k + 1}, phase", "rad", np.angle(mode), "cividis")
    ratios = None if result.quality is None else result.quality.per_pixel
    if ratios is not None:
        yield Map("misfit over noise of detector pixels", "", ratios, "magma", misfit_limits(ratios))
    if result.pattern_background is not None:
        yield Map("background of the patterns", "counts", result.pattern_background, "magma")


def _illuminated(result: Result, placement: Placement) -> NDArray[np.bool_]:
    """Return where the beam came, by the recorded positions; everywhere where there are none."""
    if placement.positions is None:
        return np.ones(result.object.shape, bool)
    beam, light = np.sum(np.abs(result.probe) ** 2, axis=0), np.zeros(result.object.shape)
    m = beam.shape[0]
    for row, column in np.floor(placement.positions).astype(int):
        light[row : row + m, column : column + m] += beam
    return light > ILLUMINATED * light.max()


def _colours(name: str) -> str:
    colours = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    return base64.b64encode(np.ascontiguousarray(colours).tobytes()).decode()


# curves ----------------------------------------------------------------------------------------------------


def _losses(result: Result) -> list[dict[str, Any]]:
    names = {"loss": "loss"}
    if result.method == "joint":
        names |= {"ptychography": "ptychography_loss", "fluorescence": "fluorescence_loss"}
    sweeps = result.history["sweeps"]
    lines = []
    for label, name in names.items():
        pairs = zip(sweeps, result.history[name], strict=True)
        points = [[float(x), float(y)] for x, y in pairs if math.isfinite(y) and y > 0]
        lines.append({"name": label, "points": points})
    return lines


def _positions(result: Result, placement: Placement) -> dict[str, Any] | None:
    if result.positions is None or placement.positions is None:
        return None
    return {
        "recorded": np.round(placement.positions, 3).tolist(),
        "refined": np.round(result.positions, 3).tolist(),
    }


# texts -----------------------------------------------------------------------------------------------------


def _verdicts(result: Result) -> str:
    lines: list[tuple[bool | None, str]] = [(None, result.reason.value)]
    if result.quality is not None:
        lines = [
            (result.quality.good, result.quality.verdict),
            (result.quality.link_good, result.quality.link),
            *lines,
        ]
    classes = {True: "verdict good", False: "verdict poor", None: "verdict"}
    return "".join(f'<p class="{classes[good]}">{html.escape(text)}</p>' for good, text in lines if text)


def _quality_rows(quality: Quality | None, names: list[str]) -> list[tuple[str, Any]]:
    if quality is None:
        return [("quality", "of fluorescence alone there is none")]
    rows: list[tuple[str, Any]] = [
        (name.replace("_", " "), f"{value:.4g}")
        for name in ("misfit_over_floor", "noise_floor", "relative_misfit", "distortion", "object_shift")
        if (value := getattr(quality, name)) is not None and math.isfinite(value)
    ]
    if quality.chi_square is not None:
        rows += [
            (f"chi-square of {name}", f"{value:.3g}" if math.isfinite(value) else "no data")
            for name, value in zip(names, quality.chi_square, strict=False)
        ]
    return rows


def _made_rows(result: Result, placement: Placement) -> list[tuple[str, Any]]:
    last = result.history[-1]
    rows: list[tuple[str, Any]] = [
        ("scan", placement.title),
        ("result of", placement.version and f"ptyxrf {placement.version}"),
        ("page of", f"ptyxrf {version('ptyxrf')}"),
        ("method", result.method),
        ("work", f"{last.iteration} iterations, {last.sweeps:.0f} sweeps, {last.seconds:.1f} s"),
        ("loss", f"{result.loss:.6g}"),
    ]
    if placement.pixel_size:
        rows.append(("pixel", f"{placement.pixel_size * 1e9:.4g} nm"))
    if placement.positions is not None:
        rows.append(("positions", len(placement.positions)))
    if (deviations := result.uncertainty) is not None:
        rows += [("error bars", deviations.meaning), ("samples", deviations.samples)]
    return [(name, value) for name, value in rows if value != ""]


def _table(rows: Iterable[tuple[str, Any]], name: str = "") -> str:
    def text(value: Any) -> str:
        return html.escape(value if isinstance(value, str) else json.dumps(value, default=str))

    body = "".join(f"<tr><th>{html.escape(key)}</th><td>{text(value)}</td></tr>" for key, value in rows)
    return f"<table{f' id={chr(34)}{name}{chr(34)}' if name else ''}>{body}</table>"
