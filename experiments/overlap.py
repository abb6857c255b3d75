"""High and low overlap of the illumination windows (section 4.1)."""

from __future__ import annotations

from ptyxrf.experiments.extra_comparisons import extra_comparisons
from ptyxrf.experiments.findings import Findings
from ptyxrf.experiments.methods import compare_methods, map_curves, objects_picture, pattern_curves
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.probe_widths import probe_widths
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Overlap"
PAPER = "Figs. 7 to 11"


def run(cache: RunCache) -> Findings:
    """Reconstruct at 83 % and at 20 % overlap."""
    high = paper_case("83 % overlap", n=154, per_side=10, quick=cache.quick)
    low = paper_case("20 % overlap", n=514, per_side=10, quick=cache.quick)
    compared = [
        compare_methods(cache, "overlap 83 %", high),
        compare_methods(cache, "overlap 20 %", low),
    ]
    findings = Findings()
    for scan, objects, curves in zip(compared, ("fig07", "fig08"), ("fig09", "fig10"), strict=True):
        findings.claims += scan.claims()
        findings.numbers[scan.key] = scan.numbers()
        findings.pictures.append(objects_picture(objects, f"Reconstructions, {scan.case.label}", [scan]))
        findings.pictures.append(pattern_curves(curves, [scan]))
    findings.pictures.append(map_curves("fig11", compared))
    for scan in compared:
        findings.extend(extra_comparisons(cache, scan))
    findings.extend(probe_widths(cache))
    return findings
