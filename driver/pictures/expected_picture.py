"""The picture of expected errors: each quantity over what was varied."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.driver.uncertainty.expected import ExpectedErrors
from ptyxrf.driver.uncertainty.settings import AXES

#: What an axis says of each of `AXES`.
LABELS = {
    "step": "step (pixels)",
    "dwell": "dwell time (that of the scan: 1)",
    "dose": "dose (photons a pixel)",
}
#: Units of quantities; elements are relative to their map.
UNITS = {"amplitude": "amplitude", "phase": "phase (rad)", "positions": "positions (pixels)"}
COLUMNS = 3


def write_expected_picture(path: str | Path, expected: ExpectedErrors) -> None:
    """Write expected errors as PNG, whole or not at all: a panel for each quantity.

    The first axis that was varied goes to the right, and there is a line for each value of the second.

    Parameters
    ----------
    path : path
        The file.
    expected : ExpectedErrors

    Raises
    ------
    ValueError
        The file cannot be written.
    """
    names = list(expected.table[0].errors)
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        _draw(axes, expected, name)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    if second := _second(expected):
        panels[0].legend(frameon=False, fontsize=8, title=LABELS[second], title_fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _second(expected: ExpectedErrors) -> str:
    return expected.axes[1] if len(expected.axes) > 1 else ""


def _draw(axes: Axes, expected: ExpectedErrors, name: str) -> None:
    """Draw the error of a quantity."""
    first, second = expected.axes[0] if expected.axes else AXES[0], _second(expected)
    lines: dict[float, list[tuple[float, float]]] = {}
    for one in expected.table:
        line = getattr(one.choice, second) if second else 0.0
        lines.setdefault(line, []).append((getattr(one.choice, first), one.errors[name]))
    for value, points in lines.items():
        axes.semilogx(*zip(*sorted(points), strict=True), "o-", markersize=4, label=_number(value))
    ticks = sorted({where for points in lines.values() for where, _ in points})
    axes.set_xticks(ticks, [_number(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel=LABELS[first], ylabel=UNITS.get(name, "relative to the map"))
    axes.set_ylim(0, 1.08 * axes.dataLim.ymax)
    axes.set_title(f"expected error: {name}", loc="left", size=10.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92", linewidth=0.6)
