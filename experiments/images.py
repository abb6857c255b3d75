"""Two standard images as magnitude and phase of the object (section 4.5)."""

from __future__ import annotations

from ptyxrf.experiments.findings import Outcome
from ptyxrf.experiments.method_comparison import section
from ptyxrf.experiments.methods import compare_methods
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import Study

TITLE = "Standard images"
PAPER = "Figs. 19 to 21"


def run(study: Study) -> Outcome:
    """Reconstruct with 19 and with 5 positions a side: 84 and 25 % overlap."""
    compared = [
        compare_methods(
            study,
            f"images {per_side}",
            paper_case(
                f"{per_side} positions a side",
                n=256,
                per_side=per_side,
                images=study.images,
                specimen="star",
                quick=study.quick,
            ),
        )
        for per_side in (19, 5)
    ]
    outcome = section(study, compared, "Reconstructions", ("fig19", "fig20", "fig21"))
    if study.images is None:
        outcome.notes.append("No images were given (--images): a procedural star stands in for them.")
    return outcome
