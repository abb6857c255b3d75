"""What an experiment of section 4 gives for its scans: claims, figures of objects and curves, and beyond."""

from __future__ import annotations

from collections.abc import Sequence

from ptyxrf.experiments.extra_comparisons import beyond
from ptyxrf.experiments.findings import Outcome
from ptyxrf.experiments.methods import Methods, map_curves, objects_picture, pattern_curves
from ptyxrf.experiments.run_cache import Study


def section(study: Study, compared: Sequence[Methods], title: str, figures: tuple[str, str, str]) -> Outcome:
    """Return the outcome of scans that are drawn beside each other.

    Parameters
    ----------
    study : Study
    compared : sequence of Methods
        The scans.
    title : str
        Of the figure of the objects.
    figures : (str, str, str)
        The paper's numbers of the figures: objects, curves of the patterns, curves of the maps.
    """
    objects, patterns, maps = figures
    outcome = Outcome(
        claims=[claim for one in compared for claim in one.claims()],
        numbers={one.key: one.numbers() for one in compared},
        pictures=[
            objects_picture(objects, title, compared),
            pattern_curves(patterns, compared),
            map_curves(maps, compared),
        ],
    )
    for one in compared:
        outcome.extend(beyond(study, one))
    return outcome
