"""Noise in the diffraction patterns, and the best weight against it (sections 2.3 and 4.2)."""

from __future__ import annotations

import numpy as np

from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.findings import Findings, Table
from ptyxrf.experiments.method_comparison import comparison_findings
from ptyxrf.experiments.methods import Comparison, compare_methods
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Noise"
PAPER = "Figs. 12 to 14"
#: Factors of the gradient-norm weight.
SCALES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
MEASURES = {"raw": "mse", "aligned": "mse_aligned"}


def run(cache: RunCache) -> Findings:
    """Reconstruct with 0 and 10 % noise in the patterns, and with 10 % in both modalities."""
    common = paper_case("53 % overlap", n=334, per_side=10, quick=cache.quick)
    levels = {
        "noise 0 %": common.but("patterns without noise, XRF 3 %", noise=0.0, fluorescence_noise=0.03),
        "noise 10 %": common.but("patterns 10 %, XRF 3 %", noise=0.10, fluorescence_noise=0.03),
        "noise 10 % in both": common.but("10 % in both", noise=0.10, fluorescence_noise=0.10),
    }
    compared = [compare_methods(cache, key, case) for key, case in levels.items()]
    findings = comparison_findings(
        cache, compared, "Reconstructions, n = 334, 53 % overlap", ("fig12", "fig13", "fig14")
    )
    findings.extend(weights(cache, compared))
    return findings


def weights(cache: RunCache, compared: list[Comparison]) -> Findings:
    """Vary the factor of the weight, and claim that the best factor is lower with more noise."""
    rows, best = [], {}
    for comparison in compared:
        case, key = comparison.case, comparison.key
        runs = {scale: cache.paper_run(case, "joint", alpha_scale=scale) for scale in SCALES}
        for label, error in MEASURES.items():
            values = [run.history[-1].errors[error] for run in runs.values()]
            best[key, label] = SCALES[int(np.argmin(values))]
            rows.append([case.label, label, *values, f"{best[key, label]:g}"])
    noiseless, noisy = (best[key, "raw"] for key in ("noise 0 %", "noise 10 % in both"))
    claim = Claim(
        "noise: weight",
        "the weight of the fluorescence that gives the lowest raw MSE is higher without noise than with 10 % "
        "in both",
        noiseless > noisy,
        f"best alpha_scale {noiseless:g} without noise, {best['noise 10 %', 'raw']:g} with 10 % in "
        f"the patterns, {noisy:g} with 10 % in both",
    )
    head = ("noise", "MSE", *(f"alpha_scale {scale:g}" for scale in SCALES), "best")
    table = Table("MSE of the joint method against alpha_scale (gradnorm)", head, rows)
    return Findings([claim], [table], numbers={"alpha_scale": table.records()})
