"""What the noise of the data leaves of the loss at the truth: where a fit should end.

The maps are deconvolved, so a fit that goes on below the noise of the fluorescence brings the noise into
them (semi-convergence). Morozov's discrepancy principle is the remedy: stop when the misfit is what the
noise explains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptyxrf.driver.objective.objective import Losses, Objective
from ptyxrf.driver.reconstruction.illumination import ILLUMINATED

#: A fit with u unknowns and n data leaves the fraction 1 - u/n of the noise. The ptychography has to come
#: this close to it, for its part is well determined and only gains by going on.
SETTLED_SHARE = 0.6

#: Patterns see the weighted sum of several maps and not their differences, which go on fitting the noise of
#: the fluorescence while the patterns come closer. With several elements it is enough that the loss of the
#: patterns falls by less than this fraction in an iteration.
SETTLED_DECREASE = 0.01


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
        """Return whether going on would fit the noise.

        The losses of all modalities that there are lie at or below the level; for the patterns of a scan with
        several elements it is enough that their loss hardly falls any more.

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

    An amplitude of Poisson counts scaled by eta has variance eta/4, a count eta times its mean; whole
    numbers without a count scale are raw counts (eta = 1). None for ptychography alone, which does not
    semi-converge, for noiseless data, and for data that are no counts and have no count scale.

    Parameters
    ----------
    objective : Objective

    Returns
    -------
    NoiseLevel or None
    """
    scan, data, ranks = objective.scan, objective.data, objective.ranks
    if objective.fluorescence is None or data is None:
        return None
    weighed = objective.alpha > 0
    scales = scan.fluorescence_count_scale
    if scales is None:
        if not data.whole:
            return None
        scales = np.ones(scan.N_e)
    variances = (scales * data.total)[weighed]
    if not variances.size or not (variances > 0).all():
        return None
    fluorescence = float((objective.alpha[weighed] * variances).sum()) / (2 * scan.N_e)
    if objective.diffraction is None:
        return NoiseLevel(np.nan, fluorescence)

    if scan.count_scale is None and not objective.integer_patterns:
        return None
    scale = np.ones(scan.N) if scan.count_scale is None else scan.count_scale
    good = np.array([np.count_nonzero(pattern >= 0) for pattern in objective.diffraction.amplitudes])
    light = objective.illumination()
    (peak,) = ranks.largest(float(light.max(initial=0.0)))
    lit = np.count_nonzero(light > ILLUMINATED * peak)
    sums = np.array([lit, good.sum(), (good * scale[objective.tile.positions]).sum()], dtype=np.float64)
    lit_pixels, pixels, variance = ranks.sum(sums)
    left = 1 - SETTLED_SHARE * 2 * lit_pixels / pixels
    if not (scale > 0).all() or left <= 0:
        return None
    several = int(np.count_nonzero(weighed)) > 1
    return NoiseLevel(float(left * variance / (8 * scan.N)), fluorescence, several)
