"""Whether the patterns ask for positions that are stretched, turned or sheared together.

An object follows such a distortion of its scan, so that the misfit hardly grows. The slope of the loss along
the distortion shows it: a score test (C. R. Rao, Proc. Cambridge Phil. Soc. 44, 50, 1948).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.objective import Objective

#: Noise leaves the root of a count a variance of 1/4, and half of that in a loss of half the squares.
NOISE = 1 / 8


def distortion_score(objective: Objective, scale: float) -> float | None:
    """Return what a common distortion of the positions gains at fixed object, over what noise lets it gain.

    All ranks take part. The objective was last evaluated where the reconstruction has converged.

    Parameters
    ----------
    objective : Objective
    scale : float
        Units of the patterns a photon.

    Returns
    -------
    float or None
        At most about 1 for positions without a distortion; for others it grows with the counts. None where
        the distortion is an unknown, or windows of one pixel have no slope.
    """
    scan = objective.scan
    if objective.settings.refine_positions in ("affine", "both") or scan.m < 2:
        return None
    slopes, curvatures = along_positions(objective)
    lever = (scan.positions - scan.positions.mean(axis=0))[objective.tile.positions]
    slope, curvature = objective.ranks.sum(np.array([slopes.T @ lever, curvatures.T @ lever**2]))
    seen = curvature > 0
    if not seen.any():
        return None
    gain = (slope[seen] ** 2 / curvature[seen]).mean() / 2
    return float(gain * objective.mean_count / (NOISE * scale))


def along_positions(objective: Objective) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the slopes and curvatures (n, 2) of each pattern's loss along its position, at fixed object.

    Re sum conj(g_j) dz/dx and t_j sum |P|^2 |dz/dx|^2 over the patch: g_j is the gradient of pattern j in it,
    the slopes of the object come from neighbouring pixels, and the loss is in internal units.
    """
    terms, z, m = objective.terms, objective.beam.z, objective.scan.m
    assert terms.diffraction is not None
    light = (np.abs(terms.positioned.unshifted) ** 2).sum(axis=0)
    slopes, curvatures = np.zeros((2, terms.positioned.count, 2))
    gradient = np.zeros_like(z)
    for j, (row, column) in enumerate(terms.corners):
        patch = slice(row, row + m), slice(column, column + m)
        gradient[patch] = 0
        terms.diffraction.gradient(z, gradient, j, j + 1, None)
        along = np.gradient(z[patch])
        slopes[j] = [np.vdot(gradient[patch], each).real for each in along]
        curvatures[j] = [objective.data.exposure[j] * (light * np.abs(each) ** 2).sum() for each in along]
    return slopes, curvatures
