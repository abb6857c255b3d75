"""Eigenvalues of the Hessians of ptychography and of the joint method (section 3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.analysis.dense_hessian import dense_hessian
from ptyxrf.driver.analysis.spectrum import Spectrum
from ptyxrf.driver.analysis.spectrum import spectrum as sample_spectrum
from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.conditions import Condition
from ptyxrf.experiments.figures import COLOURS, finish_curves, new_figure
from ptyxrf.experiments.findings import Findings, Picture, Table
from ptyxrf.experiments.paper_cases import Case, low_overlap_case, paper_case, paper_objective, vector_of
from ptyxrf.experiments.probe_shapes import lit_part
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Spectrum of the Hessian"
PAPER = "Fig. 2"
METHODS = ("ptychography", "joint")
#: Largest eigenvalue that counts as near zero, as a fraction of the largest one.
NEAR_ZERO = 0.05
#: Ptychography's eigenvalues are not spread if more than this fraction is near zero.
SPREAD = 2 / 3
#: Factor by which an outlier exceeds ptychography's largest eigenvalue.
ABOVE = 1.1
#: Random vectors and Lanczos steps of sampled spectra, of small scans and of a large one.
VECTORS, STEPS, STEPS_LARGE = 8, 100, 60
#: Factors of the gradient-norm weight: the paper does not give its constant.
SCALES = (1.0, 10.0, 100.0, 1e4)


def run(cache: RunCache) -> Findings:
    """Compare the spectra at the truth and at the reconstruction, and sample that of a large object."""
    case = low_overlap_case(cache.quick)
    truth = case.scan.truth
    spectra: dict[tuple[str, str], NDArray[np.float64]] = {}
    for method in METHODS:
        result = cache.paper_run(case, method)
        points = {
            "truth": (truth["object"], truth["elements"]),
            "reconstruction": (result.object, result.elements),
        }
        for where, at in points.items():
            spectra[method, where] = eigenvalues(cache, case, method, where, *at)
    findings = Findings(pictures=[Picture("fig02", "Eigenvalues over the largest", lambda: draw(spectra))])
    for where in ("truth", "reconstruction"):
        findings.claims += spread_claims(where, *(spectra[method, where] for method in METHODS))
    findings.numbers = {f"{method}, {where}": values.tolist() for (method, where), values in spectra.items()}
    findings.extend(weights(cache, case, spectra["ptychography", "truth"]))
    findings.extend(sampled(cache, case, spectra))
    findings.extend(under_conditions(cache))
    return findings


def eigenvalues(
    cache: RunCache, case: Case, method: str, where: str, *at: NDArray[Any], alpha_scale: float = 1.0
) -> NDArray[np.float64]:
    """Return the eigenvalues of a dense Hessian in descending order."""

    def compute() -> dict[str, NDArray[Any]]:
        objective = paper_objective(case, method, alpha_scale=alpha_scale)
        return {"values": np.linalg.eigvalsh(dense_hessian(objective, vector_of(objective, *at)))[::-1]}

    settings = {**case.identity, "method": method, "where": where, "alpha_scale": alpha_scale}
    return cache.compute(f"eigenvalues, {method}, at the {where}", settings, compute)["values"]


def weights(cache: RunCache, case: Case, alone: NDArray[Any]) -> Findings:
    """Tabulate how the joint spectrum depends on the weight of the fluorescence."""
    truth = case.scan.truth["object"], case.scan.truth["elements"]
    rows = []
    for scale in (0.0, *SCALES):
        values = (
            alone if scale == 0 else eigenvalues(cache, case, "joint", "truth", *truth, alpha_scale=scale)
        )
        near = float((values < NEAR_ZERO * values[0]).mean())
        positive = float((values > 1e-6 * values[0]).mean())
        rows.append([scale, values[0], 100 * near, 100 * (1 - near), 100 * positive])
    head = ("alpha_scale", "largest", "% below 0.05", "% outliers", "% above 1e-6 of the largest")
    table = Table("The joint spectrum at the truth against the weight (0: ptychography)", head, rows)
    return Findings(tables=[table], numbers={"weights": table.records()})


def spread_claims(where: str, ptychography: NDArray[Any], joint: NDArray[Any]) -> list[Claim]:
    """Return the claims of Figure 2: the first spectrum is spread out, the second has few outliers."""
    alone, both = (values / values[0] for values in (ptychography, joint))
    bins = np.histogram(alone, bins=20, range=(0, 1))[0]
    near = float((np.abs(both) < NEAR_ZERO).mean())
    near_alone = float((np.abs(alone) < NEAR_ZERO).mean())
    bulk, outlier = gap_in(both)
    return [
        Claim(
            f"spectrum: spread, {where}",
            f"at the {where}, ptychography's eigenvalues are spread over [0, 1]",
            bool((bins > 0).all()) and near_alone < SPREAD,
            f"{(bins > 0).sum()} of 20 bins are not empty; {100 * near_alone:.1f} % are below 0.05",
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
            outlier - bulk > NEAR_ZERO,
            f"the bulk ends at {bulk:.4g}, the outliers begin at {outlier:.4g}",
        ),
    ]


def gap_in(values: NDArray[Any]) -> tuple[float, float]:
    """Return the ends of the gap at `NEAR_ZERO` in eigenvalues over the largest one."""
    return float(values[values < NEAR_ZERO].max()), float(values[values >= NEAR_ZERO].min())


def draw(spectra: dict[tuple[str, str], NDArray[Any]]) -> Any:
    """Draw a histogram of each spectrum above its eigenvalues in order."""
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


def sampled(cache: RunCache, case: Case, dense: dict[tuple[str, str], NDArray[Any]]) -> Findings:
    """Compare stochastic Lanczos quadrature with the dense spectrum, and apply it to a large object."""
    n, per_side = (298, 8) if cache.quick else (650, 19)
    large = paper_case(
        "50 % overlap, noiseless", n=n, per_side=per_side, margin=5, quick=cache.quick, noise=0.0
    )
    rows, curves = [], {}
    for scan, label in ((case, "small"), (large, "large")):
        for method in METHODS:
            values = _sampled(cache, scan, method, STEPS if label == "small" else STEPS_LARGE)
            edges = NEAR_ZERO * values.largest
            mean, error = values.fraction_above(edges)
            row: list[Any] = [scan.label, method, values.largest, 100 * (1 - mean), 100 * error]
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
    return Findings(
        [claim],
        [table],
        [Picture("large", "The spectrum of a large object, sampled by products", draw_large)],
        {"sampled": table.records()},
    )


def under_conditions(cache: RunCache) -> Findings:
    """Compare the spectra at the truth, sampled by products, for other probes and conventions of the DFT."""
    findings, rows = Findings(), []
    for condition in cache.conditions:
        case = condition.case(small=False, quick=cache.quick)
        weight = condition.weight("joint", case.settings["m"])
        alone = _sampled(cache, case, "ptychography", STEPS)
        both = _sampled(cache, case, "joint", STEPS, **weight)
        tenths = tenths_of(alone)
        near, near_alone = (1 - found.fraction_above(NEAR_ZERO * found.largest)[0] for found in (both, alone))
        above = both.size * both.fraction_above(ABOVE * alone.largest)[0]
        bulk, outlier = gap_in(_dense(cache, condition))
        lit = lit_part(case.scan.truth["probe"][0])
        rows.append(
            [condition.label, 100 * lit, 100 * near_alone, 100 * near, 100 * (1 - near), round(above)]
            + [" ".join(f"{count:.0f}" for count in counts) for counts in (tenths, tenths_of(both))]
        )
        findings.claims += [
            Claim(
                f"spectrum: spread, {condition.label}",
                "ptychography's eigenvalues are spread over [0, 1]",
                min(tenths) >= 1 and near_alone < SPREAD,
                f"{100 * near_alone:.1f} % below 0.05",
                condition.label,
            ),
            Claim(
                f"spectrum: near zero, {condition.label}",
                "about 99 % of the joint eigenvalues are near zero (below 0.05)",
                0.98 <= near <= 0.999,
                f"{100 * near:.1f} %",
                condition.label,
            ),
            Claim(
                f"spectrum: gap, {condition.label}",
                "a gap separates the joint outliers from the bulk (dense Hessian of 2 x 2 positions)",
                outlier - bulk > NEAR_ZERO,
                f"{bulk:.3g} to {outlier:.3g}",
                condition.label,
            ),
            Claim(
                f"spectrum: apart, {condition.label}",
                "joint outliers stand above all of ptychography's eigenvalues (by more than 10 %)",
                above >= 1,
                f"{above:.0f} of {both.size}",
                condition.label,
            ),
        ]
    head = (
        "probe, DFT",
        "% of the window lit",
        "ptychography, % below 0.05",
        "joint, % below 0.05",
        "joint, % outliers",
        "joint above 1.1 x ptychography's largest",
        "tenths of [0, 1], ptychography",
        "tenths of [0, 1], joint",
    )
    findings.tables = [Table("The spectrum at the truth against the probe and the DFT, sampled", head, rows)]
    findings.numbers = {"conditions": findings.tables[0].records()}
    return findings


def _dense(cache: RunCache, condition: Condition) -> NDArray[np.float64]:
    """Return the joint eigenvalues at the truth over the largest one, for a scan of 2 x 2 positions."""
    case = condition.case(small=True, quick=cache.quick)
    truth = case.scan.truth["object"], case.scan.truth["elements"]
    weight = condition.weight("joint", case.settings["m"])
    values = eigenvalues(cache, case, "joint", "truth", *truth, **weight)
    return values / values[0]


def tenths_of(spectrum: Spectrum) -> NDArray[np.float64]:
    """Return the number of eigenvalues in each tenth of [0, largest]; the first one holds all below."""
    edges = spectrum.cumulative(np.linspace(0.1, 1, 10) * spectrum.largest * (1 + 1e-9))
    return np.diff(edges, prepend=0.0) * spectrum.size


def transport(sampled: Spectrum, exact: NDArray[Any]) -> float:
    """Return the mean distance between the eigenvalues of two spectra (their Wasserstein-1 distance)."""
    nodes = np.sort(np.concatenate([sampled.nodes.ravel(), exact]))
    middles = (nodes[1:] + nodes[:-1]) / 2
    below = np.searchsorted(np.sort(exact), middles) / len(exact)
    return float(np.sum(np.abs(sampled.cumulative(middles) - below) * np.diff(nodes)))


def _sampled(cache: RunCache, case: Case, method: str, steps: int, **weight: float) -> Spectrum:
    """Return the spectrum at the truth, from Hessian products on all ranks."""
    vectors = VECTORS

    def compute() -> dict[str, NDArray[Any]]:
        objective = paper_objective(case, method, comm=cache.comm, **weight)
        truth = case.scan.truth
        objective.value_and_gradient(vector_of(objective, truth["object"], truth["elements"]))
        found = sample_spectrum(objective, vectors=vectors, steps=steps)
        return {"nodes": found.nodes, "weights": found.weights, "size": np.array(found.size)}

    settings = {**case.identity, "method": method, "vectors": vectors, "steps": steps, **weight}
    stored = cache.compute(f"sampled spectrum, {method}, {case.label}", settings, compute, together=True)
    return Spectrum(stored["nodes"], stored["weights"], int(stored["size"]))
