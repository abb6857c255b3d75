"""High and low overlap of the probe positions (section 4.1)."""

from __future__ import annotations

from ptyxrf.experiments.extra_comparisons import beyond
from ptyxrf.experiments.findings import Outcome
from ptyxrf.experiments.methods import compare_methods, map_curves, objects_picture, pattern_curves
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import Study

TITLE = "Overlap"
PAPER = "Figs. 7 to 11"


def run(study: Study) -> Outcome:
    """Reconstruct at 83 % and at 20 % overlap."""
    high = paper_case("83 % overlap", n=154, per_side=10, quick=study.quick)
    low = paper_case("20 % overlap", n=514, per_side=10, quick=study.quick)
    compared = [
        compare_methods(study, "overlap 83 %", high),
        compare_methods(study, "overlap 20 %", low),
    ]
    outcome = Outcome()
    for one, objects, curves in zip(compared, ("fig07", "fig08"), ("fig09", "fig10"), strict=True):
        outcome.claims += one.claims()
        outcome.numbers[one.key] = one.numbers()
        outcome.pictures.append(objects_picture(objects, f"Reconstructions, {one.case.label}", [one]))
        outcome.pictures.append(pattern_curves(curves, [one]))
    outcome.pictures.append(map_curves("fig11", compared))
    for one in compared:
        outcome.extend(beyond(study, one))
    return outcome
