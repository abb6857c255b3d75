"""Probes of several kinds and widths: how much of the window they light decides what section 3 finds.

A probe is named ``KIND`` or ``KIND:WIDTH``; the width is a radius as a fraction of half the window: of the
cone of a defocused zone plate, of a disc, and the r0 of a Gaussian exp(-(r/r0)^2). ``zone-plate`` alone is
the probe of all other experiments, whose radius is at most 0.4.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import PLANCK_TIMES_C
from ptyxrf.driver.simulation.zone_plate import DEFAULT_ENERGY, DEFAULT_PIXEL_SIZE, zone_plate_probe

KINDS = ("zone-plate", "gaussian", "disc")
#: Ours; one that fills the window; the Gaussian exp(-(r/8)^2) of a window of 16 pixels and a narrow one,
#: exp(-(r/3)^2); a disc that fills the window.
PROBES = ("zone-plate", "zone-plate:1", "gaussian:1", "gaussian:0.375", "disc:1")
ZONE_WIDTH = 45e-9


def split_name(name: str) -> tuple[str, float | None]:
    """Return the kind and the width of a probe.

    Raises
    ------
    ValueError
        The name is not that of a probe.
    """
    kind, colon, text = name.partition(":")
    try:
        width = float(text) if colon else None
    except ValueError:
        width = math.nan
    largest = 1.0 if kind == "zone-plate" else math.inf
    if kind not in KINDS or (width is not None and not (0 < width <= largest and math.isfinite(width))):
        raise ValueError(
            f"probes: expected KIND or KIND:WIDTH with a kind of {', '.join(KINDS)} and a positive width (at "
            f"most 1 for zone-plate), got {name!r}"
        )
    return kind, width


def probe_field(name: str, m: int) -> NDArray[np.complex128]:
    """Return the (m, m) field of a probe with max |P| = 1.

    Raises
    ------
    ValueError
        The name is not that of a probe.
    """
    kind, width = split_name(name)
    radius = (width or 1.0) * m / 2
    if kind == "zone-plate":
        # The cone of the plate has the diameter defocus * wavelength / zone width. It must not be wider than
        # the window by a rounding error.
        wavelength = PLANCK_TIMES_C / DEFAULT_ENERGY
        defocus = 2 * radius * DEFAULT_PIXEL_SIZE * ZONE_WIDTH / wavelength * (1 - 1e-9)
        with warnings.catch_warnings():
            # a beam that fills its window loses its tails there
            warnings.filterwarnings("ignore", "The window of .* misses", UserWarning)
            return zone_plate_probe(
                m, outermost_zone_width=ZONE_WIDTH, defocus=None if width is None else defocus
            )
    row, column = np.indices((m, m)) - m // 2
    distance = np.hypot(row, column)
    shape = np.exp(-((distance / radius) ** 2)) if kind == "gaussian" else distance < radius
    return shape.astype(np.complex128)


def lit_part(probe: NDArray[np.complex128]) -> float:
    """Return the part of the window that a probe lights: (sum |P|^2)^2 / (m^2 sum |P|^4), 1 if it is even."""
    power = np.abs(probe) ** 2
    return float(power.sum() ** 2 / (power.size * (power**2).sum()))
