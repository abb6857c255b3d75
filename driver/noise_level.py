"""What the noise of the data leaves of the loss at the truth: where a fit should end.

The maps are deconvolved, so a fit that goes on below the noise of the fluorescence brings the noise into
them (semi-convergence). Morozov's discrepancy principle is the remedy: stop when the misfit is what the
noise explains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptyxrf.driver.errors import ILLUMINATED
from ptyxrf.driver.objective import Losses, Objective

#: A fit with u unknowns and n data leaves the fraction 1 - u/n of the noise. The ptychography has to come
#: this close to it, for its part is well determined and only gains by going on.
SETTLED_SHARE = 0.6


@dataclass(frozen=True)
class NoiseLevel:
    """Losses of each modality at which the data are fitted as well as their noise allows.

    Attributes
    ----------
    ptychography, fluorescence : float
        NaN where the method does not have the modality.
    """

    ptychography: float
    fluorescence: float

    def reached(self, losses: Losses) -> bool:
        """Return whether the losses of all modalities that there are lie at or below the level."""
        pairs = ((losses.ptychography, self.ptychography), (losses.fluorescence, self.fluorescence))
        return all(loss <= level for loss, level in pairs if not np.isnan(level))


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
    scan = objective.scan
    if objective.fluorescence is None or scan.fluorescence is None:
        return None
    counts = scan.fluorescence.reshape(scan.N_e, -1)[objective.alpha > 0]
    scales = scan.fluorescence_count_scale
    if scales is None:
        if not (counts == np.round(counts)).all():
            return None
        scales = np.ones(scan.N_e)
    variances = scales[objective.alpha > 0] * np.maximum(counts, 0).sum(axis=1)
    if not variances.size or not (variances > 0).all():
        return None
    fluorescence = float((objective.alpha[objective.alpha > 0] * variances).sum()) / (2 * scan.N_e)
    if objective.diffraction is None:
        return NoiseLevel(np.nan, fluorescence)

    if scan.count_scale is None and not objective.integer_patterns:
        return None
    scale = np.ones(scan.N) if scan.count_scale is None else scan.count_scale
    good = np.array([np.count_nonzero(pattern >= 0) for pattern in objective.diffraction.amplitudes])
    light = objective.illumination()
    unknowns = 2 * np.count_nonzero(light > ILLUMINATED * light.max())
    left = 1 - SETTLED_SHARE * unknowns / good.sum()
    if not (scale > 0).all() or left <= 0:
        return None
    return NoiseLevel(float(left * (good * scale).sum() / (8 * scan.N)), fluorescence)
