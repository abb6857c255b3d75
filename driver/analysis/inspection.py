"""The inspection of a scan: facts, and findings about anything wrong or suspicious."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.analysis.scan_measures import (
    PatternSummary,
    ever_good,
    masked_fraction,
    median_step,
    probe_intensity,
    probe_width,
    scale_is_rough,
    summarise_patterns,
)
from ptyxrf.driver.data.geometry import JOULES_PER_KEV
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.planning.memory import Share, memory_of
from ptyxrf.driver.planning.problem_size import ProblemSize

#: Below this overlap (1 - step / probe width) ptychography becomes ambiguous.
LEAST_OVERLAP = 0.4
#: A linear link describes a real specimen only below about this imaginary part.
LINEAR_UP_TO = 0.3
#: Photons in the neighbours of a detector pixel above which chance cannot explain that it has none.
DEAD_PHOTONS = 25
#: A common maximum of several patterns is taken for saturation from this many counts ...
SATURATED_COUNTS = 50
#: ... and this share of the patterns: photon noise does not repeat the same large number so often.
SATURATED_SHARE = 0.05

LEVELS = ("wrong", "suspicious", "note")


@dataclass(frozen=True)
class Finding:
    """Something that the user should know about a scan.

    Attributes
    ----------
    level : {"wrong", "suspicious", "note"}
        How bad it is.
    text : str
        What it is, and what to do.
    """

    level: str
    text: str


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
    findings = [finding for check in CHECKS for finding in check(scan, summary, facts)]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return ScanInformation(facts, findings)


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
        "masked_fraction": masked_fraction(scan),
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
        "measured": bool(scan.measured[e]),
    }
    if scan.measured[e] and scan.fluorescence is not None:
        values = scan.fluorescence[e]
        entry |= {
            "counts_mean": float(values.mean()),
            "counts_least": float(values.min()),
            "counts_most": float(values.max()),
            "sensitivity": float(scan.sensitivity[e]),
            "background": float(scan.background[e]),
        }
    return entry


def _memory(scan: Scan, precision: str) -> dict[str, int]:
    """Return the bytes of a joint reconstruction (without fluorescence: of ptychography) on one rank."""
    problem = ProblemSize.of_scan(scan, Model(precision=precision))
    return {name: int(size) for name, size in memory_of(problem, Share.whole(problem)).items()}


# checks ----------------------------------------------------------------------------------------------------

Findings = Iterator[Finding]


def _check_values(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Findings:
    for count, problem in (
        (summary.not_finite, "NaN or infinite: mask them"),
        (summary.negative, "negative: counts never are"),
    ):
        if count:
            yield Finding("wrong", f"{count} pattern values outside the mask are {problem}")
    empty = int((summary.totals <= 0).sum())
    if empty:
        yield Finding("suspicious", f"{empty} of {scan.N} patterns are empty (shutter closed, or no beam?)")
    if not summary.whole and scan.count_scale is None:
        yield Finding(
            "suspicious",
            "counts are not integers and there is no count_scale (the value that one photon adds): "
            "the statistical weight of the fluorescence is a guess",
        )
    exposed = summary.totals[summary.totals > 0]
    if exposed.size and np.percentile(exposed, 1) < 0.2 * np.median(exposed):
        yield Finding("suspicious", "some patterns have less than a fifth of the median counts (beam loss?)")
    mean = facts["exposure_mean"]
    if abs(mean - 1) > 0.05:
        yield Finding(
            "suspicious", f"the exposure has mean {mean:.3g}: it is meant to be relative, with mean 1"
        )


def _check_centre(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Findings:
    total = float(summary.mean.sum())
    if total <= 0:
        return
    # compare windows of half the width: around the centre, and around the corner
    quarter, centre = max(1, scan.m // 4), scan.m // 2
    near = slice(centre - quarter, centre + quarter)
    rolled = np.roll(summary.mean, (centre, centre), axis=(0, 1))
    at_centre, at_corner = (float(image[near, near].sum()) for image in (summary.mean, rolled))
    if at_corner > at_centre:
        yield Finding(
            "wrong",
            f"the patterns are centred at the corner ({100 * at_corner / total:.0f} % of the counts around "
            f"[0, 0], {100 * at_centre / total:.0f} % around the middle): roll them by {centre} pixels both "
            "ways (fftshift)",
        )
        return
    axis = np.arange(scan.m) - centre
    offset = np.array([summary.mean.sum(axis=1 - k) @ axis for k in (0, 1)]) / total
    if np.abs(offset).max() > max(1.0, 0.05 * scan.m):
        yield Finding(
            "suspicious",
            f"the patterns' centre of mass is ({offset[0]:+.1f}, {offset[1]:+.1f}) pixels from index "
            f"({centre}, {centre}), where the zero frequency should be",
        )


def _check_saturation(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Findings:
    top = summary.maxima.max()
    at_top = int((summary.maxima == top).sum())
    if top >= SATURATED_COUNTS and at_top >= max(3, SATURATED_SHARE * scan.N):
        yield Finding(
            "suspicious",
            f"{at_top} of {scan.N} patterns have the same maximum {top:g}: saturated pixels? mask them",
        )


def _check_dead_pixels(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Findings:
    sums, good = summary.mean * scan.N, ever_good(scan)
    padded = np.pad(np.where(good, sums, np.inf), 1, constant_values=np.inf)
    neighbours = [
        padded[1 + i : 1 + i + scan.m, 1 + j : 1 + j + scan.m]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if i or j
    ]
    # the lower median of the 8 neighbours, with masked ones above all others
    around = np.sort(neighbours, axis=0)[3]
    scale = float(np.mean(scan.count_scale)) if scan.count_scale is not None else 1.0
    photons = np.where(np.isfinite(around), around, 0.0) / (scale or 1.0)
    noiseless = scale == 0 and not summary.whole
    dead = good & (sums <= 0) & (photons > (0 if noiseless else DEAD_PHOTONS))
    if dead.any():
        row, column = (int(i) for i in np.argwhere(dead)[0])
        yield Finding(
            "suspicious",
            f"{int(dead.sum())} detector pixels never count where their neighbours do, the first at "
            f"({row}, {column}): dead? mask them",
        )


def _check_positions(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Findings:
    overlap = facts["overlap_probe"]
    if overlap is None:
        yield Finding("suspicious", "all positions are the same: nothing overlaps")
        return
    if overlap < LEAST_OVERLAP:
        yield Finding(
            "suspicious",
            f"neighbouring positions overlap by {100 * max(overlap, 0):.0f} % of the probe's width: "
            f"below {100 * LEAST_OVERLAP:.0f} % ptychography is hardly unique",
        )
    repeated = scan.N - len(np.unique(np.round(scan.positions, 6), axis=0))
    if repeated:
        yield Finding("suspicious", f"{repeated} positions occur more than once")


def _check_probe(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Findings:
    counts = facts["counts_per_pattern_mean"]
    if counts > 0 and scale_is_rough(scan.probe, counts):
        yield Finding(
            "suspicious",
            f"the probe carries {probe_intensity(scan.probe).sum():.4g} counts, a pattern {counts:.4g} on "
            "average: its scale is a guess (refine the probe, which rescales it first)",
        )
    if facts["probe_width_pixels"] > 0.8 * scan.m:
        yield Finding(
            "suspicious", "the probe fills its window: it may be cut off at the border (or wrap around)"
        )


def _check_fluorescence(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Findings:
    if scan.fluorescence is None:
        yield Finding("note", "there is no fluorescence: only method ptychography can run")
        return
    missing = [name for name, measured in zip(scan.element_names, scan.measured, strict=True) if not measured]
    if missing:
        yield Finding("note", f"elements without fluorescence data: {', '.join(missing)}")
    intensity = float(probe_intensity(scan.probe).sum())
    imaginary = 0.0
    for e in (int(i) for i in np.flatnonzero(scan.measured)):
        values = scan.fluorescence[e]
        for text in _problems_of_a_map(scan, e, values):
            yield Finding("suspicious", f"{scan.element_names[e]}: {text}")
        # the contribution of the element to the object, as its (blurred) map has it
        content = (values - scan.background[e]) / (scan.sensitivity[e] * intensity)
        imaginary += abs(scan.attenuation[e]) * float(np.percentile(content, 99))
    if imaginary > LINEAR_UP_TO and not scan.truth:
        yield Finding(
            "note",
            f"the element maps add up to an imaginary part of about {imaginary:.2g}: the linear link "
            "stands for a real specimen's transmission only while that is well below 1 (weak contrast)",
        )


def _problems_of_a_map(scan: Scan, e: int, values: NDArray[Any]) -> Iterator[str]:
    if (values < 0).any():
        yield f"{int((values < 0).sum())} fluorescence counts are negative"
    if not values.any():
        yield "the fluorescence is zero everywhere"
    if scan.fluorescence_count_scale is None and not np.array_equal(values, np.rint(values)):
        yield (
            "fluorescence is not in integer counts and there is no count_scale for it: "
            "rates or fitted areas? the statistical weight is a guess"
        )
    if np.mean(values) <= scan.background[e] and values.any():
        yield "the background is no less than the mean fluorescence"


CHECKS = (
    _check_values,
    _check_centre,
    _check_saturation,
    _check_dead_pixels,
    _check_positions,
    _check_probe,
    _check_fluorescence,
)
