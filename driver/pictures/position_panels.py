"""How far refined positions are from those of the scan: arrows over the scan, and a histogram."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

#: The longest arrows (this percentile of all) get this fraction of the scan's extent.
LONGEST, PERCENTILE = 0.06, 98
#: Arrows are drawn to scale where that makes none longer than this fraction of the extent.
TO_SCALE = 0.03


def draw_arrows(axes: Axes, recorded: NDArray[np.float64], refined: NDArray[np.float64], title: str) -> None:
    """Draw an arrow from each recorded position to the refined one, longer than it is where that helps.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    recorded, refined : (N, 2) array of float64
        (row, column) in pixels.
    title : str
    """
    steps = refined - recorded
    extent = float(np.ptp(recorded, axis=0).max()) or 1.0
    long = float(np.percentile(np.hypot(*steps.T), PERCENTILE))
    factor = 1.0 if long >= TO_SCALE * extent or long == 0 else LONGEST * extent / long
    rows, columns = recorded.T
    axes.quiver(
        columns, rows, factor * steps[:, 1], factor * steps[:, 0], np.hypot(*steps.T),
        angles="xy", scale_units="xy", scale=1, width=0.004, cmap="viridis",
    )  # fmt: skip
    pad = 0.05 * extent
    axes.set_xlim(columns.min() - pad, columns.max() + pad)
    axes.set_ylim(rows.max() + pad, rows.min() - pad)
    axes.set_aspect("equal")
    enlarged = f", {factor:.0f} times as long" if factor > 1.5 else ""
    axes.set_title(f"{title}{enlarged}", size=10.5, loc="left", pad=5)
    axes.set(xticks=[], yticks=[])


def draw_histogram(axes: Axes, recorded: NDArray[np.float64], refined: NDArray[np.float64]) -> None:
    """Draw how often positions moved how far along rows and columns."""
    steps = refined - recorded
    most = max(float(np.abs(steps).max()), 1e-3)
    bins = np.linspace(-most, most, 41)
    for values, label, colour in zip(steps.T, ("rows", "columns"), ("C0", "C1"), strict=True):
        text = f"{label}: rms {np.sqrt((values**2).mean()):.3g}"
        axes.hist(values, bins.tolist(), histtype="stepfilled", alpha=0.5, color=colour, label=text)
    axes.set_title("moves of the positions (pixels)", size=10.5, loc="left", pad=5)
    axes.legend(fontsize=8.5, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
