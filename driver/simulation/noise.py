"""Poisson noise with a given relative level."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import is_finite_number

#: Name of the noise of data that are mean counts: each count adds 1 (eta = 1).
COUNTING = "counting"
#: Largest mean that NumPy's Poisson generator accepts (its counts are 64-bit integers).
LARGEST_MEAN = 9.2e18


def poisson_noise(
    clean: ArrayLike, level: float | str, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add Poisson noise to each of several patterns or maps.

    d = eta Poisson(d0 / eta), level = sqrt(eta / mean(d0)), the mean over each pattern or map alone
    (arXiv 2511.02153, section 4, noise model): a count adds eta_j = level^2 mean(d0_j) to pattern j.

    Parameters
    ----------
    clean : (B, ...) array of float
        Noiseless non-negative d0: B patterns or maps.
    level : float or "counting"
        Relative noise (0.03 is 3 %); 0 adds no noise. With "counting" the data are mean counts, eta = 1.
    generator : numpy.random.Generator
        Consecutive calls draw the same counts as one call on all the data.

    Returns
    -------
    noisy : (B, ...) array of float64
        d.
    count_scale : (B,) array of float64
        eta_j, the value of one count; 0 without noise and for a pattern of zeros.

    Raises
    ------
    ValueError
        The level is not valid; or it is not 0 and the data are negative or not finite.
    """
    counting = isinstance(level, str) and level == COUNTING
    if not counting and not (is_finite_number(level) and float(level) >= 0):
        raise ValueError(f"level: expected a finite level of at least 0 or {COUNTING!r}, got {level!r}")
    data = np.array(clean, dtype=np.float64)
    if data.ndim < 2:
        raise ValueError(
            f"clean: expected shape (B, ...), one pattern or map after another, got {data.shape}"
        )
    if level == 0:
        return data, np.zeros(data.shape[0])
    bad = ~((data >= 0) & (data < np.inf))  # NaN compares false
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"clean: expected finite non-negative values to draw counts from, got {data[where]} at {where}"
        )
    flat = data.reshape(data.shape[0], -1)
    eta = np.ones(flat.shape[0]) if counting else float(level) ** 2 * flat.mean(axis=1)
    # the scale of a pattern of zeros is arbitrary: it has no counts
    scale = np.where(eta > 0, eta, 1.0).reshape(-1, *[1] * (data.ndim - 1))
    counts = data / scale
    if counts.size and counts.max() > LARGEST_MEAN:
        raise ValueError(
            f"level: expected at most {LARGEST_MEAN:.1e} counts in a pixel, got {counts.max():.3g} at {level}"
        )
    return scale * generator.poisson(counts), eta
