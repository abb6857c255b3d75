"""Two standard images as magnitude and phase of the object (section 4.5)."""

from __future__ import annotations

from ptyxrf.experiments.findings import Findings
from ptyxrf.experiments.method_comparison import comparison_findings
from ptyxrf.experiments.methods import compare_methods
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Standard images"
PAPER = "Figs. 19 to 21"


def run(cache: RunCache) -> Findings:
    """Reconstruct with 19 and with 5 positions per side, which overlap by 84 and 25 %."""
    compared = [
        compare_methods(
            cache,
            f"images {per_side}",
            paper_case(
                f"{per_side} positions a side",
                n=256,
                per_side=per_side,
                images=cache.images,
                specimen="star",
                quick=cache.quick,
            ),
        )
        for per_side in (19, 5)
    ]
    findings = comparison_findings(cache, compared, "Reconstructions", ("fig19", "fig20", "fig21"))
    if cache.images is None:
        findings.notes.append("Without --images, a procedural star replaces the images of the paper.")
    return findings
