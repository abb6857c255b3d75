"""How sensitive the fluorescence detector is to each element, as far as ptychography tells.

The object of ptychography absorbs -log|z| = c + sum_e r_e a_e w_e, with w_e the maps of the fluorescence
alone. If these are the mean maps that the counts allow, weighted least squares has no bias from their blur
(J. Berkson, J. Am. Stat. Assoc. 45, 1950). A map that is r times too large has a sensitivity that is r times
too small. Its logarithm has a Gaussian prior.

In a joint fit maps and sensitivities must not be free together: a map of lower sensitivity is larger, has
more room above 0, and fits more of the noise of the patterns, so that the maps of weak absorbers grow without
end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ptyxrf.driver.data.refined_sensitivity import RefinedSensitivity
from ptyxrf.driver.data.scan_measures import calibration_errors
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.comparison import AbsorptionOfMaps

#: Part of the largest spread that is added to all, so that there is an inverse.
LEAST_SPREAD = 1e-9
#: No ratio is known better than this.
LEAST_ERROR = 1e-3


def refine_sensitivity(
    objective: Objective, z: NDArray, elements: NDArray[np.floating]
) -> RefinedSensitivity:
    """Return the sensitivities by the scan's calibration and by ptychography; all ranks take part.

    Parameters
    ----------
    objective : Objective
        Of the fluorescence alone, with a point evaluated.
    z : (rows, columns) array of complex
        The object of ptychography alone, on the owned pixels.
    elements : (N_e, rows, columns) array
        The maps of the fluorescence alone.
    """
    scan = objective.scan
    prior = calibration_errors(scan)
    found = AbsorptionOfMaps(objective, z, elements)
    told = np.flatnonzero((objective.alpha > 0) & (np.diag(found.gram)[1:] > 0))
    logarithms, errors = np.zeros(scan.N_e), prior.copy()
    if found.blocks > len(told) + 1:
        logarithms[told], errors[told] = _posterior(*_ratios(found, told), prior[told])
    return RefinedSensitivity(scan.sensitivity, scan.sensitivity * np.exp(-logarithms), errors, prior)


def _ratios(
    found: AbsorptionOfMaps, told: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return r of some elements, and the inverse of its covariance, which is 0 for what nothing tells.

    The covariance is that of residuals which are correlated within a block (K.-Y. Liang and S. L. Zeger,
    Biometrika 73, 1986).
    """
    used = np.concatenate([[0], told + 1])
    size = np.sqrt(np.diag(found.gram)[used])  # constants of elements differ by orders of magnitude
    gram, values = found.gram[np.ix_(used, used)] / np.outer(size, size), np.zeros(len(found.gram))
    right = found.right[used] / size
    values[used] = np.linalg.lstsq(gram, right, rcond=LEAST_SPREAD)[0] / size
    scores = found.scores(values)[used] / size[:, None]
    spread = scores @ scores.T * (found.blocks / (found.blocks - len(used)))
    least = LEAST_SPREAD * (np.diag(spread).max() + (LEAST_SPREAD * right.max()) ** 2)
    known = gram @ np.linalg.solve(spread + least * np.eye(len(used)), gram) * np.outer(size, size)
    of_constant = np.outer(known[1:, 0], known[0, 1:]) / known[0, 0]
    return values[told + 1], known[1:, 1:] - of_constant


def _posterior(
    ratios: NDArray[np.float64], known: NDArray[np.float64], prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the most probable logarithms of the ratios, and their standard deviations at that point."""
    weights, axes = np.linalg.eigh(known)
    weights = np.where(weights > LEAST_SPREAD * weights.max(), np.minimum(weights, LEAST_ERROR**-2), 0.0)
    root = np.sqrt(weights)[:, None] * axes.T

    def residuals(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([root @ (np.exp(logarithms) - ratios), logarithms / prior])

    def slopes(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([root * np.exp(logarithms), np.diag(1 / prior)])

    found = least_squares(residuals, np.zeros(len(ratios)), slopes)
    return found.x, np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
