"""A small and a large object at similar overlap (section 4.3)."""

from __future__ import annotations

from ptyxrf.experiments.findings import Findings
from ptyxrf.experiments.method_comparison import comparison_findings
from ptyxrf.experiments.methods import compare_methods
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Size of the object"
PAPER = "Figs. 15 to 17"


def run(cache: RunCache) -> Findings:
    """Reconstruct n = 314 at 53.1 % and n = 650 at 50 % overlap."""
    small = paper_case("53.1 % overlap", n=314, per_side=9, margin=5, quick=cache.quick)
    large = paper_case("50 % overlap", n=650, per_side=19, margin=5, quick=cache.quick)
    compared = [
        compare_methods(cache, "size 314", small),
        compare_methods(cache, "size 650", large),
    ]
    return comparison_findings(cache, compared, "Reconstructions of two sizes", ("fig15", "fig16", "fig17"))
