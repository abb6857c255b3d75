"""Whether a joint fit or what came before it is to be trusted, in a sentence with the figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.scan_checks import little_overlap
from ptyxrf.driver.objective.links import LinearLink
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.comparison import (
    absorption_of_maps,
    chi_square,
    counted_freedom,
    object_shift,
)
from ptyxrf.driver.reconstruction.weakening import weakening

#: Right links move the object by up to 0.6 of what the noise of the patterns allows, and 30 % errors of a
#: constant by up to 0.8; links that spoil object or maps move it by 1.3 and more. Where both fits refine the
#: positions, these differ, too, and more so before they have settled: a right link moved the object by 1.7.
MOST_SHIFT, MOST_WITH_POSITIONS = 1.2, 3.0
#: Right links leave up to this many times the misfit over floor of ptychography alone; a link has fewer
#: unknowns than a free object.
MOST_MISFIT = 1.05
#: The same without a floor, where the misfit is this part of the amplitudes at least.
MOST_UNJUDGED, LEAST_MISFIT = 2.0, 0.02
#: Multiples of the chi-square of fluorescence alone. Right links leave up to 5; 30 % errors of constants,
#: which spoil neither object nor maps, up to 15; other links 30 and more.
DOUBTED_CHI_SQUARE, MOST_CHI_SQUARE = 6.0, 20.0
#: The verdict on patterns that only the joint fit misses.
JOINT_ALONE = (
    "Poor fit: the misfit of the patterns is {:.3g} times what their noise explains, and that of "
    "ptychography alone {:.3g} times."
)
#: Part of the counts of an element that the specimen may weaken without a mark.
LEAST_WEAKENING = 0.05
#: An element is named whose absorption is off by more than this factor.
NAMED = 1.2


def judge_link(objective: Objective, vector: NDArray, joint: Result, before: Result) -> Quality | None:
    """Return the quality of a joint fit with what it says of its link; all ranks take part.

    Parameters
    ----------
    objective : Objective
        Of the joint fit, at its end.
    vector : (size,) array
        Its unknowns there.
    joint, before : Result
        This rank's parts: the joint fit, and ptychography and fluorescence one after the other.
    """
    quality, other = joint.quality, before.quality
    if quality is None or other is None:
        return quality
    if other.freedom is not None:
        freedom = counted_freedom(objective, vector, nonnegative=joint.settings["nonnegative"], probes=1)
        quality = replace(quality, chi_square=chi_square(objective, vector, freedom), freedom=freedom)
    lost = weakening(objective, joint.part.object, joint.part.elements)
    quality = replace(quality, weakening=lost)
    floored = quality.per_position is not None and other.per_position is not None
    shift = np.nan
    if floored:
        counts = objective.scan.count_scale
        scale = 1.0 if counts is None else float(np.mean(counts))
        shift = object_shift(
            objective, joint.part.object, before.part.object, scale, stretched=joint.positions is not None
        )
    most = MOST_SHIFT if joint.positions is None else MOST_WITH_POSITIONS
    of_patterns = [_moved(shift)] if shift > most else []
    of_patterns += _doubts_of_patterns(quality, other)
    of_counts = _doubts_of_counts(quality, other, objective.scan.element_names)
    # an object that is not unique may be another one without being wrong
    ambiguous = _ambiguous(objective.scan, other, floored=floored)
    doubts = of_counts if ambiguous else [*of_patterns, *of_counts]
    if not doubts and not floored:
        return quality  # no noise to compare with
    if other.good is False:
        text = "No verdict on the link: ptychography alone is a poor fit, too."
        return replace(quality, object_shift=shift, link=text)
    if ambiguous and not doubts:
        text = f"The link cannot be judged: {ambiguous}."
        return replace(quality, object_shift=shift, link=text)
    if not doubts:
        doubted = _largest(quality, other)[1] > DOUBTED_CHI_SQUARE
        cause = f"; {_cause(objective, joint, before)}" if doubted else ""
        worst = _worst(quality, objective.scan.element_names)
        text = f"The link holds: {_moved(shift)}{worst}{cause}{_thick(lost, objective.scan)}."
        return replace(quality, object_shift=shift, link=text, link_good=True)
    if quality.good is False:  # for what the verdict doubts ptychography has found no reason
        figures = quality.misfit_over_floor, other.misfit_over_floor
        quality = replace(quality, verdict=JOINT_ALONE.format(*figures))
    first = "" if joint.reason.converged else "; the run ended before it converged"
    text = f"Wrong link: {', '.join(doubts)}{first}; {_cause(objective, joint, before)}. Trust the fallback."
    return replace(quality, object_shift=shift, link=text, link_good=False)


def _moved(shift: float) -> str:
    return f"the object is {shift:.2g} times as far from that of ptychography alone as noise lets it be"


def _thick(lost: NDArray[np.float64] | None, scan: Scan) -> str:
    """Return which element's counts the specimen weakens, if by more than a few per cent."""
    if lost is None or lost.max(initial=0.0) < LEAST_WEAKENING:
        return ""
    e = int(np.argmax(lost))
    return (
        f"; the specimen is thick: beam and fluorescence of {scan.element_names[e]} lose about "
        f"{100 * lost[e]:.2g} % in it, by which its mass is too small"
    )


def _worst(quality: Quality, names: list[str]) -> str:
    """Return the largest chi-square of an element."""
    chi_square = quality.chi_square
    if chi_square is None or np.isnan(chi_square).all():
        return ""
    e = int(np.nanargmax(chi_square))
    return f", the largest chi-square of the counts is {chi_square[e]:.2g} ({names[e]})"


def _ambiguous(scan: Scan, before: Quality, *, floored: bool) -> str:
    """Return why patterns alone do not determine the object; empty where they do."""
    if floored and before.good is None:
        return "there are too few data for ptychography alone"
    return little_overlap(scan)


def _doubts_of_patterns(joint: Quality, before: Quality) -> list[str]:
    """Return how much worse than noise explains the joint fit explains the patterns."""
    if before.per_position is not None:
        ratio, most = joint.misfit_over_floor / max(before.misfit_over_floor, 1.0), MOST_MISFIT
    else:  # squares, as those are
        ratio, most = (joint.relative_misfit / max(before.relative_misfit, LEAST_MISFIT)) ** 2, MOST_UNJUDGED
    return [] if ratio <= most else [f"its patterns misfit {ratio:.3g} times as much"]  # or are no number


def _doubts_of_counts(joint: Quality, before: Quality, names: list[str]) -> list[str]:
    """Return which counts the joint fit explains far worse than the fluorescence alone."""
    e, multiple = _largest(joint, before)
    if joint.chi_square is None or multiple <= MOST_CHI_SQUARE:
        return []
    return [f"the counts of {names[e]} have a chi-square of {joint.chi_square[e]:.3g}"]


def _largest(joint: Quality, before: Quality) -> tuple[int, float]:
    """Return the element whose chi-square has grown most by the joint fit, and the multiple."""
    if joint.chi_square is None or before.chi_square is None or np.isnan(joint.chi_square).all():
        return 0, 0.0
    multiples = joint.chi_square / np.maximum(before.chi_square, 1.0)
    e = int(np.nanargmax(multiples))
    return e, float(multiples[e])


def _cause(objective: Objective, joint: Result, before: Result) -> str:
    """Return which constant, element or setting to doubt."""
    link, scan = objective.link, objective.scan
    if isinstance(link, LinearLink):
        why = "whose vacuum is 1" if link.offset == 0 else "of weak contrast"
        return (
            f"doubt the linear link, in which maps are the imaginary part of an object {why}: give "
            "phase_shift for the refractive link"
        )
    part = before.part
    elements = part.elements
    if joint.sensitivity is not None:
        elements = elements / joint.sensitivity.factors[:, None, None]
    ratios, changes = absorption_of_maps(objective, part.object, elements)
    e = int(np.argmax(changes))
    if 1 / NAMED < ratios[e] < NAMED:
        unseen = "materials that fluorescence does not see"
        return f"doubt phase_shift, and {unseen}" if objective.settings.free == "none" else f"doubt {unseen}"
    return (
        f"doubt attenuation and sensitivity of {scan.element_names[e]}: the object of ptychography absorbs "
        f"{ratios[e]:.2g} times what its map stands for"
    )
