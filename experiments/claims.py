"""Claims of the paper, and the criteria by which they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ptyxrf.driver.data.history import IterationRecord

#: A curve semi-converges if its last value exceeds its lowest one by this factor.
RISE = 1.02
#: Number of losses at which two curves are compared, and the fraction at which one must be lower.
LEVELS, MOST = 40, 0.9


@dataclass(frozen=True)
class Claim:
    """A claim and its verdict.

    Attributes
    ----------
    key : str
        Short name, the same in full and reduced versions.
    text : str
        The claim in words.
    holds : bool
    figures : str
        The numbers that the verdict follows from.
    condition : str
        Probe and convention under which a claim of section 3 is compared, or "".
    """

    key: str
    text: str
    holds: bool
    figures: str
    condition: str = ""

    @property
    def verdict(self) -> str:
        """Return "holds" or "does not hold"."""
        return "holds" if self.holds else "does not hold"


def below(key: str, text: str, ours: float, theirs: float, *, at_most: float = 1.0) -> Claim:
    """Claim that a number is at most `at_most` times another."""
    ratio = ours / theirs if theirs else np.inf
    return Claim(
        key, text, bool(ours <= at_most * theirs), f"{ours:.3g} against {theirs:.3g} ({ratio:.3g} x)"
    )


def errors_at_losses(
    losses: ArrayLike, errors: ArrayLike, levels: ArrayLike
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the error of the first iteration whose loss is at or below each level, or NaN."""
    losses, errors, levels = (np.asarray(values, dtype=np.float64) for values in (losses, errors, levels))
    reached = losses[None, :] <= levels[:, None]
    return np.where(reached.any(axis=1), errors[reached.argmax(axis=1)], np.nan)


def lower_at_the_same_loss(
    key: str,
    text: str,
    ours: Sequence[IterationRecord],
    theirs: Sequence[IterationRecord],
    error: str = "mse",
    loss: str = "ptychography_loss",
) -> Claim:
    """Claim that the first history has the lower error at equal loss.

    The histories are compared at 40 losses, evenly spaced on a logarithmic scale between the first and the
    last loss that both reach. The claim holds if the error is lower at 90 % of them.
    """
    curves = [
        (
            np.array([getattr(record, loss) for record in history]),
            np.array([record.errors[error] for record in history]),
        )
        for history in (ours, theirs)
    ]
    first = min(values[0] for values, _ in curves)
    last = max(values.min() for values, _ in curves)
    levels = np.geomspace(first, max(last, 1e-300), LEVELS + 1)[1:]
    left, right = (errors_at_losses(*curve, levels) for curve in curves)
    ratios = (left / right)[np.isfinite(left) & np.isfinite(right)]
    share, middle = float((ratios < 1).mean()), float(np.median(ratios))
    return Claim(
        key, text, share >= MOST, f"lower at {100 * share:.0f} % of the losses; median ratio {middle:.3g}"
    )


def rise(history: Sequence[IterationRecord], error: str) -> float:
    """Return the ratio of the last error to the lowest error."""
    values = [record.errors[error] for record in history]
    return values[-1] / min(values)


def semi_convergence(
    key: str,
    text: str,
    joint: Sequence[IterationRecord],
    fluorescence: Sequence[IterationRecord],
    error: str,
) -> Claim:
    """Claim that fluorescence alone semi-converges, and the joint method does less or not at all."""
    ours, theirs = rise(joint, error), rise(fluorescence, error)
    kind = "not" if ours <= RISE else "less" if ours < theirs else "more"
    return Claim(
        key,
        text,
        theirs > RISE and ours < theirs,
        f"last / lowest imaginary MSE: fluorescence {theirs:.3g}, joint {ours:.3g} ({kind})",
    )
