"""The probe of a Fresnel zone plate (section 4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.figures import CELL, new_figure
from ptyxrf.experiments.findings import Outcome, Picture
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import Study

TITLE = "Probe"
PAPER = "Fig. 6"
#: Near zero: below this fraction of the largest magnitude; the periphery: beyond this fraction of the
#: half-width from the axis.
NEAR_ZERO, PERIPHERY = 0.05, 0.75


def run(study: Study) -> Outcome:
    """Show magnitude and phase of the probe and how little of it is at its periphery."""
    case = paper_case("m = 64", n=64, per_side=1, quick=study.quick, sampling=None)
    probe = case.scan.truth["probe"][0]
    m = len(probe)
    row, column = np.indices(probe.shape) - m // 2
    outside = np.hypot(row, column) > PERIPHERY * m / 2
    size = np.abs(probe) / np.abs(probe).max()
    dark, power = (
        float((size[outside] < NEAR_ZERO).mean()),
        float((size[outside] ** 2).sum() / (size**2).sum()),
    )

    def draw() -> Any:
        figure, axes = new_figure(1, 2, cell=(CELL * 1.4, CELL * 1.2))
        for axis, name, values, colours in (
            (axes[0, 0], "magnitude", size, "viridis"),
            (axes[0, 1], "phase (rad)", np.angle(probe), "twilight"),
        ):
            figure.colorbar(
                axis.imshow(values, cmap=colours, interpolation="nearest"), ax=axis, fraction=0.045
            )
            axis.set_title(name, fontsize=9)
            axis.tick_params(labelsize=7)
        return figure

    claim = Claim(
        "probe: periphery",
        f"near-zero magnitude (below {NEAR_ZERO:g} of the largest) beyond {PERIPHERY:g} of the half-width",
        dark > 0.9,
        f"{100 * dark:.1f} % of the pixels there; {100 * power:.2g} % of the power falls on them",
    )
    numbers = {"magnitude": size.tolist(), "phase": np.angle(probe).tolist(), "dark": dark, "power": power}
    return Outcome(
        [claim], pictures=[Picture("fig06", "Magnitude and phase", draw)], numbers={"probe": numbers}
    )
