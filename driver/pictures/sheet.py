"""A figure with rows of panels, and what surrounds their content: title, scale bar, colour bar, axes."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ptyxrf.driver.data.units import length_text

#: Width of a cell, in inches as the following.
CELL = 2.95
#: Space for a colour bar to the right of a cell.
GAP = 0.85
#: Left margin.
LEFT = 0.4
#: Height of the title of the sheet.
HEADER = 1.15
#: Space below a row.
ROW_GAP = 0.6
#: Cells in a row.
COLUMNS = 4
#: Pixels per inch.
DPI = 120


class Sheet:
    """A figure with rows of panels, which are handed out from left to right and top to bottom.

    Parameters
    ----------
    rows : list of (float, list of int)
        For each row the ratio of height to width of its narrowest panel, and the cells that each panel spans.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        With an Agg canvas: pyplot does not know of it.
    """

    def __init__(self, rows: list[tuple[float, list[int]]]) -> None:
        spans = [[count * CELL + (count - 1) * GAP for count in row] for _, row in rows]
        heights = [ratio * min(widths) for (ratio, _), widths in zip(rows, spans, strict=True)]
        height = HEADER + sum(heights) + ROW_GAP * len(rows)
        width = LEFT + COLUMNS * (CELL + GAP)
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        places = []
        bottom = height - HEADER
        for widths, tall in zip(spans, heights, strict=True):
            bottom -= tall
            left = LEFT
            for wide in widths:
                places.append((left / width, bottom / height, wide / width, tall / height))
                left += wide + GAP
            bottom -= ROW_GAP
        self._places = iter(places)

    def panel(self) -> Axes:
        """Return the next panel."""
        return self.figure.add_axes(next(self._places))

    def drawn(self) -> Figure:
        """Return the figure, whose texts so far are taken as they are: a $ in a name begins no formula."""
        for text in self.figure.findobj(Text):
            text.set_parse_math("$" not in text.get_text())
        return self.figure

    def title(self, line: str, details: str, verdict: str = "", *, poor: bool = False) -> None:
        """Write the title of the sheet, and below it a line of details and the verdict on the fit."""
        width, height = self.figure.get_size_inches()
        left = LEFT / width
        self.figure.text(left, 1 - 0.25 / height, line, size=15, weight="bold", va="center")
        self.figure.text(left, 1 - 0.53 / height, details, size=10.5, va="center", color="0.3")
        self.figure.text(
            left, 1 - 0.75 / height, verdict, size=10.5, va="center", color="C3" if poor else "0.3"
        )


def scale_bar_length(extent: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is at most a third of the extent."""
    power = 10.0 ** math.floor(math.log10(extent / 3))
    return max(step * power for step in (1, 2, 5) if step * power <= extent / 3 * (1 + 1e-9))


def finish_map(
    axes: Axes, title: str, shape: tuple[int, ...], pixel: float, *, metric: bool, dark: bool = False
) -> None:
    """Give a map its title and a scale bar in the lower left corner.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    title : str
    shape : (int, int)
        Rows and columns of the map.
    pixel : float
        Edge of a drawn pixel: in metres if `metric`, else in pixels of the object grid.
    metric : bool
    dark : bool
        Draw a dark scale bar with a light rim, for light maps.
    """
    axes.set_title(title, size=10.5, loc="left", pad=5)
    axes.set(xticks=[], yticks=[], anchor="NW")
    axes.spines[:].set_visible(False)
    length = scale_bar_length(shape[1] * pixel)
    wide = length / pixel
    # the rim keeps the bar visible on any colour
    colour, rim = ("0.15", "white") if dark else ("white", "0.1")
    x, y = 0.05 * shape[1] - 0.5, 0.95 * shape[0] - 0.5
    thickness = 0.012 * max(shape)
    axes.add_patch(
        Rectangle((x, y - thickness), wide, thickness, facecolor=colour, edgecolor=rim, linewidth=0.7)
    )
    axes.annotate(
        length_text(length) if metric else f"{length:g} px",
        (x + wide / 2, y - thickness),
        (0, 2),
        textcoords="offset points",
        color=colour,
        size=8.5,
        ha="center",
        va="bottom",
        path_effects=[withStroke(linewidth=1.8, foreground=rim)],
    )


def add_colour_bar(axes: Axes, picture: Any, unit: str) -> None:
    """Put a colour bar beside a map; it has the same width beside large and small panels."""
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


def finish_curves(axes: Axes, title: str, *, legend: bool) -> None:
    """Give curves over the sweeps their title and axes, within the height of the maps beside them."""
    axes.set_yscale("log")
    axes.set_title(title, size=10.5, loc="left", pad=5)
    axes.set_xlabel("sweeps over the positions", size=8.5, labelpad=2)
    axes.tick_params(which="both", labelsize=8)
    axes.grid(which="major", color="0.9", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.02)
    if legend:
        axes.legend(fontsize=8, frameon=False)
    width, height = (float(size) / DPI for size in axes.figure.bbox.size)
    place = axes.get_position()
    left, below = 0.35 / width, 0.32 / height
    axes.set_position((place.x0 + left, place.y0 + below, place.width - left, place.height - below))
