"""The picture of a comparison: both phases, their difference, and the ring correlation."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ptyxrf.driver.analysis.comparison import Comparison
from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.driver.pictures.colours import DIVERGING, colour_limits
from ptyxrf.driver.pictures.sheet import COLUMNS, DPI, Sheet, add_colour_bar, finish_map
from ptyxrf.kernels.phase_unwrapping import unwrapped_phase


def draw_comparison(comparison: Comparison, names: tuple[str, str], details: str) -> Figure:
    """Draw a comparison.

    Parameters
    ----------
    comparison : Comparison
    names : (str, str)
        Of the results.
    details : str
        A line below the title.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shape = comparison.first.shape
    sheet = Sheet([(min(max(shape[0] / shape[1], 0.3), 1.6), [1] * COLUMNS)])
    phases = [unwrapped_phase(field) for field in (comparison.first, comparison.second)]
    phases[1] -= 2 * np.pi * np.rint(np.median(phases[1] - phases[0]) / (2 * np.pi))
    norm = Normalize(*colour_limits(np.stack(phases)))
    for name, phase in zip(names, phases, strict=True):
        _draw(sheet.panel(), phase, f"{name}: phase", norm, "cividis", comparison)
    difference = np.angle(comparison.second * np.conj(comparison.first))
    most = max(map(abs, colour_limits(difference))) or 1.0
    _draw(sheet.panel(), difference, "difference of phases", Normalize(-most, most), DIVERGING, comparison)
    _draw_rings(sheet.panel(), comparison)
    sheet.title(f"{names[0]} · {names[1]}", details)
    return sheet.figure


def write_comparison(path: str | Path, comparison: Comparison, names: tuple[str, str], details: str) -> None:
    """Write the picture of `draw_comparison` as PNG, whole or not at all."""
    figure = draw_comparison(comparison, names, details)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw(
    axes: Axes, values: np.ndarray, title: str, norm: Normalize, colours: str, comparison: Comparison
) -> None:
    picture = axes.imshow(values, cmap=matplotlib.colormaps[colours], norm=norm)
    size = comparison.pixel_size
    finish_map(axes, title, values.shape, size or 1.0, metric=bool(size), dark=colours == DIVERGING)
    add_colour_bar(axes, picture, "rad")


def _draw_rings(axes: Axes, comparison: Comparison) -> None:
    rings, size = comparison.rings, comparison.pixel_size
    frequency = rings.frequency if size is None else rings.frequency / size * 1e-6
    axes.plot(frequency, rings.correlation, "C0", label="ring correlation")
    axes.plot(frequency, rings.half_bit, "C3--", linewidth=1.0, label="half bit")
    axes.axhline(1 / 7, color="0.5", linestyle=":", linewidth=1.2, label="1/7")
    axes.set(ylim=(min(0.0, float(rings.correlation.min())), 1.03), xlim=(0, frequency[-1]))
    axes.set_xlabel("cycles per pixel" if size is None else "cycles per µm", size=8.5, labelpad=2)
    axes.set_title("agreement of frequencies", size=10.5, loc="left", pad=5)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    width, height = (float(extent) / DPI for extent in axes.figure.bbox.size)
    place = axes.get_position()
    left, below = 0.3 / width, 0.32 / height
    axes.set_position((place.x0 + left, place.y0 + below, place.width - left, place.height - below))
