"""The inspection of a scan: facts, and findings about anything wrong or suspicious."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import JOULES_PER_KEV
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.scan_checks import Finding, findings_about, known_counts
from ptyxrf.driver.data.scan_measures import PatternSummary, median_step, probe_width, summarise_patterns
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.planning.memory import Share, memory_of
from ptyxrf.driver.planning.problem_size import ProblemSize


@dataclass
class ScanInformation:
    """What `inspect_scan` returns.

    Attributes
    ----------
    facts : dict
        Plain numbers and texts in SI units (or in pixels, if the name says so); None for unknown ones.
    findings : list of Finding
        The worst first.
    """

    facts: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)


def inspect_scan(scan: Scan) -> ScanInformation:
    """Summarise a scan and list what is wrong or suspicious about it.

    The facts are sizes, geometry, overlap, counts, elements and the memory that a reconstruction needs. The
    checks cover bad values, patterns that are not centred, saturated and dead pixels, too little overlap, a
    probe of another scale, and fluorescence that is missing or not in counts.

    Parameters
    ----------
    scan : Scan
        Lazy patterns are read once, block by block.

    Returns
    -------
    ScanInformation
        Facts and findings.
    """
    summary = summarise_patterns(scan)
    facts = {
        "kind": "scan",
        "title": scan.title,
        **_size_facts(scan),
        **_path_facts(scan),
        **_count_facts(scan, summary),
        "fluorescence_sampling": scan.sampling,
        "fluorescence_units": scan.units if scan.sampling else None,
        "elements": [_element(scan, e) for e in range(scan.N_e)],
        "truth": sorted(scan.truth),
        "memory_single": _memory(scan, "single"),
        "memory_double": _memory(scan, "double"),
    }
    return ScanInformation(facts, findings_about(scan, summary))


# facts -----------------------------------------------------------------------------------------------------


def _size_facts(scan: Scan) -> dict[str, Any]:
    geometry = scan.geometry
    return {
        "patterns": scan.N,
        "pattern_pixels": scan.m,
        "pattern_dtype": str(scan.patterns.dtype),
        "object_pixels": list(scan.shape),
        "pixel_size": scan.pixel_size,
        "energy_keV": None if geometry is None else geometry.energy / JOULES_PER_KEV,
        "wavelength": None if geometry is None else geometry.wavelength,
        "distance": None if geometry is None else geometry.distance,
        "detector_pixel": None if geometry is None else geometry.detector_pixel,
    }


def _path_facts(scan: Scan) -> dict[str, Any]:
    step, width = median_step(scan.positions), probe_width(scan.probe)
    return {
        "probe_modes": scan.K,
        "probe_width_pixels": width,
        "positions_extent_pixels": np.ptp(scan.positions, axis=0).tolist(),
        "positions_fractional": bool(scan.fractions.any()),
        "step_pixels": step,
        "overlap_window": None if step is None else 1 - step / scan.m,
        "overlap_probe": None if step is None else 1 - step / width,
    }


def _count_facts(scan: Scan, summary: PatternSummary) -> dict[str, Any]:
    return {
        "counts_per_pattern_mean": float(summary.totals.mean()),
        "counts_per_pattern_least": float(summary.totals.min()),
        "counts_per_pattern_most": float(summary.totals.max()),
        "counts_per_pixel_mean": float(summary.mean.mean()),
        "counts_most_in_a_pixel": float(summary.maxima.max()),
        "count_scale": _number_or_range(scan.count_scale),
        "masked_fraction": summary.masked,
        "exposure_mean": float(scan.exposure.mean()),
    }


def _number_or_range(values: NDArray[np.float64] | None) -> float | list[float] | None:
    if values is None or values.size == 0:
        return None
    low, high = float(values.min()), float(values.max())
    return low if low == high else [low, high]


def _element(scan: Scan, e: int) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": scan.element_names[e],
        "attenuation": float(scan.attenuation[e]),
        "phase_shift": None if scan.phase_shift is None else float(scan.phase_shift[e]),
        "measured": bool(scan.measured[e]),
    }
    if scan.measured[e] and scan.fluorescence is not None:
        there = known_counts(scan, e)
        entry |= {
            "counts_mean": float(there.mean()),
            "counts_least": float(there.min()),
            "counts_most": float(there.max()),
            "counts_lost": int(np.prod(scan.fluorescence.shape[1:])) - there.size,
            "sensitivity": float(scan.sensitivity[e]),
            "background": float(scan.background[e]),
        }
    return entry


def _memory(scan: Scan, precision: str) -> dict[str, int]:
    """Return the bytes of a joint reconstruction (without fluorescence: of ptychography) on one rank."""
    problem = ProblemSize.of_scan(scan, Model(precision=precision))
    return {name: int(size) for name, size in memory_of(problem, Share.whole(problem)).items()}
