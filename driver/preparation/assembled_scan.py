"""The scan that a pass over the frames leads to: mask, exposure, probe, orientation and maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.analysis.orientation import Orientation
from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.preparation.detector_pixels import dead_pixels, hot_pixels
from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.fluorescence import Placed, attach_fluorescence
from ptyxrf.driver.preparation.guesses import Guesses
from ptyxrf.driver.preparation.input_files import InputFiles
from ptyxrf.driver.preparation.one_pass import Passed
from ptyxrf.driver.preparation.pairing import Pairing
from ptyxrf.driver.preparation.settings import Preparation
from ptyxrf.driver.preparation.starting_probe import guessed_probe, known_probe, oriented
from ptyxrf.driver.preparation.survey import Survey


@dataclass(frozen=True)
class Seen:
    """All that is known of a scan after the pass over its frames."""

    settings: Preparation
    files: InputFiles
    guesses: Guesses
    survey: Survey
    pairing: Pairing
    passed: Passed
    geometry: Geometry | None
    findings: Findings


def assembled_scan(
    seen: Seen, patterns: Any, positions: NDArray[np.float64], background: NDArray[np.float64] | None
) -> Scan:
    """Return the scan.

    Parameters
    ----------
    seen : Seen
    patterns : (n, m, m) lazy source
        As they have been written.
    positions : (P, 2) array of float64
        (row, column) in pixels, of all positions in the files.
    background : (size, size) array of float64, optional
        Dark counts of a frame on the raw window.
    """
    settings, window, places = seen.settings, seen.survey.window, seen.passed.positions
    mask = good_pixels(seen)
    mean = np.where(mask, window.added(seen.passed.sums) / len(places), 0.0)
    probe = known_probe(settings, seen.files, seen.guesses, window, mean, seen.geometry, seen.findings)
    exposure = exposures(seen, len(positions))
    turn = Orientation(settings.swap, settings.flip_rows, settings.flip_columns)
    if background is not None:
        background = np.where(mask, window.added(background) * float(seen.passed.frames.mean()), 0.0)
    scan = Scan(
        patterns,
        turn.apply(positions[places]),
        guessed_probe(mean) if probe is None else probe,
        mask=mask,
        exposure=exposure[places] / exposure[places].mean(),
        pattern_background=background,
        count_scale=seen.survey.photon if seen.survey.is_counting else None,
        geometry=seen.geometry,
        title="prepared from raw frames",
    )
    scan = oriented(scan, settings, given=probe is not None, findings=seen.findings)
    pixel_size = 1.0 if seen.geometry is None else seen.geometry.pixel_size(window.m)
    placed = Placed(positions * pixel_size, places, exposure, seen.passed.totals)
    return attach_fluorescence(scan, settings, seen.files, seen.guesses, placed, seen.findings)


def good_pixels(seen: Seen) -> NDArray[np.bool_]:
    """Return the mask of the patterns, from what the sample and then all frames have shown."""
    survey, passed, window = seen.survey, seen.passed, seen.survey.window
    good = window.cut(survey.good, False) & ~passed.bad
    hot = window.cut(survey.hot, False)
    if passed.bad.any():
        seen.findings.tell(
            "saturation", f"{int(passed.bad.sum())} more pixels are saturated or a gap in some frame"
        )
    if seen.settings.hot_pixels:
        sums = np.where(good, passed.sums, 0.0)
        more = hot_pixels(sums, good, survey.photon)
        dead = dead_pixels(sums, good & ~more, survey.photon)
        hot |= more
        for what, pixels in (("hot", hot), ("dead", dead)):
            if pixels.any():
                first = ", ".join(f"({row}, {column})" for row, column in np.argwhere(pixels)[:4].tolist())
                seen.findings.tell(
                    "hot_pixels", f"{int(pixels.sum())} {what} pixels of the window masked, first {first}"
                )
        good &= ~(more | dead)
    return window.all_of(good)


def exposures(seen: Seen, count: int) -> NDArray[np.float64]:
    """Return the exposure of all positions: frames that were added, times their monitor; 0 without any."""
    frames = np.zeros(count)
    np.add.at(frames, seen.passed.positions, seen.passed.frames)
    settings, position_of = seen.settings, seen.pairing.position_of
    array = (
        seen.guesses.each("monitor", len(position_of))
        if settings.monitor is None
        else seen.files.find("monitor", settings.monitor)
    )
    if array is None:
        return frames
    monitor = np.ravel(array.read()).astype(np.float64)
    if monitor.shape != position_of.shape or not np.isfinite(monitor).all() or not (monitor > 0).all():
        raise ValueError(
            f"monitor: expected {len(position_of)} positive numbers, one for each frame, in {array.reference}"
        )
    seen.findings.tell(
        "monitor", f"{array.key}, from {monitor.min():.4g} to {monitor.max():.4g}", array.reference
    )
    total = np.bincount(position_of, monitor, minlength=count)
    return frames * total / np.maximum(np.bincount(position_of, minlength=count), 1)
