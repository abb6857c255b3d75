"""Three element maps in the imaginary part (section 4.4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptyxrf.experiments.claims import below
from ptyxrf.experiments.extra_comparisons import extra_comparisons
from ptyxrf.experiments.figures import curve_panels, image_rows
from ptyxrf.experiments.findings import Findings, Picture
from ptyxrf.experiments.methods import METHODS, Comparison, columns_of
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Three element maps"
PAPER = "Fig. 18"
STEPS = {"max_iterations": 200}


def run(cache: RunCache) -> Findings:
    """Reconstruct three maps without noise, also with the maps as unknowns of ptychography (alpha = 0)."""
    case = paper_case(
        "53 % overlap, three elements, noiseless",
        n=334,
        per_side=10,
        elements=3,
        noise=0.0,
        quick=cache.quick,
    )
    blind = cache.paper_run(case, "joint", alpha=0.0, **STEPS)
    results = {method: cache.paper_run(case, method, **STEPS) for method in METHODS}
    joint, names = results["joint"], case.scan.element_names
    errors = {"real part": "mse_real", **{f"map of {name}": f"mse_{name}" for name in names}}
    claims = [
        below(
            f"elements: {label}",
            f"MSE of the {label} below that of ptychography with the same maps as unknowns",
            joint.history[-1].errors[key],
            blind.history[-1].errors[key],
        )
        for label, key in errors.items()
    ]

    def images() -> Any:
        truth = case.scan.truth
        fields = {
            "truth": [truth["object"].real, *truth["elements"]],
            "ptychography (alpha = 0)": [blind.object.real, *blind.elements],
            "fluorescence": [None, *results["fluorescence"].elements],
            "joint": [joint.object.real, *joint.elements],
        }
        rows = [(label, {name: parts[i] for name, parts in fields.items()}) for i, label in enumerate(errors)]
        return image_rows("Three element maps after 200 steps", rows)

    def curves() -> Any:
        histories = {"ptychography": blind.history, "joint": joint.history}
        panels = [(f"MSE of the {label}", key, histories) for label, key in errors.items()]
        return curve_panels("Errors over the steps", [panels[:2], panels[2:]])

    comparison = Comparison("elements", case, results)
    findings = Findings(
        claims=claims,
        pictures=[
            Picture("fig18-images", "Images of the real part and of each map", images),
            Picture("fig18-errors", "Their errors", curves),
        ],
        numbers={"elements": comparison.numbers(), "ptychography, alpha = 0": columns_of(blind)},
    )
    maps = [
        float(np.mean([run.history[-1].errors[f"mse_{name}"] for name in names])) for run in (joint, blind)
    ]
    findings.notes.append(
        f"Mean MSE of the three maps: joint {maps[0]:.3g}, ptychography with three maps {maps[1]:.3g}. "
        "Patterns depend only on the weighted sum of the maps: ptychography cannot change their differences."
    )
    findings.extend(extra_comparisons(cache, comparison, **STEPS))
    return findings
