"""Morozov's discrepancy principle: stop when the noise of the data explains the misfit.

The maps are deconvolved, so a fit below the noise level of the fluorescence brings the noise into them
(semi-convergence).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.history import Losses
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.illumination import ILLUMINATED

#: A fit with u unknowns and n data leaves the fraction 1 - u/n of the noise. The ptychography has to come
#: this close to it: its part is well determined and only gains by further iterations.
SETTLED_SHARE = 0.6

#: Patterns determine the weighted sum of several maps and not their differences, which continue to fit the
#: noise of the fluorescence while the misfit of the patterns falls. With several elements it is enough that
#: the loss of the patterns falls by less than this fraction in an iteration.
SETTLED_DECREASE = 0.01


#: Counts up to which the noise of the Poisson loss is summed.
MANY = 40


@dataclass(frozen=True)
class NoiseLevel:
    """Losses of each modality at which the data are fitted as well as their noise allows.

    Attributes
    ----------
    ptychography, fluorescence : float
        NaN where the method does not have the modality.
    several : bool
        Whether there are several maps.
    """

    ptychography: float
    fluorescence: float
    several: bool = False

    def reached(self, losses: Losses, before: Losses | None = None) -> bool:
        """Return whether further iterations would fit the noise.

        The losses of all modalities lie at or below the level; for the patterns of a scan with several
        elements it is enough that their loss hardly falls any more.

        Parameters
        ----------
        losses : Losses
        before : Losses, optional
            Those of the iteration before.
        """
        if losses.fluorescence > self.fluorescence:
            return False
        if np.isnan(self.ptychography) or losses.ptychography <= self.ptychography:
            return True
        if not self.several or before is None:
            return False
        return losses.ptychography >= (1 - SETTLED_DECREASE) * before.ptychography


def noise_level(objective: Objective) -> NoiseLevel | None:
    """Return the noise level of a joint or a fluorescence objective, or None where it is not known.

    An amplitude of Poisson counts scaled by eta has variance eta/4, whatever the background, and a count eta
    times its mean; whole numbers without a count scale are raw counts (eta = 1). None for ptychography alone,
    which does not semi-converge, for maps with a prior, which do not either, for noiseless data, and for data
    that are no counts and have no count scale.
    """
    scan, counts, patterns = objective.scan, objective.data.counts, objective.data.patterns
    if counts is None or objective.weights.strengths.any():
        return None
    weighed = objective.alpha > 0
    scales = scan.fluorescence_count_scale
    if scales is None:
        if not counts.whole:
            return None
        scales = np.ones(scan.N_e)
    variances = (scales * counts.total)[weighed]
    if not variances.size or not (variances > 0).all():
        return None
    fluorescence = float((objective.alpha[weighed] * variances).sum()) / (2 * scan.N_e)
    if patterns is None:
        return NoiseLevel(np.nan, fluorescence)
    if scan.count_scale is None and not patterns.whole:
        return None
    ptychography = _pattern_noise(objective)
    several = int(np.count_nonzero(weighed)) > 1
    return None if ptychography is None else NoiseLevel(ptychography, fluorescence, several)


def _pattern_noise(objective: Objective) -> float | None:
    """Return the loss that the noise of the patterns leaves; None for no noise or too few pixels."""
    scan, ranks, diffraction = objective.scan, objective.ranks, objective.terms.diffraction
    assert diffraction is not None
    scale = np.ones(scan.N) if scan.count_scale is None else scan.count_scale
    good = np.array([np.count_nonzero(pattern >= 0) for pattern in diffraction.amplitudes])
    illumination = objective.diagonals.illumination()
    (peak,) = ranks.largest(float(illumination.max(initial=0.0)))
    illuminated = np.count_nonzero(illumination > ILLUMINATED * peak)
    sums = [illuminated, good.sum(), (good * scale[objective.tile.positions]).sum()]
    illuminated, pixels, variance = ranks.sum(np.array(sums, dtype=np.float64))
    left = 1 - SETTLED_SHARE * 2 * illuminated / pixels
    if not (scale > 0).all() or left <= 0:
        return None
    mean, eta = objective.terms.mean_pattern, float(scale.mean())
    if objective.settings.pattern_loss == "poisson" and mean is not None:
        variance *= float((mean.good * poisson_noise(mean.counts / eta)).sum() / mean.good.sum())
    return float(left * variance / (8 * scan.N))


def poisson_noise(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of 2 (I - n + n ln(n/I)) for Poisson counts n of mean I, which is near 1 for large I.

    Few counts leave less or more: 0.47 at I = 0.1, 1.15 at I = 1. Sums over n up to `MANY`, and the
    asymptotic 1 + 1/(6 I) + 1/(6 I^2) above half of that.
    """
    few = np.minimum(counts, MANY / 2)[..., None]
    n = np.arange(1.0, MANY)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(n / few)
        chances = np.exp(n * np.log(few) - few - np.cumsum(np.log(n)))
        sums = np.where(few[..., 0] > 0, 2 * (n * chances * logs).sum(axis=-1), 0.0)
        return np.where(counts < MANY / 2, sums, 1 + 1 / (6 * counts) + 1 / (6 * counts**2))
