"""What error bars stand for, in words, and whether the noise they need is known."""

from __future__ import annotations

import warnings

import numpy as np

from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.uncertainty.fitted import Fitted


def check_noise(result: Result, scan: Scan) -> None:
    """Refuse data without noise; warn where it is not known.

    Raises
    ------
    ValueError
        Naming the count scale that is 0.
    """
    if not isinstance(scan, Scan):
        raise ValueError(f"scan: expected a Scan (read_scan reads files), got {type(scan).__name__}")
    if result.method != "fluorescence" and scan.count_scale is not None and not (scan.count_scale > 0).all():
        raise ValueError("count_scale: expected positive numbers, as error bars need noise, got 0")
    scales = scan.fluorescence_count_scale
    if result.method != "ptychography" and scales is not None and not (scales > 0).all():
        raise ValueError(
            "fluorescence_count_scale: expected positive numbers, as error bars need noise, got 0"
        )
    if result.method == "ptychography" and scan.count_scale is None:
        some = np.asarray(scan.patterns[0], np.float64)
        if not (some[np.isfinite(some)] == np.round(some[np.isfinite(some)])).all():
            warnings.warn(
                "the patterns are not integer counts and the scan has no count_scale: error bars are those "
                "of raw counts",
                stacklevel=5,
            )


def meaning_of(fit: Fitted, samples: int) -> str:
    """Return what an interval around the result stands for."""
    objective = fit.objective
    words = ["Standard deviations"]
    regularised = bool(objective.weights.strengths.any())
    if not _statistical(objective):
        words.append(
            " of the result under repeated noise, as the weights of the fluorescence are not those of its "
            "noise."
        )
    elif regularised:
        words.append(" of the posterior.")
    else:
        words.append(" of the result under repeated noise, and of the posterior.")
    if regularised:
        words.append(
            " Intervals of the maps are credible under their Gaussian prior, not from the data alone."
        )
    if samples == 0:
        words.append(" They are estimates, from the curvature of each pixel by itself.")
    held = 0.0
    if fit.free is not None:
        where = objective.nonnegative
        counts = np.array([np.sum(~fit.free[where]), where.stop - where.start], np.float64)
        held, pixels = objective.sum(counts)
        held = 100 * held / max(pixels, 1.0)
    if held > 0:
        words.append(
            f" Maps are not negative: the {held:.0f} % of their pixels that the data push below 0 are held "
            "there, without a deviation, and intervals that reach below 0 end there."
        )
    return "".join(words)


def _statistical(objective: Objective) -> bool:
    """Return whether the loss is the negative log likelihood but for a factor."""
    settings, data = objective.settings, objective.data
    if data.counts is None:
        return True
    named = settings.alpha == "statistical" and settings.alpha_scale == 1
    return named and (data.patterns is not None or settings.fluorescence_prior != "none")
