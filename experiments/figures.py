"""Figures in the layout of the paper: rows of images with a common colour range, and log-log curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptyxrf.driver.data.history import IterationRecord

#: Colour of each method in all figures (Okabe and Ito's palette).
COLOURS = {"ptychography": "#0072B2", "fluorescence": "#009E73", "joint": "#D55E00", "truth": "#000000"}
CELL = 2.6
DPI = 110

Histories = Mapping[str, Sequence[IterationRecord]]


def new_figure(rows: int, columns: int, *, cell: tuple[float, float], title: str = "") -> tuple[Figure, Any]:
    """Return a figure and its axes (rows, columns)."""
    figure = Figure(
        figsize=(cell[0] * columns, cell[1] * rows + 0.35 * bool(title)), dpi=DPI, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure, axes


def write_figure(path: Any, figure: Figure) -> None:
    """Write a figure as PNG."""
    with matplotlib.rc_context({"font.size": 8}):
        figure.savefig(path, format="png", dpi=DPI)


def image_rows(title: str, rows: Sequence[tuple[str, Mapping[str, NDArray[Any] | None]]]) -> Figure:
    """Draw rows of images, each row with the colour range of its first image.

    Parameters
    ----------
    title : str
    rows : sequence of (label, images)
        Images by the title of their column; None leaves the cell empty.
    """
    columns = max(len(images) for _, images in rows)
    figure, axes = new_figure(len(rows), columns, cell=(CELL, CELL), title=title)
    for (label, images), line in zip(rows, axes, strict=True):
        first = next(image for image in images.values() if image is not None)
        low, high = float(first.min()), float(first.max())
        drawn: list[Any] = []
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
        for axis, (name, image) in zip(line, images.items(), strict=False):
            if image is None:
                axis.axis("off")
                continue
            drawn.append(axis.imshow(image, vmin=low, vmax=high, cmap="gray", interpolation="nearest"))
            axis.set_title(name, fontsize=9)
        line[0].set_ylabel(label, fontsize=9)
        figure.colorbar(drawn[-1], ax=list(line), fraction=0.03, pad=0.01)
    return figure


def curve_panels(
    title: str, panels: Sequence[Sequence[tuple[str, str, Histories]]], *, dotted: str | None = None
) -> Figure:
    """Draw quantities of histories against the iteration, on logarithmic axes.

    Parameters
    ----------
    title : str
    panels : rows of (title, quantity, histories)
        The quantity is a field or an error of `IterationRecord`.
    dotted : str, optional
        Error that is drawn as a dotted line beside "mse".
    """
    figure, axes = new_figure(len(panels), len(panels[0]), cell=(4.2, 3.2), title=title)
    for line, row in zip(axes, panels, strict=True):
        for axis, (name, quantity, histories) in zip(line, row, strict=True):
            for method, history in histories.items():
                colour = COLOURS.get(method)
                _curve(axis, history, quantity, colour, "-", method)
                if dotted is not None and quantity == "mse":
                    _curve(axis, history, dotted, colour, ":", f"{method}, {dotted.removeprefix('mse_')}")
            finish_curves(axis, name, "iteration + 1")
    return figure


def _curve(
    axis: Axes,
    history: Sequence[IterationRecord],
    quantity: str,
    colour: str | None,
    style: str,
    label: str,
) -> None:
    # a logarithmic axis cannot show iteration 0
    at = np.array([record.iteration + 1 for record in history])
    values = [record.errors.get(quantity, getattr(record, quantity, np.nan)) for record in history]
    axis.loglog(at, values, style, color=colour, label=label, linewidth=1.3)


def finish_curves(axis: Axes, title: str, across: str, down: str = "") -> None:
    """Add title, labels, grid and legend to curves."""
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(across, fontsize=8)
    axis.set_ylabel(down, fontsize=8)
    axis.tick_params(which="both", labelsize=7)
    axis.grid(True, which="major", linewidth=0.4, alpha=0.6)
    axis.legend(fontsize=7)
