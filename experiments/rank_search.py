"""A search for what comes closest to the ranks of Table 1 (section 3.3).

The paper gives neither the probe, nor the scale of the data, nor the constant of the weight, nor the pace of
its solver. The search takes each of them, and the Hessian as derived or with d as printed in C2 and C3,
where c = sqrt(d)/|psi| becomes s d/|psi| with s = 1 (unitary DFT) or s = m (not normalised).

A probe scaled by s multiplies the Hessians of both methods by s^2: the weight by gradient norms falls as
1/s^2. One factor of the Hessian is therefore common to all ranks of a candidate; it is fitted. Ranks come
from stochastic Lanczos quadrature, with errors of some percent where many eigenvalues lie near the tolerance.
The Hessian with d as printed is that of patterns (s d)^2 at the same point.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.analysis.spectrum import Spectrum
from ptyxrf.driver.analysis.spectrum import spectrum as sample_spectrum
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.reconstruction.judgement import SuspiciousScan
from ptyxrf.driver.reconstruction.reconstruct import DoubtfulFit, reconstruct
from ptyxrf.driver.reconstruction.reporting import View
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.experiments.conditions import Condition
from ptyxrf.experiments.findings import Findings, Table
from ptyxrf.experiments.paper_cases import PAPER, Case, paper_objective, vector_of
from ptyxrf.experiments.run_cache import RunCache

METHODS = ("ptychography", "joint")
TAU = 1e-4
#: Ranks of the ptychography and of the joint Hessian by iteration, from Table 1 of the paper.
TABLE = {
    25: (7201, 7390),
    50: (6867, 7163),
    150: (6045, 6656),
    250: (5982, 6619),
    375: (5972, 6622),
    500: (5978, 6621),
}
#: Number of unknowns of the paper's problem.
UNKNOWNS = 7688
#: Most inner steps of a solver: along the gradient, and the plain truncated Newton method.
PACES = (1, 50)
FORMULAS = ("derived", "d as printed, unitary", "d as printed, not normalised")
#: Factors of the Hessian that are tried: Lanczos steps do not resolve a much smaller tolerance.
FACTORS = np.geomspace(1e-3, 1e1, 161)
#: Random vectors and Lanczos steps; more steps where the fluorescence stretches the spectrum.
VECTORS, STEPS = 4, {"unitary": 100, "printed": 250}
#: Candidates that the table shows.
SHOWN = 8


@dataclass(frozen=True)
class Candidate:
    """What may explain the ranks: a condition, a solver and a formula."""

    condition: Condition
    pace: int
    formula: str


@dataclass(frozen=True)
class Match:
    """The ranks of a candidate with the factor of the Hessian that brings them closest to Table 1.

    Attributes
    ----------
    candidate : Candidate
    factor : float
    ranks : (iterations, 2) array of float64
        In units of the paper's problem: the part of the unknowns times 7688.
    worst, mean : float
        The largest and the mean deviation from the paper, relative.
    """

    candidate: Candidate
    factor: float
    ranks: NDArray[np.float64]
    worst: float
    mean: float


def search(cache: RunCache) -> Findings:
    """Rank the candidates by their largest deviation from the numbers of Table 1."""
    matches = []
    reduced = 1 if cache.quick else None
    for condition, pace, formula in product(cache.conditions[:reduced], PACES[:reduced], FORMULAS):
        candidate = Candidate(condition, pace, formula)
        matches.append(matched(candidate, spectra_of(cache, candidate)))
    tried, matches = len(matches), [match for match in matches if np.isfinite(match.worst)]
    matches.sort(key=lambda match: match.worst)
    head = (
        "probe, DFT",
        "inner steps at most",
        "Hessian",
        "factor",
        "largest deviation, %",
        "mean deviation, %",
        *(f"iteration {k}" for k in TABLE),
    )
    rows = [
        [
            match.candidate.condition.label,
            match.candidate.pace,
            match.candidate.formula,
            match.factor,
            100 * match.worst,
            100 * match.mean,
            *(f"{alone:.0f}/{both:.0f}" for alone, both in match.ranks),
        ]
        for match in matches[:SHOWN]
    ]
    wanted = [f"{alone}/{both}" for alone, both in TABLE.values()]
    rows.append(["paper", "", "", "", "", "", *wanted])
    table = Table(f"What comes closest to Table 1, of {tried} candidates (sampled ranks)", head, rows)
    return Findings(tables=[table], numbers={"search": table.records()})


def matched(candidate: Candidate, spectra: Mapping[tuple[str, int], Spectrum]) -> Match:
    """Return the match of a candidate with the best factor of its Hessians."""
    wanted = np.array(list(TABLE.values()), dtype=np.float64)
    counts = np.array(
        [[UNKNOWNS * rank_fractions(spectra[method, k], FACTORS) for method in METHODS] for k in TABLE]
    )
    deviations = np.nan_to_num(np.abs(counts / wanted[:, :, None] - 1), nan=np.inf)
    best = int(deviations.max(axis=(0, 1)).argmin())
    chosen = deviations[:, :, best]
    return Match(
        candidate, float(FACTORS[best]), counts[:, :, best], float(chosen.max()), float(chosen.mean())
    )


def rank_fractions(spectrum: Spectrum, factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction of the singular values of at least TAU if the matrix is multiplied by factors.

    It is NaN where the steps of a vector have found nothing smaller: they do not resolve the tolerance.
    """
    threshold = TAU / factors
    inside = spectrum.cumulative(np.nextafter(threshold, 0)) - spectrum.cumulative(-threshold)
    smallest = np.abs(spectrum.nodes).min(axis=1).max()
    return np.where(smallest < threshold, 1 - inside, np.nan)


def spectra_of(cache: RunCache, candidate: Candidate) -> dict[tuple[str, int], Spectrum]:
    """Return the sampled spectra of both methods at the iterations of Table 1."""
    case = candidate.condition.case(small=False, quick=cache.quick)
    found: dict[tuple[str, int], Spectrum] = {}
    for method in METHODS:
        weight = candidate.condition.weight(method, case.settings["m"])
        points = points_of(cache, case, method, candidate.pace, weight)
        steps = STEPS[candidate.condition.convention if method == "joint" else "unitary"]
        spectra = _sampled(cache, case, method, candidate, weight, points, steps)
        found |= {(method, k): spectrum for k, spectrum in zip(TABLE, spectra, strict=True)}
    return found


def points_of(
    cache: RunCache, case: Case, method: str, pace: int, weight: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """Return the objects and maps at the iterations of Table 1, from one run of the paper's solver."""
    settings = Settings.paper(
        method=method,
        **{key: value for key, value in PAPER.items() if method == "joint" or key[:5] != "alpha"},
    ).replace(max_iterations=max(TABLE), inner_limit=pace, **weight)

    def compute() -> dict[str, NDArray[Any]]:
        kept: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}

        def keep(record: Any, view: View) -> None:
            if view.stage == method and (view.number in TABLE or not kept):
                kept[view.number] = view.object.copy(), view.elements

        with warnings.catch_warnings():
            for category in (SuspiciousScan, DoubtfulFit):
                warnings.simplefilter("ignore", category)
            result = reconstruct(case.scan, settings=settings, start=case.start, callback=keep)
        last = result.object, result.elements  # a fit that ends early stays where it is
        states = [kept.get(k, last) for k in TABLE]
        return {"object": np.array([z for z, _ in states]), "elements": np.array([w for _, w in states])}

    identity = {**case.identity, "settings": settings.as_dict()}
    return cache.compute(f"iterates, {method}", identity, compute)


def with_squared_patterns(case: Case, scale: float) -> Case:
    """Return the case with the patterns (scale d)^2, whose amplitudes are scale d."""

    def change(scan: Scan) -> Scan:
        return scan.replace(patterns=(scale * np.asarray(scan.patterns)) ** 2)

    return replace(case, change=change, changed={"squared patterns": scale})


def _sampled(
    cache: RunCache,
    case: Case,
    method: str,
    candidate: Candidate,
    weight: Mapping[str, Any],
    points: Mapping[str, NDArray[Any]],
    steps: int,
) -> Sequence[Spectrum]:
    """Return the spectrum at each of some points."""

    def compute() -> dict[str, NDArray[Any]]:
        objective = paper_objective(case, method, **weight)
        if candidate.formula != "derived":
            scale = case.scan.m if candidate.formula.endswith("not normalised") else 1
            fixed = {"alpha": objective.alpha} if method == "joint" else {}
            objective = paper_objective(with_squared_patterns(case, scale), method, **fixed)
        found = []
        for z, elements in zip(points["object"], points["elements"], strict=True):
            objective.value_and_gradient(vector_of(objective, z, elements))
            found.append(sample_spectrum(objective, vectors=VECTORS, steps=steps))
        return {
            "nodes": np.array([spectrum.nodes for spectrum in found]),
            "weights": np.array([spectrum.weights for spectrum in found]),
            "size": np.array(objective.size),
        }

    identity = {
        **case.identity,
        "method": method,
        "pace": candidate.pace,
        "formula": candidate.formula,
        "vectors": VECTORS,
        "steps": steps,
        **weight,
    }
    stored = cache.compute(f"sampled spectra at iterates, {method}", identity, compute)
    return [
        Spectrum(nodes, weights, int(stored["size"]))
        for nodes, weights in zip(stored["nodes"], stored["weights"], strict=True)
    ]
