"""The growth of the gradient from the truth along the direction of largest curvature (section 3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.figures import COLOURS, finish_curves, new_figure
from ptyxrf.experiments.findings import Findings, Picture, Table
from ptyxrf.experiments.paper_cases import Case, low_overlap_case, paper_objective, vector_of
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Gradient around the truth"
PAPER = "Fig. 3"
METHODS = ("ptychography", "joint")
LINEAR = np.linspace(-0.1, 0.1, 81)
LOGARITHMIC = np.geomspace(1e-18, 0.1, 69)
#: Range of the steps that give the slope: above rounding errors, and below any change of curvature.
SLOPE = (1e-7, 1e-4)
#: Factors of the gradient-norm weight: the paper does not give its constant.
SCALES = (1.0, 10.0, 100.0)
#: Smallest relative difference of slopes that counts.
DIFFERENT = 0.01


def run(cache: RunCache) -> Findings:
    """Move along the leading eigenvector of each method's Hessian at the truth."""
    case = low_overlap_case(cache.quick)
    norms = {method: gradient_norms(cache, case, method) for method in METHODS}
    findings = Findings(
        pictures=[Picture("fig03", "Norm of the gradient at truth + t v1", lambda: draw(norms))],
        numbers={
            method: {name: np.asarray(values).tolist() for name, values in arrays.items()}
            for method, arrays in norms.items()
        },
    )
    slopes = {}
    for method, arrays in norms.items():
        steps = LOGARITHMIC
        inside = (steps >= SLOPE[0]) & (steps <= SLOPE[1])
        slopes[method] = float(np.median(arrays["logarithmic"][inside] / steps[inside]))
        eigenvalue = float(arrays["eigenvalue"])
        findings.claims.append(
            Claim(
                f"perturbation: slope, {method}",
                f"{method}: the slope of the gradient's norm is the largest eigenvalue",
                abs(slopes[method] / eigenvalue - 1) < 1e-3,
                f"slope {slopes[method]:.6g}, eigenvalue {eigenvalue:.6g}",
            )
        )
    gain = slopes["joint"] / slopes["ptychography"] - 1
    findings.claims.append(
        Claim(
            "perturbation: faster",
            "the joint gradient grows faster than ptychography's (by more than 1 %)",
            gain > DIFFERENT,
            f"slopes {slopes['joint']:.5g} and {slopes['ptychography']:.5g}: {100 * gain:+.2g} %",
        )
    )
    largest = {0.0: norms["ptychography"]["eigenvalue"], 1.0: norms["joint"]["eigenvalue"]} | {
        scale: gradient_norms(cache, case, "joint", alpha_scale=scale)["eigenvalue"] for scale in SCALES[1:]
    }
    rows = [[scale, float(value), float(value / largest[0.0])] for scale, value in largest.items()]
    head = ("alpha_scale", "largest eigenvalue", "over ptychography's")
    table = Table("The slope against the weight (0: ptychography)", head, rows)
    findings.tables.append(table)
    findings.numbers["weights"] = table.records()
    return findings


def gradient_norms(cache: RunCache, case: Case, method: str, **weight: float) -> dict[str, NDArray[Any]]:
    """Return the largest eigenvalue and the norms of the gradient along its eigenvector."""

    def compute() -> dict[str, NDArray[Any]]:
        objective = paper_objective(case, method, **weight)
        truth = vector_of(objective, case.scan.truth["object"], case.scan.truth["elements"])
        hessian = objective.at(truth).hessian
        value, vectors = eigsh(hessian, k=1, which="LA", v0=np.ones(objective.size))

        def norms(steps: NDArray[Any]) -> NDArray[Any]:
            return np.array([np.linalg.norm(objective.at(truth + t * vectors[:, 0]).gradient) for t in steps])

        return {"eigenvalue": value[0], "linear": norms(LINEAR), "logarithmic": norms(LOGARITHMIC)}

    return cache.compute(f"gradients, {method}", {**case.identity, "method": method, **weight}, compute)


def draw(norms: dict[str, dict[str, NDArray[Any]]]) -> Any:
    """Draw the norms on linear and logarithmic axes."""
    figure, axes = new_figure(1, 2, cell=(4.2, 3.2), title="Norm of the gradient at truth + t v1")
    for method, arrays in norms.items():
        axes[0, 0].plot(LINEAR, arrays["linear"], color=COLOURS[method], label=method)
        axes[0, 1].loglog(LOGARITHMIC, arrays["logarithmic"], color=COLOURS[method], label=method)
        axes[0, 1].loglog(LOGARITHMIC, arrays["eigenvalue"] * LOGARITHMIC, ":", color="black", linewidth=0.8)
    finish_curves(axes[0, 0], "to +-0.1", "t")
    finish_curves(axes[0, 1], "down to rounding errors (dotted: eigenvalue times t)", "t")
    return figure
