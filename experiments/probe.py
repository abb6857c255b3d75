"""The probe of a Fresnel zone plate (section 4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.figures import CELL, new_figure
from ptyxrf.experiments.findings import Findings, Picture
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Probe"
PAPER = "Fig. 6"
#: Largest magnitude that counts as near zero, and radius of the periphery, as fractions of the largest
#: magnitude and of the half-width.
NEAR_ZERO, PERIPHERY = 0.05, 0.75


def run(cache: RunCache) -> Findings:
    """Show the magnitude and phase of the probe, and how much of it lies at the periphery."""
    case = paper_case("m = 64", n=64, per_side=1, quick=cache.quick, sampling=None)
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
    return Findings(
        [claim], pictures=[Picture("fig06", "Magnitude and phase", draw)], numbers={"probe": numbers}
    )
