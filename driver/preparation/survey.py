"""What a few frames of a scan show: which pixels are good, where the beam is, how large patterns are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.preparation.beam_centre import beam_centre, is_at_corner, window_size
from ptyxrf.driver.preparation.detector_pixels import hot_pixels, no_counts, saturation_of
from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.frames import RawFrames, Window
from ptyxrf.driver.preparation.guesses import Guesses
from ptyxrf.driver.preparation.input_files import InputFiles, NamedArray
from ptyxrf.driver.preparation.settings import Preparation

#: Number of frames of the sample.
SAMPLE = 64
#: A beam that is found as near to the middle of a frame, in pixels, is there: others have cut the frame. A
#: fraction of the offset is a phase ramp of the probe.
NEAR_THE_MIDDLE = 2.0
#: A frame with more than so many times the median counts is bad.
BRIGHT_RATIO = 10.0


@dataclass
class Survey:
    """What a sample of the frames shows.

    Attributes
    ----------
    frames : RawFrames
        Turned, with the beam away from the corner.
    good : (H, W) array of bool
        Pixels that are neither gaps, nor masked by a file or by hand, nor hot.
    hot : (H, W) array of bool
        Hot pixels of the sample.
    ceiling : float
        Counts at which a pixel is saturated; infinite where none is.
    centre : (float, float)
        Row and column of the beam on the frame.
    window : Window
    median_total : float
        Median counts of a frame of the sample, within the window.
    photon : float
        The value of a photon, and what is assumed of it where that is unknown.
    is_counting : bool
        Whether that value is known: from the recipe, or because all values are integers.
    """

    frames: RawFrames
    good: NDArray[np.bool_]
    hot: NDArray[np.bool_]
    ceiling: float
    centre: tuple[float, float]
    window: Window
    median_total: float
    photon: float
    is_counting: bool


def survey_frames(
    settings: Preparation, files: InputFiles, guesses: Guesses, source: NamedArray, chosen: NDArray[np.intp],
    findings: Findings, *, whole: bool = False,
) -> Survey:  # fmt: skip
    """Return what a sample of frames shows.

    Parameters
    ----------
    settings : Preparation
    files, guesses
        For mask and flat.
    source : NamedArray
        The frames.
    chosen : array of int
        Numbers of the frames that are used, increasing.
    findings : Findings
        Gets a line for each thing found.
    whole : bool
        Patterns are to be as large as frames: positions in pixels are in those of such patterns.
    """
    frames = RawFrames(source.values, settings, corner=bool(settings.corner), amplitudes=settings.amplitudes)
    sample = np.unique(chosen[np.linspace(0, len(chosen) - 1, min(SAMPLE, len(chosen))).astype(int)])
    block = frames.read(sample)  # at once: a file with many chunks takes long to open
    shown, good, ceiling = _counts(settings, block, findings)
    if settings.corner is None and is_at_corner(shown.mean(axis=0)):
        frames = RawFrames(source.values, settings, corner=True, amplitudes=settings.amplitudes)
        shown, good = (np.fft.fftshift(one, axes=(-2, -1)) for one in (shown, good))
        findings.tell("corner", "the frames are centred at their corner", True)
    integers = bool((shown % 1 == 0).all())
    photon = settings.counts_per_photon or 1.0
    counts = shown.sum(axis=0, dtype=np.float64)
    good = _file_mask(settings, files, guesses, frames, counts, good, findings)
    good = _without_bad_pixels(settings, good)
    hot = np.zeros_like(good)
    if settings.hot_pixels:
        hot = hot_pixels(np.where(good, counts, 0.0), good, photon)
        good = good & ~hot
    centre = _centre(settings, counts, good, findings)
    if whole and settings.size is None:
        step = 2 * settings.bin
        settings = settings.replace(size=-(-max(good.shape) // step) * step)
        findings.values["size"] = settings.size
    window = _window(settings, counts * len(chosen) / len(shown) / photon, good, centre, findings)
    totals = window.cut(np.where(good, shown, 0)).sum(axis=(1, 2), dtype=np.float64)
    median = float(np.median(totals[totals > 0])) if (totals > 0).any() else 0.0
    known = settings.counts_per_photon is not None or integers
    return Survey(frames, good, hot, ceiling, centre, window, median, photon, known)


def _without_bad_pixels(settings: Preparation, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return good pixels without those that a recipe names."""
    given = settings.bad_pixels or ()
    pixels = np.reshape(given, (-1, 2)).astype(int) if len(given) % 2 == 0 else np.zeros((1, 2), int)
    if len(given) % 2 or (pixels >= good.shape).any():
        raise ValueError(
            f"bad_pixels: expected pairs ROW,COLUMN on frames of {good.shape}, got {list(given)}"
        )
    good = good.copy()
    good[tuple(pixels.T)] = False
    return good


def _counts(
    settings: Preparation, block: NDArray, findings: Findings
) -> tuple[NDArray, NDArray[np.bool_], float]:
    """Return the frames of a sample without flashes, 0 where pixels are bad; good pixels; saturation.

    What happens to a pixel in fewer than half of the frames is noise, or the frames are bad.
    """
    counted = ~no_counts(block, settings.gap_values)
    good = counted.mean(axis=0) > 0.5
    if bad := int((~good).sum()):
        findings.tell("gap_values", f"{bad} pixels have values that are no counts (gaps), masked")
    ceiling = settings.saturation or saturation_of(block, counted & good) or np.inf
    if np.isfinite(ceiling):
        saturated = good & (counted & (block >= ceiling)).any(axis=0)
        good &= ~saturated
        text = f"{int(saturated.sum())} pixels reach {ceiling:g}, masked"
        findings.tell("saturation", text, float(ceiling))
    values = np.where(good & np.isfinite(block) & (block > 0), block, 0)
    totals = values.sum(axis=(1, 2), dtype=np.float64)
    usual = totals <= BRIGHT_RATIO * np.median(totals) if totals.any() else totals >= 0
    return (values[usual] if usual.any() else values), good, float(ceiling)


def _file_mask(
    settings: Preparation, files: InputFiles, guesses: Guesses, frames: RawFrames,
    counts: NDArray[np.float64], good: NDArray[np.bool_], findings: Findings,
) -> NDArray[np.bool_]:  # fmt: skip
    """Return good pixels, without those that a mask in the files excludes."""
    array = _on_frame("mask", settings.mask, files, guesses, frames)
    if array is None:
        return good
    mask = frames.turned(np.asarray(array.read()))
    mask = mask.reshape(-1, *mask.shape[-2:])[0]
    if mask.shape != good.shape:
        raise ValueError(f"mask: expected the shape {good.shape} of the frames, got {mask.shape}")
    value = settings.mask_good
    if value is None:
        value = 0
        if set(np.unique(mask).tolist()) <= {0, 1} and mask.any():
            # hot pixels must not decide
            capped = np.minimum(counts, np.percentile(counts[good], 99.5)) if good.any() else counts
            value = int(capped[mask == 1].sum() > capped[mask == 0].sum())
        findings.tell("mask_good", f"{value} marks the good pixels of {array.key}", value)
    masked = mask != value if value == 0 else mask == 0
    findings.tell("mask", f"{int(masked.sum())} pixels are masked by {array.key}", array.reference)
    return good & ~masked


def _on_frame(
    role: str, text: str | None, files: InputFiles, guesses: Guesses, frames: RawFrames
) -> NamedArray | None:
    raw = tuple(int(size) for size in frames.values.shape[1:])
    return guesses.on_frame(role, (raw[0], raw[1])) if text is None else files.find(role, text)


def flat_and_dark(
    settings: Preparation, files: InputFiles, guesses: Guesses, survey: Survey, findings: Findings
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return flat field (mean 1 over good pixels) and mean dark frame on the window, each or None.

    Raises
    ------
    ValueError
        One has another shape than the frames.
    """
    found: list[NDArray[np.float64] | None] = []
    for role in ("flat", "dark"):
        array = _on_frame(role, getattr(settings, role), files, guesses, survey.frames)
        if array is None:
            found.append(None)
            continue
        values = np.asarray(array.read(), dtype=np.float64)
        values = survey.frames.turned(values.reshape(-1, *values.shape[-2:]).mean(axis=0))
        if values.shape != survey.good.shape:
            raise ValueError(
                f"{role}: expected the shape {survey.good.shape} of the frames, got {values.shape}"
            )
        findings.tell(role, f"{array.key}, mean {values[survey.good].mean():.4g}", array.reference)
        if role == "flat":
            usable = survey.good & (values > 0) & np.isfinite(values)
            survey.good &= usable
            values = np.where(usable, values / values[usable].mean(), 1.0)
        found.append(survey.window.cut(np.where(survey.good, values, float(role == "flat"))))
    return found[0], found[1]


def _centre(
    settings: Preparation, counts: NDArray[np.float64], good: NDArray[np.bool_], findings: Findings
) -> tuple[float, float]:
    if settings.centre is not None:
        return settings.centre
    row, column = beam_centre(counts, good)
    middle = counts.shape[0] // 2, counts.shape[1] // 2
    if max(abs(row - middle[0]), abs(column - middle[1])) <= NEAR_THE_MIDDLE:
        text = f"row {row:.2f}, column {column:.2f}: the frames are centred, at {middle}"
        findings.tell("centre", text, list(middle))
        return middle
    findings.tell(
        "centre",
        f"row {row:.2f}, column {column:.2f} of frames of {counts.shape[0]} x {counts.shape[1]}",
        [round(row, 2), round(column, 2)],
    )
    return row, column


def _window(
    settings: Preparation, counts: NDArray[np.float64], good: NDArray[np.bool_], centre: tuple[float, float],
    findings: Findings,
) -> Window:  # fmt: skip
    """Return the window of a pattern; `counts` are those that all frames would have."""
    pixel = (int(np.rint(centre[0])), int(np.rint(centre[1])))
    size = settings.size
    if size is None:
        size = window_size(counts, good, pixel, settings.bin)
        findings.tell("size", f"patterns of {size} x {size} raw pixels around the centre", size)
    if size % settings.bin:
        raise ValueError(f"size: expected a multiple of bin = {settings.bin}, got {size}")
    return Window(pixel, size, settings.bin)
