"""What is wrong or suspicious about a scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import JOULES_PER_KEV
from ptyxrf.driver.data.optical_constants import has_refractive_constants
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.scan_measures import (
    PatternSummary,
    median_step,
    probe_intensity,
    probe_width,
    scale_is_rough,
)


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

#: Patterns are centred at the corner if it has so many times the counts of the middle.
CLEARLY = 1.5
#: Positions of a scan lie apart by more than this (pixels).
LEAST_EXTENT = 1e-2
#: A mask of more than this share of the pixels is probably of the other polarity.
MOSTLY_MASKED = 0.6

LEVELS = ("wrong", "suspicious", "note")

Findings = Iterator[Finding]
Check = Callable[[Scan, PatternSummary], Findings]


def _check_values(scan: Scan, summary: PatternSummary) -> Findings:
    for count, problem in (
        (summary.not_finite, "NaN or infinite: mask them"),
        (summary.negative, "negative: counts never are"),
    ):
        if count:
            yield Finding("wrong", f"{count} pattern values outside the mask are {problem}")
    empty = int((summary.totals <= 0).sum())
    if empty:
        yield Finding(
            "suspicious",
            f"{empty} of {scan.N} patterns are empty (dropped, shutter closed, or no beam?): leave them out "
            "(frames)",
        )
    exposed = summary.totals[summary.totals > 0]
    if exposed.size and np.percentile(exposed, 1) < 0.2 * np.median(exposed):
        yield Finding("suspicious", "some patterns have less than a fifth of the median counts (beam loss?)")
    mean = float(scan.exposure.mean())
    if abs(mean - 1) > 0.05:
        yield Finding(
            "suspicious", f"the exposure has mean {mean:.3g}: it is meant to be relative, with mean 1"
        )


def _check_centre(scan: Scan, summary: PatternSummary) -> Findings:
    total = float(summary.mean.sum())
    if total <= 0 or summary.masked > MOSTLY_MASKED:  # what is left of the patterns says nothing
        return
    # compare windows of half the width: around the centre, and around the corner
    quarter, centre = max(1, scan.m // 4), scan.m // 2
    near = slice(centre - quarter, centre + quarter)
    rolled = np.roll(summary.mean, (centre, centre), axis=(0, 1))
    at_centre, at_corner = (float(image[near, near].sum()) for image in (summary.mean, rolled))
    if at_corner > CLEARLY * at_centre:
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


def _check_saturation(scan: Scan, summary: PatternSummary) -> Findings:
    top = summary.maxima.max()
    dtype = np.dtype(scan.patterns.dtype)
    if dtype.kind in "iu" and dtype.itemsize > 1 and top >= np.iinfo(dtype).max * (1 - 1e-6):
        share = float(np.mean(summary.maxima == top))
        yield Finding(
            "wrong" if share > SATURATED_SHARE else "suspicious",
            f"{100 * share:.0f} % of the patterns hold {np.iinfo(dtype).max}, the largest {dtype}, which "
            "detectors write into gaps and dead pixels: mask these",
        )
        return
    at_top = int((summary.maxima == top).sum())
    if top >= SATURATED_COUNTS and at_top >= max(3, SATURATED_SHARE * scan.N):
        yield Finding(
            "suspicious",
            f"{at_top} of {scan.N} patterns have the same maximum {top:g}: saturated pixels? mask them",
        )


def _check_dead_pixels(scan: Scan, summary: PatternSummary) -> Findings:
    sums, good = summary.mean * scan.N, summary.good > 0
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


def little_overlap(scan: Scan) -> str:
    """Return what is to be said of positions that hardly overlap; empty where they do."""
    step = median_step(scan.positions)
    overlap = 0.0 if step is None else 1 - step / probe_width(scan.probe)
    if overlap >= LEAST_OVERLAP:
        return ""
    return (
        f"neighbouring positions overlap by {100 * max(overlap, 0):.0f} % of the probe's width: "
        f"below {100 * LEAST_OVERLAP:.0f} % ptychography is hardly unique"
    )


def _check_positions(scan: Scan, summary: PatternSummary) -> Findings:
    step, extent = median_step(scan.positions), float(np.ptp(scan.positions, axis=0).max())
    if step is None or extent < LEAST_EXTENT < LEAST_EXTENT * scan.N / 2:
        level = "suspicious" if extent == 0 else "wrong"
        yield Finding(
            level,
            "all positions are the same: nothing overlaps"
            if extent == 0
            else f"all positions lie within {extent:.3g} pixels: are they in metres? pixels are expected",
        )
        return
    if scan.probe_known and (finding := little_overlap(scan)):
        yield Finding("suspicious", finding)
    repeated = scan.N - len(np.unique(np.round(scan.positions, 6), axis=0))
    if repeated:
        yield Finding("suspicious", f"{repeated} positions occur more than once")


def check_probe(scan: Scan, summary: PatternSummary) -> Findings:
    """Yield what is suspicious about the probe: its scale, and its width."""
    if not scan.probe_known:
        yield Finding("note", "there is no probe: a reconstruction searches for one in the patterns")
        return
    counts = float(summary.totals.mean())
    if counts > 0 and scale_is_rough(scan.probe, counts):
        yield Finding(
            "suspicious",
            f"the probe carries {probe_intensity(scan.probe).sum():.4g} counts, a pattern {counts:.4g} on "
            "average: its scale is a guess (refine the probe, which rescales it first)",
        )
    if probe_width(scan.probe) > 0.8 * scan.m:
        yield Finding(
            "suspicious", "the probe fills its window: it may be cut off at the border (or wrap around)"
        )


def _check_fluorescence(scan: Scan, summary: PatternSummary) -> Findings:
    if scan.fluorescence is None:
        yield Finding("note", "there is no fluorescence: only method ptychography can run")
        return
    missing = [name for name, measured in zip(scan.element_names, scan.measured, strict=True) if not measured]
    if missing:
        yield Finding("note", f"elements without fluorescence data: {', '.join(missing)}")
    intensity = float(probe_intensity(scan.probe).sum())
    imaginary = 0.0
    for e in (int(i) for i in np.flatnonzero(scan.measured)):
        values = known_counts(scan, e)
        for text in _problems_of_a_map(scan, e, values):
            yield Finding("suspicious", f"{scan.element_names[e]}: {text}")
        # the contribution of the element to the object, as its (blurred) map has it
        content = (values - scan.background[e]) / (scan.sensitivity[e] * intensity)
        imaginary += abs(scan.attenuation[e]) * float(np.percentile(content, 99))
    if imaginary > LINEAR_UP_TO and not scan.truth and not has_refractive_constants(scan):
        yield Finding(
            "note",
            f"the element maps add up to an imaginary part of about {imaginary:.2g}: the linear link "
            "stands for a real specimen's transmission only while that is well below 1 (weak contrast)",
        )


def known_counts(scan: Scan, e: int) -> NDArray[np.float64]:
    """Return the counts of an element where they are known, flat."""
    assert scan.fluorescence is not None
    values = np.asarray(scan.fluorescence[e], dtype=np.float64)
    return values[np.isfinite(values)]


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


def _check_counts(scan: Scan, summary: PatternSummary) -> Findings:
    if not summary.whole and scan.count_scale is None:
        yield Finding(
            "suspicious",
            "counts are not integers and there is no count_scale (the value that one photon adds): "
            "the statistical weight of the fluorescence is a guess",
        )


def _check_mask(scan: Scan, summary: PatternSummary) -> Findings:
    if summary.masked > MOSTLY_MASKED:
        yield Finding(
            "suspicious",
            f"the mask leaves out {100 * summary.masked:.3g} % of the pixels: is it of the other polarity? "
            "True is good in Python, 0 is good in CXI files",
        )


def _check_geometry(scan: Scan, summary: PatternSummary) -> Findings:
    geometry = scan.geometry
    if geometry is None or scan.pixel_size is None:
        return
    for name, value, unit, low, high in (
        ("photon energy", geometry.energy / JOULES_PER_KEV, "keV", 0.05, 200.0),
        ("distance of the detector", geometry.distance, "m", 1e-3, 200.0),
        ("detector pixel", geometry.detector_pixel, "m", 5e-7, 2e-3),
        ("pixel of the object", scan.pixel_size, "m", 1e-10, 1e-5),
    ):
        if not low <= value <= high:
            yield Finding(
                "suspicious", f"the {name} is {value:.4g} {unit}, expected {low:g} to {high:g}: its unit?"
            )
    # the wave leaves the window in the shape in which it hits the detector, unless that is far away
    if scan.m * scan.pixel_size > geometry.detector_pixel:
        yield Finding(
            "suspicious",
            f"the window of {scan.m * scan.pixel_size:.3g} m is wider than a detector pixel: the detector is "
            "in the near field, which this model does not describe",
        )


def extent_problem(scan: Scan, memory: float) -> str | None:
    """Return what is wrong with positions whose object cannot be held, or None.

    Parameters
    ----------
    scan : Scan
    memory : float
        Bytes of all ranks together.
    """
    needed = 8.0 * scan.shape[0] * scan.shape[1]
    if needed < memory:
        return None
    first, last = scan.corners.min(axis=0), scan.corners.max(axis=0) + scan.m
    middle = np.median(scan.positions, axis=0)
    far = int(np.abs(scan.positions - middle).max(axis=1).argmax())
    return (
        f"positions: the object grid of {scan.shape[0]} x {scan.shape[1]} pixels takes {needed / 1e9:.3g} GB "
        f"for one array of {memory / 1e9:.3g} GB of memory; the scan covers rows {first[0]} to {last[0]} and "
        f"columns {first[1]} to {last[1]} (subtract the smallest?), position {far} is farthest off"
    )


#: What the patterns, the probe and the geometry show; a reconstruction checks these.
DIFFRACTION_CHECKS = (
    _check_values,
    _check_centre,
    _check_mask,
    _check_saturation,
    _check_dead_pixels,
    _check_positions,
    _check_geometry,
    check_probe,
)
CHECKS = (*DIFFRACTION_CHECKS, _check_counts, _check_fluorescence)


def findings_about(scan: Scan, summary: PatternSummary, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Return what checks find, the worst first.

    Parameters
    ----------
    scan : Scan
    summary : PatternSummary
        Of all patterns.
    checks : sequence of functions
    """
    findings = [finding for check in checks for finding in check(scan, summary)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
