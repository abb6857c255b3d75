"""Numerical rank of the Hessians over the iterations, and possible explanations (section 3.3, Table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.analysis.dense_hessian import dense_hessian
from ptyxrf.driver.data.result import Result
from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.figures import COLOURS, finish_curves, new_figure
from ptyxrf.experiments.findings import Findings, Picture, Table
from ptyxrf.experiments.paper_cases import Case, low_overlap_case, paper_objective, vector_of
from ptyxrf.experiments.rank_search import METHODS, TABLE, TAU, search
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Numerical rank of the Hessian"
PAPER = "Table 1"
TAUS = np.geomspace(1e-12, 1e2, 141)
#: Iterations at which the explanations are tested.
TESTED = (25, 500)
#: A slow solver, whose steps go along the gradient.
SLOW: dict[str, Any] = {"inner_limit": 1}


def run(cache: RunCache) -> Findings:
    """Count the singular values above 1e-4 at the iterations of Table 1."""
    case = low_overlap_case(cache.quick)
    iterations = TESTED if cache.quick else tuple(TABLE)
    values = {(method, k): singular_values(cache, case, method, k) for k in iterations for method in METHODS}
    ranks = {key: rank_of(sigma) for key, sigma in values.items()}
    losses = {
        (method, k): cache.paper_run(case, method, max_iterations=k).history[-1].ptychography_loss
        for method, k in values
    }
    rows = [
        [
            k,
            ranks["ptychography", k],
            ranks["joint", k],
            *TABLE[k],
            *(losses[method, k] for method in METHODS),
        ]
        for k in iterations
    ]
    head = (
        "iteration",
        "ptychography",
        "joint",
        "paper, ptychography",
        "paper, joint",
        "Phi_p, ptychography",
        "Phi_p, joint",
    )
    higher = all(ranks["joint", k] > ranks["ptychography", k] for k in iterations)
    figures = ", ".join(f"{k}: {ranks['ptychography', k]}/{ranks['joint', k]}" for k in iterations)
    claims = [Claim("rank: higher", "the joint rank is higher at every iteration", higher, figures)]
    if not cache.quick:
        near = all(
            abs(ranks[method, k] / TABLE[k][i] - 1) < 0.05
            for k in iterations
            for i, method in enumerate(METHODS)
        )
        claims.append(Claim("rank: numbers", "the ranks are those of Table 1 within 5 %", near, figures))
    last = iterations[-1]
    table = Table(f"Singular values of at least {TAU:g}", head, rows)
    findings = Findings(claims, [table], numbers={"table": table.records()})
    findings.pictures.append(
        Picture(
            "tau", "Rank against the tolerance", lambda: draw({m: values[m, last] for m in METHODS}, last)
        )
    )
    findings.numbers["tau"] = TAUS.tolist()
    for (method, k), sigma in values.items():
        findings.numbers[f"rank against tau, {method}, {k}"] = [rank_of(sigma, tau) for tau in TAUS]
    limit = case.scan.N * case.scan.m**2
    findings.notes.append(
        "If all patterns are fitted, each adds at most m^2 to the rank of ptychography, which is at most "
        f"N m^2 = {limit}. The ranks of the paper are larger, so its Hessian was not evaluated at a fit. The "
        "table below tests what else would give such ranks."
    )
    findings.extend(explanations(cache, case, values))
    findings.extend(under_conditions(cache))
    findings.extend(search(cache))
    return findings


def under_conditions(cache: RunCache) -> Findings:
    """Compare the ranks after the first iterations of Table 1 for other probes and conventions of the DFT."""
    findings, rows, k = Findings(), [], TESTED[0]
    for condition in cache.conditions:
        case = condition.case(small=True, quick=cache.quick)
        m = case.settings["m"]
        sigmas = [
            singular_values(cache, case, method, k, **condition.weight(method, m)) for method in METHODS
        ]
        alone, both = (rank_of(sigma) for sigma in sigmas)
        limit, unknowns = case.scan.N * m * m, len(sigmas[0])
        rows.append([condition.label, alone, both, limit, unknowns, 100 * (both / alone - 1)])
        findings.claims.append(
            Claim(
                f"rank: higher, {condition.label}",
                f"the joint rank is higher (iteration {k})",
                both > alone,
                f"{alone}/{both}",
                condition.label,
            )
        )
    head = ("probe, DFT", "ptychography", "joint", "N m^2", "unknowns", "% gain")
    n = cache.conditions[0].case(small=True, quick=cache.quick).settings["n"]
    title = f"The rank at iteration {k} against the probe and the DFT, n = {n}"
    findings.tables = [Table(title, head, rows)]
    findings.numbers = {"conditions": findings.tables[0].records()}
    return findings


def rank_of(sigma: NDArray[Any], tau: float = TAU) -> int:
    """Return the number of singular values of at least tau."""
    return int((sigma >= tau).sum())


def singular_values(
    cache: RunCache, case: Case, method: str, iterations: int, *, printed: bool = False, **settings: Any
) -> NDArray[np.float64]:
    """Return the singular values of the Hessian after a number of iterations of the paper's solver."""
    result: Result = cache.paper_run(case, method, max_iterations=iterations, **settings)

    def compute() -> dict[str, NDArray[Any]]:
        weight = {name: value for name, value in settings.items() if name == "alpha_scale"}
        objective = paper_objective(case, method, **weight)
        at = vector_of(objective, result.object, result.elements)
        return {
            "sigma": np.sort(np.abs(np.linalg.eigvalsh(dense_hessian(objective, at, printed_data=printed))))
        }

    identity: Mapping[str, Any] = {
        **case.identity,
        "method": method,
        "iterations": iterations,
        "printed": printed,
        **settings,
    }
    title = f"singular values, {method}, iteration {iterations}"
    return cache.compute(title + (", as printed" if printed else ""), identity, compute)["sigma"]


def explanations(cache: RunCache, case: Case, values: Mapping[tuple[str, int], NDArray[Any]]) -> Findings:
    """Test explanations of the paper's ranks: a slow solver, the Hessian as printed, another scale."""
    rows = []
    for k in TESTED:
        for i, method in enumerate(METHODS):
            wanted = TABLE[k][i]
            slow = singular_values(cache, case, method, k, **SLOW)
            printed = singular_values(cache, case, method, k, printed=True)
            both = singular_values(cache, case, method, k, printed=True, **SLOW)
            sigma = values[method, k]
            # a probe scaled by s multiplies ptychography's Hessian by s^2, as if tau were divided by s^2
            factor = TAU / float(sigma[-wanted]) if wanted <= len(sigma) and sigma[-wanted] > 0 else np.inf
            rows.append(
                [k, method, wanted, rank_of(sigma), rank_of(slow), rank_of(printed), rank_of(both), factor]
            )
    head = (
        "iteration",
        "method",
        "paper",
        "here",
        "slow solver (steps along the gradient)",
        "d as printed in C2 and C3",
        "both",
        "factor of the Hessian that gives the paper's rank",
    )
    table = Table("What could explain the ranks of the paper", head, rows)
    return Findings(tables=[table], numbers={"explanations": table.records()})


def draw(values: Mapping[str, NDArray[Any]], iteration: int) -> Any:
    """Draw the rank against the tolerance."""
    figure, axes = new_figure(1, 1, cell=(5.0, 3.4), title=f"Numerical rank after {iteration} iterations")
    for method, sigma in values.items():
        counts = [rank_of(sigma, tau) for tau in TAUS]
        axes[0, 0].semilogx(TAUS, counts, color=COLOURS[method], label=method)
    axes[0, 0].axvline(TAU, color="black", linewidth=0.8, linestyle=":")
    finish_curves(axes[0, 0], "", "tau", "singular values >= tau")
    return figure
