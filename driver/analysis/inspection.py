"""What is in a scan: sizes, overlap, photons, memory, and everything wrong or suspicious about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import JOULES_PER_KEV
from ptyxrf.driver.data.result import Result, TiledResult
from ptyxrf.driver.data.scan import Scan, blocks_of_rows
from ptyxrf.driver.files.checkpoint_file import Content
from ptyxrf.driver.files.maps_file import CountMaps
from ptyxrf.driver.planning.memory import Sizes, memory_of

#: Patterns are read this many bytes at a time.
BLOCK_BYTES = 64 * 2**20
#: Share of the intensity that counts as the probe's width.
WIDTH_SHARE = 0.8
#: Below this overlap (1 - step / probe width) ptychography becomes ambiguous.
LEAST_OVERLAP = 0.4
#: The link is linear in the element maps; above this sum of attenuations a real specimen is not.
WEAK_CONTRAST = 0.3

#: A probe whose intensity differs from the mean count of a pattern by more than this factor is a rough guess.
ROUGH_SCALE = 2.0

LEVELS = ("wrong", "suspicious", "note")


def median_step(positions: NDArray[np.float64]) -> float | None:
    """Return the median distance from a position to its nearest neighbour, in the unit of the positions.

    Parameters
    ----------
    positions : (N, 2) array of float
        Where the probe stood.

    Returns
    -------
    float or None
        None for a single position. Positions that coincide are not each other's neighbours.
    """
    from scipy.spatial import KDTree

    places, index = np.unique(np.round(positions, 6), axis=0, return_inverse=True)
    if len(places) < 2:
        return None
    distance, _ = KDTree(places).query(places, k=2)
    return float(np.median(distance[index.ravel(), 1]))


def probe_width(probe: NDArray[Any]) -> float:
    """Return the width of a probe: the diameter of the circle that holds 80 % of its intensity.

    The circle is about the centre of mass of sum_k |P_k|^2. Of a uniform disc it is 0.9 of the diameter, of
    a Gaussian beam 1.5 times the full width at half maximum; rings and rims count, faint tails hardly do.

    Parameters
    ----------
    probe : (K, m, m) array of complex
        The modes.

    Returns
    -------
    float
        In pixels of the object grid.
    """
    intensity = np.sum(np.abs(probe.astype(np.complex128)) ** 2, axis=0)
    intensity /= intensity.sum()
    rows, columns = np.indices(intensity.shape)
    radius = np.hypot(rows - np.sum(rows * intensity), columns - np.sum(columns * intensity)).ravel()
    order = np.argsort(radius, kind="stable")
    held = np.cumsum(intensity.ravel()[order])
    # A pixel is as wide as it is: the circle passes half a pixel beyond the centre of the last one.
    return float(2 * radius[order][np.searchsorted(held, WIDTH_SHARE)] + 1)


@dataclass
class PatternSummary:
    """What one pass over all patterns finds.

    Attributes
    ----------
    mean : (m, m) array of float
        Mean pattern; NaN and infinities count as 0.
    totals, maxima : (N,) array of float
        Sum and maximum of each pattern over its good pixels.
    not_finite, negative : int
        Values outside the mask that are NaN or infinite, or below zero.
    whole : bool
        Whether all good values are integers.
    """

    mean: NDArray[np.float64]
    totals: NDArray[np.float64]
    maxima: NDArray[np.float64]
    not_finite: int
    negative: int
    whole: bool


def summarise_patterns(scan: Scan) -> PatternSummary:
    """Read all patterns once, in blocks, and summarise them.

    Parameters
    ----------
    scan : Scan
        Its patterns may be lazy.
    """
    m, count = scan.m, scan.N
    total = np.zeros((m, m))
    totals, maxima = np.zeros(count), np.zeros(count)
    not_finite = negative = 0
    whole = True
    size = max(1, BLOCK_BYTES // (8 * m * m))
    for first in range(0, count, size):
        block = np.asarray(scan.patterns[first : first + size], dtype=np.float64)
        finite = np.isfinite(block)
        mask = scan.mask_at(slice(first, first + len(block)))
        good = np.broadcast_to(True if mask is None else mask, block.shape)
        not_finite += int((good & ~finite).sum())
        block = np.where(good & finite, block, 0.0)
        negative += int((block < 0).sum())
        whole = whole and bool((block == np.rint(block)).all())
        total += block.sum(axis=0)
        totals[first : first + size] = block.sum(axis=(1, 2))
        maxima[first : first + size] = block.max(axis=(1, 2))
    return PatternSummary(total / count, totals, maxima, not_finite, negative, whole)


@dataclass(frozen=True)
class Finding:
    """Something that a user should know about a scan.

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
    """What `inspect_scan` finds.

    Attributes
    ----------
    facts : dict
        Plain numbers and texts in SI units (pixels where they say so); None for what is not known.
    findings : list of Finding
        The worst first.
    """

    facts: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)


def inspect_scan(scan: Scan) -> ScanInformation:
    """Say what is in a scan and what is wrong or suspicious about it.

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
    pixel = scan.pixel_size
    step = median_step(scan.positions)
    width = probe_width(scan.probe)
    corner = scan.positions.min(axis=0)
    extent = scan.positions.max(axis=0) - corner
    facts: dict[str, Any] = {
        "kind": "scan",
        "title": scan.title,
        "patterns": scan.N,
        "pattern_pixels": scan.m,
        "pattern_dtype": str(scan.patterns.dtype),
        "object_pixels": list(scan.shape),
        "pixel_size": pixel,
        "energy_keV": None if scan.geometry is None else scan.geometry.energy / JOULES_PER_KEV,
        "wavelength": None if scan.geometry is None else scan.geometry.wavelength,
        "distance": None if scan.geometry is None else scan.geometry.distance,
        "detector_pixel": None if scan.geometry is None else scan.geometry.detector_pixel,
        "probe_modes": scan.K,
        "probe_width_pixels": width,
        "positions_extent_pixels": extent.tolist(),
        "positions_fractional": bool(scan.fractions.any()),
        "step_pixels": step,
        "overlap_window": None if step is None else 1 - step / scan.m,
        "overlap_probe": None if step is None else 1 - step / width,
        "counts_per_pattern_mean": float(summary.totals.mean()),
        "counts_per_pattern_least": float(summary.totals.min()),
        "counts_per_pattern_most": float(summary.totals.max()),
        "counts_per_pixel_mean": float(summary.mean.mean()),
        "counts_most_in_a_pixel": float(summary.maxima.max()),
        "count_scale": _spread(scan.count_scale),
        "masked_fraction": _masked_fraction(scan),
        "exposure_mean": float(scan.exposure.mean()),
        "fluorescence_sampling": scan.sampling,
        "fluorescence_units": scan.units if scan.sampling else None,
        "elements": [_element(scan, e) for e in range(scan.N_e)],
        "truth": sorted(scan.truth),
        "memory_single": _memory(scan, "single"),
        "memory_double": _memory(scan, "double"),
    }
    findings = [
        Finding(level, text)
        for check in (
            _check_values,
            _check_centre,
            _check_pixels,
            _check_positions,
            _check_probe,
            _check_fluorescence,
        )
        for level, text in check(scan, summary, facts)
    ]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return ScanInformation(facts, findings)


def _memory(scan: Scan, precision: str) -> dict[str, int]:
    """Return the bytes of a joint reconstruction (without fluorescence: of ptychography) on one rank."""
    pixels = scan.shape[0] * scan.shape[1]
    sizes = Sizes(
        positions=scan.N,
        owned=pixels,
        covered=pixels,
        rows=scan.shape[0],
        columns=scan.shape[1],
        m=scan.m,
        modes=scan.K,
        elements=scan.N_e,
        sampling=scan.sampling,
        method="joint" if scan.sampling else "ptychography",
        fractional=bool(scan.fractions.any()),
    )
    return {name: int(size) for name, size in memory_of(sizes, precision).items()}


def _masked_fraction(scan: Scan) -> float:
    if scan.mask is None:
        return 0.0
    good = sum(int(np.asarray(scan.mask[index]).sum()) for index in blocks_of_rows(scan.mask.shape))
    return 1 - good / float(np.prod(scan.mask.shape))


def _ever_good(scan: Scan) -> NDArray[np.bool_]:
    """Return which detector pixels are good in some pattern."""
    lit = np.ones((scan.m, scan.m), dtype=bool)
    if scan.mask is None:
        return lit
    if scan.mask.ndim == 2:
        return np.asarray(scan.mask)
    lit[...] = False
    size = max(1, BLOCK_BYTES // (scan.m * scan.m))
    for first in range(0, scan.N, size):
        lit |= np.asarray(scan.mask[first : first + size]).any(axis=0)
    return lit


def _spread(values: NDArray[np.float64] | None) -> float | list[float] | None:
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


Found = list[tuple[str, str]]


def _check_values(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Found:
    found: Found = []
    if summary.not_finite:
        found.append(
            ("wrong", f"{summary.not_finite} pattern values outside the mask are NaN or infinite: mask them")
        )
    if summary.negative:
        found.append(
            ("wrong", f"{summary.negative} pattern values outside the mask are negative: counts never are")
        )
    empty = int((summary.totals <= 0).sum())
    if empty:
        found.append(("suspicious", f"{empty} of {scan.N} patterns are empty (shutter closed, or no beam?)"))
    if not summary.whole and scan.count_scale is None:
        found.append(
            (
                "suspicious",
                "counts are not integers and there is no count_scale (the value that one photon adds): "
                "the statistical weight of the fluorescence is a guess",
            )
        )
    lit = summary.totals[summary.totals > 0]
    if lit.size and np.percentile(lit, 1) < 0.2 * np.median(lit):
        found.append(("suspicious", "some patterns have less than a fifth of the median counts (beam loss?)"))
    mean = facts["exposure_mean"]
    if abs(mean - 1) > 0.05:
        found.append(
            ("suspicious", f"the exposure has mean {mean:.3g}: it is meant to be relative, with mean 1")
        )
    return found


def _check_centre(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Found:
    # Windows of half the width: around the centre, and the same around the corner of the rolled pattern.
    quarter = max(1, scan.m // 4)
    centre = scan.m // 2
    near = slice(centre - quarter, centre + quarter)
    rolled = np.roll(summary.mean, (centre, centre), axis=(0, 1))
    at_centre, at_corner = (float(image[near, near].sum()) for image in (summary.mean, rolled))
    if at_corner > at_centre:
        return [
            (
                "wrong",
                f"the patterns are centred at the corner ({_share(at_corner, summary)} of the counts around "
                f"[0, 0], {_share(at_centre, summary)} around the middle): roll them by {centre} pixels both "
                "ways (fftshift)",
            )
        ]
    total = float(summary.mean.sum())
    if total > 0:
        axis = np.arange(scan.m) - centre
        offset = np.array([summary.mean.sum(axis=1 - k) @ axis for k in (0, 1)]) / total
        if np.abs(offset).max() > max(1.0, 0.05 * scan.m):
            return [
                (
                    "suspicious",
                    f"the patterns' centre of mass is ({offset[0]:+.1f}, {offset[1]:+.1f}) pixels from index "
                    f"({centre}, {centre}), where the zero frequency should be",
                )
            ]
    return []


def _share(part: float, summary: PatternSummary) -> str:
    return f"{100 * part / float(summary.mean.sum()):.0f} %"


def _check_pixels(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Found:
    found: Found = []
    # A counter that saturates gives many patterns the very same maximum; photon noise does not, once
    # the counts are large.
    top = summary.maxima.max()
    at_top = int((summary.maxima == top).sum())
    if top >= 50 and at_top >= max(3, 0.05 * scan.N):
        found.append(
            (
                "suspicious",
                f"{at_top} of {scan.N} patterns have the same maximum {top:g}: saturated pixels? mask them",
            )
        )
    # Dead: never a count where the neighbours have so many that chance cannot explain it.
    sums = summary.mean * scan.N
    lit = _ever_good(scan)
    padded = np.pad(np.where(lit, sums, np.nan), 1, constant_values=np.nan)
    around = [
        padded[1 + i : 1 + i + scan.m, 1 + j : 1 + j + scan.m]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if i or j
    ]
    stack = np.where(np.isnan(around), np.inf, np.array(around))
    fifth = np.sort(stack, axis=0)[
        3
    ]  # 4th lowest of 8: the lower median, and a masked neighbour counts as bright
    scale = float(np.mean(scan.count_scale)) if scan.count_scale is not None else 1.0
    photons = np.where(np.isfinite(fifth), fifth, 0.0) / (scale or 1.0)
    dead = lit & (sums <= 0) & (photons > (25 if summary.whole or scale else 0))
    if dead.any():
        row, column = (int(i) for i in np.argwhere(dead)[0])
        found.append(
            (
                "suspicious",
                f"{int(dead.sum())} detector pixels never count where their neighbours do, the first at "
                f"({row}, {column}): dead? mask them",
            )
        )
    return found


def _check_positions(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Found:
    found: Found = []
    overlap, step = facts["overlap_probe"], facts["step_pixels"]
    if step is None:
        found.append(("suspicious", "all positions are the same: nothing overlaps"))
    elif overlap < LEAST_OVERLAP:
        found.append(
            (
                "suspicious",
                f"neighbouring positions overlap by {100 * max(overlap, 0):.0f} % of the probe's width: "
                f"below {100 * LEAST_OVERLAP:.0f} % ptychography is hardly unique",
            )
        )
    repeated = scan.N - len(np.unique(np.round(scan.positions, 6), axis=0))
    if repeated and step is not None:
        found.append(("suspicious", f"{repeated} positions occur more than once"))
    return found


def _check_probe(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Found:
    found: Found = []
    intensity = float(np.sum(np.abs(scan.probe.astype(np.complex128)) ** 2))
    counts = facts["counts_per_pattern_mean"]
    if counts > 0 and not 1 / ROUGH_SCALE <= counts / intensity <= ROUGH_SCALE:
        found.append(
            (
                "suspicious",
                f"the probe carries {intensity:.4g} counts, a pattern {counts:.4g} on average: its scale "
                "is a guess (refine the probe, which rescales it first)",
            )
        )
    if facts["probe_width_pixels"] > 0.8 * scan.m:
        found.append(
            ("suspicious", "the probe fills its window: it may be cut off at the border (or wrap around)")
        )
    return found


def _check_fluorescence(scan: Scan, summary: PatternSummary, facts: dict[str, Any]) -> Found:
    found: Found = []
    if scan.fluorescence is None:
        return [("note", "there is no fluorescence: only method ptychography can run")]
    missing = [name for name, measured in zip(scan.element_names, scan.measured, strict=True) if not measured]
    if missing:
        found.append(("note", f"elements without fluorescence data: {', '.join(missing)}"))
    intensity = np.sum(np.abs(scan.probe.astype(np.complex128)) ** 2)
    imaginary = 0.0
    for e in (int(i) for i in np.flatnonzero(scan.measured)):
        name, values = scan.element_names[e], scan.fluorescence[e]
        if (values < 0).any():
            found.append(
                ("suspicious", f"{name}: {int((values < 0).sum())} fluorescence counts are negative")
            )
        if not values.any():
            found.append(("suspicious", f"{name}: the fluorescence is zero everywhere"))
        if scan.fluorescence_count_scale is None and not np.array_equal(values, np.rint(values)):
            found.append(
                (
                    "suspicious",
                    f"{name}: fluorescence is not in integer counts and there is no count_scale for it: "
                    "rates or fitted areas? the statistical weight is a guess",
                )
            )
        if np.mean(values) <= scan.background[e] and values.any():
            found.append(("suspicious", f"{name}: the background is no less than the mean fluorescence"))
        # What the map says the element contributes to the object, blurred as it is.
        content = (values - scan.background[e]) / (scan.sensitivity[e] * intensity)
        imaginary += abs(scan.attenuation[e]) * float(np.percentile(content, 99))
    if imaginary > WEAK_CONTRAST and not scan.truth:
        found.append(
            (
                "note",
                f"the element maps add up to an imaginary part of about {imaginary:.2g}: the linear link "
                "stands for a real specimen's transmission only while that is well below 1 (weak contrast)",
            )
        )
    return found


# Text ----------------------------------------------------------------------------------------------------


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.3g} {unit}"


def _metres(value: float | None) -> str:
    if value is None:
        return "unknown"
    for unit, name in ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm"), (1e-9, "nm")):
        if value >= unit:
            return f"{value / unit:.4g} {name}"
    return f"{value / 1e-12:.4g} pm"


def scan_text(information: ScanInformation) -> str:
    """Return what `inspect_scan` found as text for the screen."""
    facts = information.facts
    pixel = facts["pixel_size"]

    def length(pixels: float | None) -> str:
        if pixels is None:
            return "none"
        return f"{pixels:.4g} pixels" + (f" = {_metres(pixels * pixel)}" if pixel else "")

    def percent(value: float | None) -> str:
        return "none" if value is None else f"{100 * value:.1f} %"

    rows, columns = facts["object_pixels"]
    size = f"{rows} x {columns} pixels" + (
        f" = {_metres(rows * pixel)} x {_metres(columns * pixel)}" if pixel else ""
    )
    m = facts["pattern_pixels"]
    energy = facts["energy_keV"]
    lines = [("what", f"scan{': ' + facts['title'] if facts['title'] else ''}")]
    lines += [
        ("patterns", f"{facts['patterns']} of {m} x {m} ({facts['pattern_dtype']})"),
        ("object", size),
        ("pixel size", _metres(pixel)),
    ]
    if energy is not None:
        lines += [
            ("photon energy", f"{energy:.6g} keV (wavelength {_metres(facts['wavelength'])})"),
            ("detector", f"{_metres(facts['distance'])} away, pixels of {_metres(facts['detector_pixel'])}"),
        ]
    modes = "1 mode" if facts["probe_modes"] == 1 else f"{facts['probe_modes']} modes"
    lines += [
        (
            "probe",
            f"{modes}, {length(facts['probe_width_pixels'])} wide (circle with 80 % of the intensity)",
        ),
        (
            "positions",
            " by ".join(length(extent) for extent in facts["positions_extent_pixels"])
            + ", "
            + ("with fractions of pixels" if facts["positions_fractional"] else "on whole pixels"),
        ),
        ("step", f"{length(facts['step_pixels'])} (median distance to the nearest neighbour)"),
        (
            "overlap",
            f"{percent(facts['overlap_window'])} of the window (1 - step/{m}), "
            f"{percent(None if facts['overlap_probe'] is None else max(facts['overlap_probe'], 0.0))} "
            "of the probe's width",
        ),
        (
            "counts",
            f"{facts['counts_per_pattern_mean']:.5g} per pattern (from "
            f"{facts['counts_per_pattern_least']:.5g} to {facts['counts_per_pattern_most']:.5g}), "
            f"{facts['counts_per_pixel_mean']:.4g} per pixel, {facts['counts_most_in_a_pixel']:.6g} at most",
        ),
        (
            "count scale",
            "not given (1 is assumed)" if facts["count_scale"] is None else f"{facts['count_scale']}",
        ),
        ("mask", f"{percent(facts['masked_fraction'])} of the pixels are masked"),
    ]
    if facts["fluorescence_sampling"] is None:
        lines.append(("fluorescence", "none"))
    else:
        where = {"grid": "on the object grid", "scan": "one value per position"}[
            facts["fluorescence_sampling"]
        ]
        lines.append(
            ("fluorescence", f"{len(facts['elements'])} elements, {where}, in {facts['fluorescence_units']}")
        )
        for element in facts["elements"]:
            name = f"  {element['name']}"
            if element["measured"]:
                text = (
                    f"mean {element['counts_mean']:.5g}, from {element['counts_least']:.5g} to "
                    f"{element['counts_most']:.5g}; sensitivity {element['sensitivity']:.4g}, "
                    f"background {element['background']:.4g}"
                )
            else:
                text = "no data"
            lines.append((name, f"{text}; attenuation {element['attenuation']:.4g}"))
    if facts["truth"]:
        lines.append(("truth", ", ".join(facts["truth"])))
    lines.append(
        (
            "memory",
            f"about {_bytes(facts['memory_single']['total'])} to reconstruct in single precision, "
            f"{_bytes(facts['memory_double']['total'])} in double",
        )
    )
    shown = [f"{name:<15}{value}" for name, value in lines]
    shown.append("")
    if information.findings:
        shown += [f"{finding.level}: {finding.text}" for finding in information.findings]
    else:
        shown.append("nothing wrong or suspicious was found")
    return "\n".join(shown)


def loss_text(result: Result | TiledResult) -> str:
    """Return the loss, and the loss in units of the mean count, in which it does not hang on the exposure.

    Parameters
    ----------
    result : Result
        Whose settings have "mean_count" where there are patterns.
    """
    mean = result.settings.get("mean_count")
    if result.method == "fluorescence" or not mean:
        return f"loss {result.loss:.6g}"
    return f"loss {result.loss:.6g} ({result.loss / mean:.5g} mean counts)"


def result_facts(result: Result) -> dict[str, Any]:
    """Return what is in a result, as plain numbers and texts.

    Parameters
    ----------
    result : Result
        As `ptyxrf.driver.files.result_file.read_result` reads it.
    """
    if not result.history:
        raise ValueError("history: expected at least one record, got none")
    last = result.history[-1]
    return {
        "kind": "result",
        "method": result.method,
        "reason": result.reason.value,
        "converged": result.reason.converged,
        "object_pixels": list(result.object.shape),
        "object_dtype": str(result.object.dtype),
        "elements": len(result.elements),
        "probe_modes": len(result.probe),
        "iterations": last.iteration,
        "sweeps": last.sweeps,
        "products": last.products,
        "gradients": last.gradients,
        "seconds": last.seconds,
        "loss_start": result.history[0].loss,
        "loss": last.loss,
        "errors": dict(last.errors),
        "settings": result.settings,
    }


def result_text(facts: dict[str, Any]) -> str:
    """Return what `result_facts` found as text for the screen."""
    rows, columns = facts["object_pixels"]
    lines = [
        ("what", f"result of a {facts['method']} reconstruction"),
        ("object", f"{rows} x {columns} pixels ({facts['object_dtype']}), {facts['elements']} elements"),
        ("probe", "1 mode" if facts["probe_modes"] == 1 else f"{facts['probe_modes']} modes"),
        ("loss", f"{facts['loss']:.6g} (from {facts['loss_start']:.6g})"),
        ("work", _work_text(facts)),
        ("ended", facts["reason"]),
    ]
    lines += [(f"  {name}", f"{value:.6g}") for name, value in facts["errors"].items()]
    lines += [(f"  {key}", f"{value}") for key, value in facts["settings"].items()]
    return "\n".join(f"{name:<27}{value}" for name, value in lines)


def checkpoint_facts(content: Content, grid: tuple[int, int]) -> dict[str, Any]:
    """Return what is in a checkpoint, as plain numbers and texts.

    Parameters
    ----------
    content : Content
        As `ptyxrf.driver.files.checkpoint_file.read_checkpoint` reads it.
    grid : (int, int)
        Rows and columns of the object.
    """
    facts, last = content.facts, content.history[-1]
    return {
        "kind": "checkpoint",
        "method": facts["settings"]["method"],
        "object_pixels": list(grid),
        "iterations": facts["iteration"],
        "sweeps": last.sweeps,
        "products": last.products,
        "gradients": last.gradients,
        "seconds": last.seconds,
        "loss_start": content.history[0].loss,
        "loss": last.loss,
        "resumed_after": facts["resumed_after"],
        "errors": dict(last.errors),
        "settings": facts["settings"],
        "digest": facts["digest"],
    }


def checkpoint_text(facts: dict[str, Any]) -> str:
    """Return what `checkpoint_facts` found as text for the screen."""
    rows, columns = facts["object_pixels"]
    resumed = ", ".join(map(str, facts["resumed_after"]))
    lines = [
        ("what", f"checkpoint of a {facts['method']} reconstruction, whole"),
        ("object", f"{rows} x {columns} pixels"),
        ("loss", f"{facts['loss']:.6g} (from {facts['loss_start']:.6g})"),
        ("work", _work_text(facts)),
        ("resumed", f"after iteration {resumed}" if resumed else "never"),
    ]
    lines += [(f"  {name}", f"{value:.6g}") for name, value in facts["errors"].items()]
    lines += [(f"  {key}", f"{value}") for key, value in facts["settings"].items()]
    lines += [(f"  digest of {name}", value[:16]) for name, value in facts["digest"].items()]
    return "\n".join(f"{name:<27}{value}" for name, value in lines)


def _work_text(facts: dict[str, Any]) -> str:
    return (
        f"{facts['iterations']} iterations, {facts['gradients']} gradients, {facts['products']} products, "
        f"{facts['sweeps']:.1f} sweeps, {facts['seconds']:.1f} s"
    )


def maps_facts(maps: CountMaps) -> dict[str, Any]:
    """Return what is in the count maps of a MAPS file, as plain numbers and texts.

    Parameters
    ----------
    maps : CountMaps
        As `ptyxrf.driver.files.maps_file.read_maps` reads them.
    """
    return {
        "kind": "maps",
        "title": maps.title,
        "rows": len(maps.y),
        "columns": len(maps.x),
        "x": [float(maps.x[0]), float(maps.x[-1])],
        "y": [float(maps.y[0]), float(maps.y[-1])],
        "elements": [
            {"name": name, "counts_mean": float(np.mean(counts)), "counts_most": float(np.max(counts))}
            for name, counts in zip(maps.element_names, maps.counts, strict=True)
        ],
        "scalers": list(maps.scalers),
    }


def maps_text(facts: dict[str, Any]) -> str:
    """Return what `maps_facts` found as text for the screen."""
    lines = [
        ("what", f"fluorescence maps: {facts['title']}"),
        ("points", f"{facts['rows']} rows x {facts['columns']} columns"),
        ("x", " to ".join(f"{1e3 * value:.6g} mm" for value in facts["x"])),
        ("y", " to ".join(f"{1e3 * value:.6g} mm" for value in facts["y"])),
        ("elements", f"{len(facts['elements'])}, in counts"),
    ]
    lines += [
        (f"  {element['name']}", f"mean {element['counts_mean']:.5g}, at most {element['counts_most']:.5g}")
        for element in facts["elements"]
    ]
    lines.append(("scalers", ", ".join(facts["scalers"])))
    return "\n".join(f"{name:<15}{value}" for name, value in lines)
