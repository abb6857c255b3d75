"""Eigenvalues of the Hessians of ptychography and of the joint method (section 3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.analysis.dense_hessian import dense_hessian
from ptyxrf.driver.analysis.spectrum import Spectrum
from ptyxrf.driver.analysis.spectrum import spectrum as sample_spectrum
from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.figures import COLOURS, finish_curves, new_figure
from ptyxrf.experiments.findings import Outcome, Picture, Table
from ptyxrf.experiments.paper_cases import Case, low_overlap_case, paper_case
from ptyxrf.experiments.run_cache import Study, point

TITLE = "Spectrum of the Hessian"
PAPER = "Fig. 2"
METHODS = ("ptychography", "joint")
#: Eigenvalues below this fraction of the largest are near zero.
NEAR_ZERO = 0.05
#: Factors of the gradient-norm weight: the paper leaves it open up to a constant.
SCALES = (1.0, 10.0, 100.0, 1e4)


def run(study: Study) -> Outcome:
    """Compare the spectra at the truth and at the reconstruction, and sample that of a large object."""
    case = low_overlap_case(study.quick)
    truth = case.scan.truth
    spectra: dict[tuple[str, str], NDArray[np.float64]] = {}
    for method in METHODS:
        result = study.paper(case, method)
        points = {
            "truth": (truth["object"], truth["elements"]),
            "reconstruction": (result.object, result.elements),
        }
        for where, at in points.items():
            spectra[method, where] = eigenvalues(study, case, method, where, *at)
    outcome = Outcome(pictures=[Picture("fig02", "Eigenvalues over the largest", lambda: draw(spectra))])
    for where in ("truth", "reconstruction"):
        outcome.claims += spread_claims(where, *(spectra[method, where] for method in METHODS))
    outcome.numbers = {f"{method}, {where}": values.tolist() for (method, where), values in spectra.items()}
    outcome.extend(weights(study, case, spectra["ptychography", "truth"]))
    outcome.extend(sampled(study, case, spectra))
    return outcome


def eigenvalues(
    study: Study, case: Case, method: str, where: str, *at: NDArray[Any], alpha_scale: float = 1.0
) -> NDArray[np.float64]:
    """Return the eigenvalues of a dense Hessian, in descending order."""

    def compute() -> dict[str, NDArray[Any]]:
        objective = study.objective(case, method, alpha_scale=alpha_scale)
        return {"values": np.linalg.eigvalsh(dense_hessian(objective, point(objective, *at)))[::-1]}

    settings = {**case.identity, "method": method, "where": where, "alpha_scale": alpha_scale}
    return study.compute(f"eigenvalues, {method}, at the {where}", settings, compute)["values"]


def weights(study: Study, case: Case, alone: NDArray[Any]) -> Outcome:
    """Show how the shape of the joint spectrum depends on the weight of the fluorescence."""
    truth = case.scan.truth["object"], case.scan.truth["elements"]
    rows = []
    for scale in (0.0, *SCALES):
        values = (
            alone if scale == 0 else eigenvalues(study, case, "joint", "truth", *truth, alpha_scale=scale)
        )
        near = float((values < NEAR_ZERO * values[0]).mean())
        positive = float((values > 1e-6 * values[0]).mean())
        rows.append([scale, values[0], 100 * near, 100 * (1 - near), 100 * positive])
    head = ("alpha_scale", "largest", "% below 0.05", "% outliers", "% above 1e-6 of the largest")
    table = Table("The joint spectrum at the truth against the weight (0: ptychography)", head, rows)
    return Outcome(tables=[table], numbers={"weights": table.records()})


def spread_claims(where: str, ptychography: NDArray[Any], joint: NDArray[Any]) -> list[Claim]:
    """Return the claims of Figure 2: one spectrum spread out, the other near zero but for a few outliers."""
    alone, both = (values / values[0] for values in (ptychography, joint))
    bins = np.histogram(alone, bins=20, range=(0, 1))[0]
    near = float((np.abs(both) < NEAR_ZERO).mean())
    near_alone = float((np.abs(alone) < NEAR_ZERO).mean())
    bulk, outlier = both[both < NEAR_ZERO].max(), both[both >= NEAR_ZERO].min()
    return [
        Claim(
            f"spectrum: spread, {where}",
            f"at the {where}, ptychography's eigenvalues are spread over [0, 1]",
            bool((bins > 0).all()) and near_alone < 0.9,
            f"{(bins > 0).sum()} of 20 bins hold some; {100 * near_alone:.1f} % are below 0.05",
        ),
        Claim(
            f"spectrum: near zero, {where}",
            f"at the {where}, about 99 % of the joint eigenvalues are near zero (below 0.05)",
            0.98 <= near <= 0.999,
            f"{100 * near:.2f} % below 0.05, {100 * (1 - near):.2f} % are outliers",
        ),
        Claim(
            f"spectrum: gap, {where}",
            f"at the {where}, a gap separates the joint outliers from the bulk",
            bool(outlier - bulk > NEAR_ZERO),
            f"the bulk ends at {bulk:.4g}, the outliers begin at {outlier:.4g}",
        ),
    ]


def draw(spectra: dict[tuple[str, str], NDArray[Any]]) -> Any:
    """Draw a histogram of each spectrum and, below, all eigenvalues in order."""
    figure, axes = new_figure(2, 2, cell=(4.2, 3.0), title="Eigenvalues of the Hessian over the largest")
    for column, where in enumerate(("truth", "reconstruction")):
        for method in METHODS:
            values = spectra[method, where] / spectra[method, where][0]
            axes[0, column].hist(
                values,
                bins=100,
                range=(min(values.min(), 0), 1),
                log=True,
                alpha=0.55,
                color=COLOURS[method],
                label=method,
            )
            rank = np.arange(1, len(values) + 1)
            axes[1, column].loglog(rank, np.maximum(values, 1e-18), color=COLOURS[method], label=method)
        finish_curves(axes[0, column], f"histogram, at the {where}", "eigenvalue / largest", "count")
        axes[1, column].set_ylim(1e-9, 2)
        finish_curves(axes[1, column], f"in order, at the {where}", "index", "eigenvalue / largest")
    return figure


def sampled(study: Study, case: Case, dense: dict[tuple[str, str], NDArray[Any]]) -> Outcome:
    """Check stochastic Lanczos quadrature on the small scan, then apply it to a large one."""
    large = paper_case("50 % overlap, noiseless", n=650, per_side=19, margin=5, quick=study.quick, noise=0.0)
    rows, curves = [], {}
    for one, label in ((case, "small"), (large, "large")):
        for method in METHODS:
            values = _sampled(study, one, method, label)
            edges = NEAR_ZERO * values.largest
            mean, error = values.fraction_above(edges)
            row: list[Any] = [one.label, method, values.largest, 100 * (1 - mean), 100 * error]
            if label == "small":
                exact = dense[method, "truth"]
                near = 100 * float((exact < NEAR_ZERO * exact[0]).mean())
                row += [exact[0], near, transport(values, exact) / exact[0]]
            else:
                row += ["", "", ""]
            rows.append(row)
            curves[method, label] = values
    head = (
        "scan, at the truth",
        "method",
        "largest",
        "% below 0.05",
        "+-",
        "largest, dense",
        "% below 0.05, dense",
        "distance",
    )
    worst = max(row[-1] for row in rows if row[-1] != "")
    apart = max(abs(row[3] - row[6]) for row in rows if row[6] != "")
    claim = Claim(
        "spectrum: sampled",
        "stochastic Lanczos quadrature gives the dense spectrum (within 0.002 of the largest eigenvalue, on "
        "average over the eigenvalues)",
        worst < 0.002,
        f"distance {worst:.2g}; share below 0.05 within {apart:.2g} %",
    )

    def draw_large() -> Any:
        figure, axes = new_figure(1, 1, cell=(5.0, 3.4))
        for method in METHODS:
            values: Spectrum = curves[method, "large"]
            points = np.geomspace(1e-6, 1.0, 200) * values.largest
            axes[0, 0].semilogx(
                points / values.largest, values.cumulative(points), color=COLOURS[method], label=method
            )
        title = f"sampled spectrum, {large.label}, at the truth"
        finish_curves(axes[0, 0], title, "eigenvalue / largest", "fraction below")
        return figure

    table = Table("Stochastic Lanczos quadrature", head, rows)
    return Outcome(
        [claim],
        [table],
        [Picture("large", "The spectrum of a large object, sampled by products", draw_large)],
        {"sampled": table.records()},
    )


def transport(sampled: Spectrum, exact: NDArray[Any]) -> float:
    """Return by how much eigenvalues have to move, on average, to make one spectrum of the other."""
    nodes = np.sort(np.concatenate([sampled.nodes.ravel(), exact]))
    middles = (nodes[1:] + nodes[:-1]) / 2
    below = np.searchsorted(np.sort(exact), middles) / len(exact)
    return float(np.sum(np.abs(sampled.cumulative(middles) - below) * np.diff(nodes)))


def _sampled(study: Study, case: Case, method: str, label: str) -> Spectrum:
    """Return the spectrum at the truth from products that all ranks share."""
    vectors, steps = 8, 100 if label == "small" else 60

    def compute() -> dict[str, NDArray[Any]]:
        objective = study.objective(case, method, comm=study.comm)
        truth = case.scan.truth
        objective.value_and_gradient(point(objective, truth["object"], truth["elements"]))
        found = sample_spectrum(objective, vectors=vectors, steps=steps)
        return {"nodes": found.nodes, "weights": found.weights, "size": np.array(found.size)}

    settings = {**case.identity, "method": method, "vectors": vectors, "steps": steps}
    stored = study.compute(f"sampled spectrum, {method}, {case.label}", settings, compute, together=True)
    return Spectrum(stored["nodes"], stored["weights"], int(stored["size"]))
