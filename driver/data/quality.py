"""How well a reconstruction fits its patterns, compared with what their noise explains."""

from __future__ import annotations

import math
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
    chi_square : (N_e,) array of float64, optional
        Squared residuals of the fluorescence of each element over the variance that its counts have by the
        model, for each sample beyond those that `freedom` takes; NaN for elements without data. None where
        the noise of the fluorescence is not known, or there is none.
    freedom : (N_e,) array of float64, optional
        Degrees of freedom that the counts of each element determine in this fit, by the responses to random
        changes of the counts: many in a fit of the fluorescence alone, few beside patterns that see the
        element. None without a prior.
    weakening : (N_e,) array of float64, optional
        Part of the counts of each element that a joint fit with the refractive link expects to be lost: the
        specimen weakens the beam and absorbs its own fluorescence. Masses are too small by it.
    distortion : float, optional
        How strongly the patterns ask for positions that are stretched, turned or sheared together, which the
        misfit hardly shows: at most about 1 where noise alone asks. None where such a distortion is refined,
        the noise is not known, or the run had not converged.
    object_shift : float
        Distance of the object of a joint fit from that of its fallback over what the noise of the patterns
        lets them differ: up to about 1 if the link is right. NaN for other fits, and without a floor.
    link : str
        What a joint fit says of its link and constants, in a sentence; empty where there is nothing to
        compare it with.
    link_good : bool or None
        False: the fallback is to be trusted, not the joint fit. None: nothing speaks for either.
    """

    misfit_over_floor: float
    per_position: NDArray[np.float64] | None
    per_pixel: NDArray[np.float64] | None
    noise_floor: float
    relative_misfit: float
    verdict: str
    good: bool | None
    chi_square: NDArray[np.float64] | None = None
    freedom: NDArray[np.float64] | None = None
    weakening: NDArray[np.float64] | None = None
    distortion: float | None = None
    object_shift: float = math.nan
    link: str = ""
    link_good: bool | None = None
