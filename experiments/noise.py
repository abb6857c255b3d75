"""Noise in the diffraction patterns, and the weight that suits it (sections 2.3 and 4.2)."""

from __future__ import annotations

import numpy as np

from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.findings import Outcome, Table
from ptyxrf.experiments.method_comparison import section
from ptyxrf.experiments.methods import Methods, compare_methods
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import Study

TITLE = "Noise"
PAPER = "Figs. 12 to 14"
#: Factors of the gradient-norm weight.
SCALES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
MEASURES = {"raw": "mse", "aligned": "mse_aligned"}


def run(study: Study) -> Outcome:
    """Reconstruct without and with 10 % noise in the patterns, and with 10 % in both modalities."""
    common = paper_case("53 % overlap", n=334, per_side=10, quick=study.quick)
    levels = {
        "noise 0 %": common.but("patterns without noise, XRF 3 %", noise=0.0, fluorescence_noise=0.03),
        "noise 10 %": common.but("patterns 10 %, XRF 3 %", noise=0.10, fluorescence_noise=0.03),
        "noise 10 % in both": common.but("10 % in both", noise=0.10, fluorescence_noise=0.10),
    }
    compared = [compare_methods(study, key, case) for key, case in levels.items()]
    outcome = section(study, compared, "Reconstructions, n = 334, 53 % overlap", ("fig12", "fig13", "fig14"))
    outcome.extend(weights(study, compared))
    return outcome


def weights(study: Study, compared: list[Methods]) -> Outcome:
    """Sweep the factor of the weight, and claim that more noise wants a lower one."""
    rows, best = [], {}
    for one in compared:
        runs = {scale: study.paper(one.case, "joint", alpha_scale=scale) for scale in SCALES}
        for label, error in MEASURES.items():
            values = [run.history[-1].errors[error] for run in runs.values()]
            best[one.key, label] = SCALES[int(np.argmin(values))]
            rows.append([one.case.label, label, *values, f"{best[one.key, label]:g}"])
    quiet, loud = (best[key, "raw"] for key in ("noise 0 %", "noise 10 % in both"))
    claim = Claim(
        "noise: weight",
        "the weight of the fluorescence that gives the lowest raw MSE is higher without noise than with 10 % "
        "in both",
        quiet > loud,
        f"best alpha_scale {quiet:g} with patterns without noise, {best['noise 10 %', 'raw']:g} with 10 % in "
        f"them, {loud:g} with 10 % in both",
    )
    head = ("noise", "MSE", *(f"alpha_scale {scale:g}" for scale in SCALES), "best")
    table = Table("MSE of the joint method against alpha_scale (gradnorm)", head, rows)
    return Outcome([claim], [table], numbers={"alpha_scale": table.records()})
