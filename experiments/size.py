"""A small and a large object at about the same overlap (section 4.3)."""

from __future__ import annotations

from ptyxrf.experiments.beyond import beyond
from ptyxrf.experiments.methods import compare_methods, map_curves, objects_picture, pattern_curves
from ptyxrf.experiments.outcome import Outcome
from ptyxrf.experiments.setting import paper_case
from ptyxrf.experiments.study import Study

TITLE = "Size of the object"
PAPER = "Figs. 15 to 17"


def run(study: Study) -> Outcome:
    """Reconstruct n = 314 at 53.1 % and n = 650 at 50 % overlap."""
    small = paper_case("53.1 % overlap", n=314, per_side=9, margin=5, quick=study.quick)
    large = paper_case("50 % overlap", n=650, per_side=19, margin=5, quick=study.quick)
    compared = [
        compare_methods(study, "size 314", small),
        compare_methods(study, "size 650", large),
    ]
    outcome = Outcome(
        claims=[claim for one in compared for claim in one.claims()],
        numbers={one.key: one.numbers() for one in compared},
        pictures=[
            objects_picture("fig15", "Reconstructions of two sizes", compared),
            pattern_curves("fig16", compared),
            map_curves("fig17", compared),
        ],
    )
    for one in compared:
        outcome.extend(beyond(study, one))
    return outcome
