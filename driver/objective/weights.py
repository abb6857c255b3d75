"""The weights alpha_e between the two modalities."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.fluorescence_counts import FluorescenceData
from ptyxrf.driver.objective.fluorescence_noise import FluorescenceNoise
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.settings import Model
from ptyxrf.parallel.tile import Tile


def statistical_weights(
    scan: Scan, data: FluorescenceData, tile: Tile, mean_count: float, integer_patterns: bool
) -> NDArray[np.float64]:
    """Return the maximum-likelihood weights alpha_e = (N_e / N) sigma_b^2 / sigma_De^2.

    The amplitude of a Poisson count scaled by eta has variance eta/4, so sigma_b^2 = mean_j eta_j / 4; a
    map has sigma_De^2 = eta_e mean(D_e). For noiseless data (eta = 0) the limit of equal relative noise is
    alpha_e = N_e mean(d) / (4 N mean(D_e)^2).

    Parameters
    ----------
    scan : Scan
    data : FluorescenceData
        Of all maps.
    tile : Tile
    mean_count : float
        mean(d) over the good pixels of all patterns.
    integer_patterns : bool
        Whether the patterns look like raw counts.

    Returns
    -------
    (N_e,) array of float64
        0 for elements without data.

    Warns
    -----
    UserWarning
        Where data that are no integers come without a count scale.
    """
    measured = data.measured
    means = np.where(measured, data.mean_modulus, 1.0)
    pattern_scale = 1.0 if scan.count_scale is None else float(scan.count_scale.mean())
    noise = FluorescenceNoise(scan, data, tile)
    if scan.count_scale is None and not integer_patterns:
        warnings.warn(
            "the patterns are not integer counts and the scan has no count_scale: "
            "alpha assumes 1 (raw counts)",
            stacklevel=5,
        )
    if not noise.known:
        warnings.warn(
            "the fluorescence is not in integer counts and the scan has no fluorescence_count_scale: "
            "alpha assumes 1 (raw counts)",
            stacklevel=5,
        )
    dark = measured & (means == 0)
    means = np.where(dark, 1.0, means)  # a map without any count is weighted like one with a mean of 1
    if pattern_scale > 0 and noise.noisy:
        alpha = scan.N_e / scan.N * (pattern_scale / 4) / noise.mean
    else:
        alpha = scan.N_e * mean_count / (4 * scan.N * means**2)
    return np.where(measured, alpha, 0.0)


def alpha_of(model: Model, data: LocalData, gradnorm: Callable[[], float]) -> NDArray[np.float64]:
    """Return the weights of a model: as asked for in the joint method, else 1 where there are data.

    Where the maps have a prior, the fluorescence alone has statistical weights one over the variance of a
    mean sample: its loss is the negative log likelihood over N_e, in which every map counts alike.

    Parameters
    ----------
    model : Model
    data : LocalData
    gradnorm : callable
        Returns the ratio of the gradient norms at the start, if asked.

    Raises
    ------
    ValueError
        There is a wrong number of weights, or a named one is not finite for these data.
    """
    scan, counts, patterns, alpha = data.scan, data.counts, data.patterns, model.alpha
    numbers = scan.fluorescence is not None and not isinstance(alpha, str)
    if numbers and np.shape(alpha) not in ((), (scan.N_e,)):
        raise ValueError(f"alpha: expected a number or {scan.N_e} numbers, got shape {np.shape(alpha)}")
    if counts is None:
        return np.zeros(scan.N_e)
    if patterns is None:
        noise = FluorescenceNoise(scan, counts, data.tile)
        weighed = alpha == "statistical" and model.fluorescence_prior != "none" and noise.noisy
        return np.where(counts.measured, 1 / noise.mean if weighed else 1.0, 0.0)
    if alpha == "statistical":
        values = model.alpha_scale * statistical_weights(
            scan, counts, data.tile, patterns.mean_count, patterns.whole
        )
    elif alpha == "gradnorm":
        values = model.alpha_scale * np.full(scan.N_e, gradnorm())
    else:
        values = np.array(alpha, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"alpha: expected finite weights, got {values.tolist()}")
    return np.where(counts.measured, values, 0.0)


def strengths_of(model: Model, count: int) -> NDArray[np.float64]:
    """Return the strengths of the prior of some maps; 0 where it is off or not given as numbers.

    Raises
    ------
    ValueError
        There is a wrong number of them.
    """
    given = 0.0 if isinstance(model.fluorescence_prior, str) else model.fluorescence_prior
    values = np.array(given, dtype=np.float64)
    if values.shape not in ((), (count,)):
        raise ValueError(f"fluorescence_prior: expected a number or {count} numbers, got {values.size}")
    return np.broadcast_to(values, (count,)).copy()


def power_of_two(size: float) -> float:
    """Return the power of two by which a loss of some size becomes one of order 1; 1 for a size of 0."""
    return 2.0 ** -round(np.log2(size)) if size > 0 else 1.0
