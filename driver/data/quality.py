"""How well a reconstruction fits its patterns, compared with what their noise explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Quality:
    """The misfit of the patterns over their noise floor, and what it means; the same on every rank.

    The misfit of a pixel is the square of |psi| - b, the amplitudes of model and data. Its floor is what
    Poisson noise leaves of it on average, less the part that the unknowns fit. A right model has a ratio near
    1; wrong positions, a wrong probe or too few modes have more.

    Attributes
    ----------
    misfit_over_floor : float
        Of all patterns. NaN where there is no floor: the noise is not known, or there is none.
    per_position : (N,) array of float64, optional
        The same for each pattern. None without a floor.
    per_pixel : (m, m) array of float64, optional
        The same for each detector pixel, zero frequency at index m//2; NaN where all patterns are masked or
        there is too little light to tell. None without a floor.
    noise_floor : float
        The ptychographic loss that a right model leaves, in the units of the data; 0 without noise, NaN where
        the noise is not known.
    relative_misfit : float
        Root of the misfit over the sum of the counts, with or without noise.
    verdict : str
        A sentence with the figure and, for a poor fit, what to doubt.
    good : bool or None
        False: the model does not explain the patterns. None: there is no floor to judge by.
    """

    misfit_over_floor: float
    per_position: NDArray[np.float64] | None
    per_pixel: NDArray[np.float64] | None
    noise_floor: float
    relative_misfit: float
    verdict: str
    good: bool | None
