"""The picture of a plan: tiles, the halo of one rank, and the efficiency over the number of ranks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle as Patch
from numpy.typing import NDArray

from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.driver.planning.plan import THRESHOLDS, Plan

#: At most this many tiles are drawn; of more, those around the middle of the object.
MOST_TILES = 900
#: Up to this many positions in the picture are drawn.
MOST_POSITIONS = 20_000


def _polygons(edges: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the corners (column, row) of rectangles."""
    rows, columns = edges[:, [0, 0, 1, 1]], edges[:, [2, 3, 3, 2]]
    return list(np.stack([columns, rows], axis=-1))


def _draw_tiles(axes: Axes, plan: Plan) -> None:
    partition, problem = plan.partition, plan.problem
    rows, columns = problem.grid
    owned, covered = partition.owned, partition.covered
    middle = (owned[:, 0] + owned[:, 1]) / 2, (owned[:, 2] + owned[:, 3]) / 2
    chosen = int(np.argmin((middle[0] - rows * 0.45) ** 2 + (middle[1] - columns * 0.45) ** 2))
    box = np.array([0, rows, 0, columns], dtype=float)
    title = f"{plan.ranks:,} tiles"
    if plan.ranks > MOST_TILES:
        half = 0.5 * math.sqrt(MOST_TILES / plan.ranks)
        centre = middle[0][chosen], middle[1][chosen]
        box = np.array(
            [centre[0] - half * rows, centre[0] + half * rows, centre[1] - half * columns,
             centre[1] + half * columns]
        )  # fmt: skip
        title = f"about {MOST_TILES} of {plan.ranks:,} tiles, around the middle"
    seen = (owned[:, 1] > box[0]) & (owned[:, 0] < box[1]) & (owned[:, 3] > box[2]) & (owned[:, 2] < box[3])
    node = (np.arange(plan.ranks) * plan.nodes) // plan.ranks
    colours = np.array(["#dfe9f3", "#f6ead7", "#e3f0df", "#f3e1ea"])[node % 4]
    axes.add_collection(
        PolyCollection(_polygons(owned[seen]), facecolors=colours[seen], edgecolors="0.45", linewidths=0.5)
    )
    centres = problem.corners + problem.m / 2
    inside = ((centres >= box[::2]) & (centres < box[1::2])).all(axis=1)
    if inside.sum() <= MOST_POSITIONS:
        size = min(6.0, 3000 / max(int(inside.sum()), 1))
        axes.scatter(centres[inside, 1], centres[inside, 0], s=size, c="0.3", linewidths=0, zorder=3)
    for edges, style, label in (
        (covered[chosen], "--", f"halo of rank {chosen:,}"),
        (owned[chosen], "-", f"pixels of rank {chosen:,}"),
    ):
        top, bottom, left, right = (float(edge) for edge in edges)
        axes.add_patch(
            Patch(
                (left, top),
                right - left,
                bottom - top,
                fill=False,
                edgecolor="C3",
                linestyle=style,
                linewidth=1.6,
                label=label,
                zorder=4,
            )
        )
    axes.set(xlim=box[2:], ylim=box[1::-1], aspect="equal", xlabel="columns (pixels)", ylabel="rows (pixels)")
    axes.set_title(f"{title}; colours: nodes", loc="left", size=10.5)
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)


def _draw_efficiency(axes: Axes, plan: Plan) -> None:
    top = max(plan.problem.count, plan.ranks)
    ladder = [r for r in sorted({round(2 ** (k / 2)) for k in range(80)}) if r <= top]
    axes.semilogx(
        ladder, [100 * plan.estimate(r) for r in ladder], color="C0", label="other numbers, regular tiles"
    )
    axes.plot(
        [plan.ranks], [100 * plan.efficiency], "o", color="C3", label=f"this plan: {plan.ranks:,} ranks"
    )
    for level in THRESHOLDS:
        axes.axhline(100 * level, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="ranks", ylabel="efficiency of a Hessian product (%)", ylim=(0, 105))
    axes.set_title("time on one rank / (ranks x their time)", loc="left", size=10.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def write_plan_picture(path: str | Path, plan: Plan) -> None:
    """Write the tiles and the efficiency of a plan as PNG, whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    plan : Plan

    Raises
    ------
    ValueError
        The file cannot be written.
    """
    figure = Figure(figsize=(12.5, 6), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    tiles, efficiency = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_tiles(tiles, plan)
    _draw_efficiency(efficiency, plan)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")
