"""The findings of the experiments of section 4: claims, figures, and extra comparisons of their scans."""

from __future__ import annotations

from collections.abc import Sequence

from ptyxrf.experiments.extra_comparisons import extra_comparisons
from ptyxrf.experiments.findings import Findings
from ptyxrf.experiments.methods import Comparison, map_curves, objects_picture, pattern_curves
from ptyxrf.experiments.run_cache import RunCache


def comparison_findings(
    cache: RunCache, compared: Sequence[Comparison], title: str, figures: tuple[str, str, str]
) -> Findings:
    """Return the findings of scans that share their figures.

    Parameters
    ----------
    cache : RunCache
    compared : sequence of Comparison
    title : str
        Title of the figure of the objects.
    figures : (str, str, str)
        Numbers of the figures in the paper: objects, curves of the patterns, curves of the maps.
    """
    objects, patterns, maps = figures
    findings = Findings(
        claims=[claim for comparison in compared for claim in comparison.claims()],
        numbers={comparison.key: comparison.numbers() for comparison in compared},
        pictures=[
            objects_picture(objects, title, compared),
            pattern_curves(patterns, compared),
            map_curves(maps, compared),
        ],
    )
    for comparison in compared:
        findings.extend(extra_comparisons(cache, comparison))
    return findings
