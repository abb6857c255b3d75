"""Colours of pictures: complex fields as hues, limits of colour maps, and the maps in use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Colour of pixels without a value: outside the illuminated area, or without data.
BLANK = "0.88"
#: Colour map of differences.
DIVERGING = "RdBu_r"
#: Colour limits leave out this percentage of the pixels at either end.
CLIP = 0.3

#: OKLab to the cube roots of the cone responses, and those cubed to linear sRGB.
TO_CONES = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
)
TO_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.707614701],
    ]
)


def hue_image(field: NDArray[Any], full: float) -> NDArray[np.float64]:
    """Return a complex field as colours: lightness from its modulus, hue from its phase.

    The hues have equal lightness and chroma in OKLab (B. Ottosson, "A perceptual color space for image
    processing", 2020), so that no phase looks brighter than another.

    Parameters
    ----------
    field : (rows, columns) array of complex
    full : float
        Modulus of full lightness.

    Returns
    -------
    (rows, columns, 3) array of float
        sRGB values in [0, 1].
    """
    strength = np.clip(np.abs(field) / full, 0.0, 1.0)
    angle = np.angle(field)
    a, b = (0.125 * strength * trig(angle + 0.5) for trig in (np.cos, np.sin))
    cones = np.stack([0.76 * strength, a, b], axis=-1) @ TO_CONES.T
    linear = np.clip(cones**3 @ TO_LINEAR.T, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def hue_wheel() -> NDArray[np.float64]:
    """Return the key to the hues: a disc of all phases on a transparent ground, (101, 101, 4)."""
    across = np.linspace(-1, 1, 101)
    plane = across[None, :] - 1j * across[:, None]
    inside = np.abs(plane) <= 1
    return np.dstack([hue_image(np.where(inside, plane / np.maximum(abs(plane), 1e-9), 0), 1.0), inside])


def colour_limits(values: NDArray[Any], *, from_zero: bool = False) -> tuple[float, float]:
    """Return colour limits that do not depend on a few outliers.

    Parameters
    ----------
    values : array of float
        NaN and infinities are left out.
    from_zero : bool
        Start at zero if the values are not negative.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, (CLIP, 100 - CLIP)))
    if from_zero and low >= 0:
        low = 0.0
    if high - low <= 1e-6 * max(abs(high), abs(low)):
        # the values are constant up to rounding: show them without contrast
        margin = 0.5 * abs(high) or 0.5
        low, high = low - margin, high + margin
    return low, high


def misfit_limits(ratios: NDArray[Any]) -> tuple[float, float]:
    """Return colour limits for misfits over their floor: 0 to at least 2, so that good fits look alike."""
    return 0.0, max(2.0, colour_limits(ratios)[1])
