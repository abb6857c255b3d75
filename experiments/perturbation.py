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
from ptyxrf.experiments.probe_shapes import lit_part
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
    findings.extend(under_conditions(cache))
    return findings


def under_conditions(cache: RunCache) -> Findings:
    """Compare the growth of the gradients for other probes and conventions of the DFT."""
    findings, rows = Findings(), []
    for condition in cache.conditions:
        case = condition.case(small=False, quick=cache.quick)
        weight = condition.weight("joint", case.settings["m"])
        alone, fluorescence, joint = largest_eigenvalues(cache, case, **weight)
        leader = "fluorescence" if fluorescence > alone else "ptychography"
        lit = lit_part(case.scan.truth["probe"][0])
        rows.append([condition.label, 100 * lit, alone, fluorescence, leader, joint, joint / alone])
        findings.claims.append(
            Claim(
                f"perturbation: faster, {condition.label}",
                "the joint gradient grows faster than ptychography's (by more than 1 %)",
                joint / alone - 1 > DIFFERENT,
                f"{joint / alone:.3g} x",
                condition.label,
            )
        )
    head = (
        "probe, DFT",
        "% of the window lit",
        "largest eigenvalue of the patterns",
        "of the weighted fluorescence",
        "leads",
        "of both",
        "growth, joint over ptychography",
    )
    findings.tables = [Table("The growth of the gradient against the probe and the DFT", head, rows)]
    findings.numbers = {"conditions": findings.tables[0].records()}
    findings.notes = [
        "The gradients are those whose derivatives are the Hessians: only the weight follows from the "
        "convention of the DFT. If both terms carried F^* of a DFT that is not normalised, both slopes would "
        "be m^2 times those of the unitary DFT, and the growth that of the unitary DFT. The joint gradient "
        "grows faster where the fluorescence leads."
    ]
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


def largest_eigenvalues(cache: RunCache, case: Case, **weight: float) -> NDArray[np.float64]:
    """Return the largest eigenvalues at the truth: of ptychography, of the weighted maps, of both."""

    def compute() -> dict[str, NDArray[Any]]:
        values = {}
        for method in ("ptychography", "fluorescence", "joint"):
            objective = paper_objective(case, method, **(weight if method == "joint" else {}))
            truth = vector_of(objective, case.scan.truth["object"], case.scan.truth["elements"])
            hessian, start = objective.at(truth).hessian, np.ones(objective.size)
            values[method] = eigsh(hessian, k=1, which="LA", v0=start, return_eigenvectors=False)[0]
        values["fluorescence"] *= objective.alpha[0]
        return {"values": np.array(list(values.values()))}

    return cache.compute("largest eigenvalues", {**case.identity, **weight}, compute)["values"]


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
