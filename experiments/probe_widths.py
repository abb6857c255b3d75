"""The claims of section 4 for probes of several kinds and widths."""

from __future__ import annotations

from ptyxrf.experiments.findings import Findings, Table
from ptyxrf.experiments.methods import compare_methods
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.probe_shapes import PROBES, lit_part
from ptyxrf.experiments.run_cache import RunCache

CLAIMS = {
    "mse": "joint MSE below ptychography's",
    "aligned": "without the global phase",
    "same loss": "at the same loss",
    "imaginary": "imaginary MSE below that of fluorescence",
    "semi-convergence": "fluorescence semi-converges, joint less or not",
}


def probe_widths(cache: RunCache) -> Findings:
    """Compare the three methods on 4 x 4 positions with half of each window overlapping the next."""
    rows = []
    for probe in PROBES[1:3] if cache.quick else PROBES:
        case = paper_case("50 % overlap", n=160, per_side=4, quick=cache.quick, probe=probe)
        claims = {
            claim.key.removeprefix(f"{probe}: "): claim
            for claim in compare_methods(cache, probe, case).claims()
        }
        lit = 100 * lit_part(case.scan.truth["probe"][0])
        rows.append([probe, lit, *(f"{claims[key].verdict}: {claims[key].figures}" for key in CLAIMS)])
    table = Table(
        f"The claims of section 4 against the probe, {case.label}",
        ("probe", "% of the window lit", *CLAIMS.values()),
        rows,
    )
    return Findings(tables=[table], numbers={"probes": table.records()})
