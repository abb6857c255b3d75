"""Which link a scan and its settings ask for."""

from __future__ import annotations

import numpy as np

from ptyxrf.driver.data.optical_constants import (
    has_refractive_constants,
    optical_constants,
    refractive_constants,
)
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.links import CartesianLink, LinearLink, Link
from ptyxrf.driver.objective.refractive_link import RefractiveLink
from ptyxrf.driver.objective.settings import Model


def default_link(method: str, scan: Scan) -> str:
    """Return "refractive" where the maps enter an object and their constants are known, else "linear"."""
    return "refractive" if method != "ptychography" and has_refractive_constants(scan) else "linear"


def with_link(settings: Model, scan: Scan) -> Model:
    """Return the settings with the link of the scan where they leave it open."""
    return settings.replace(link=settings.link or default_link(settings.method, scan))


def make_link(settings: Model, scan: Scan) -> Link:
    """Return the link of a method and a scan: the given one, or that of a name.

    Parameters
    ----------
    settings : Model
    scan : Scan

    Raises
    ------
    ValueError
        The refractive link lacks constants, or `matrix` is no formula, or there is one for another link.
    """
    if settings.method == "ptychography":  # which has both parts of the object free
        return CartesianLink()
    if isinstance(settings.link, Link):
        return settings.link
    if settings.link != "refractive":
        if settings.matrix is not None:
            raise ValueError(
                f"matrix: expected the refractive link beside it, got link {settings.link!r} (refractive is "
                "the default with phase_shift, or with symbols of elements and the photon energy)"
            )
        return LinearLink(scan.attenuation, settings.link_offset)
    attenuation, phase_shift = refractive_constants(scan)
    matrix = _matrix_constants(settings.matrix, scan)
    if settings.method == "joint" and settings.free != "none":
        # a phase that is free is that of the whole specimen: beside it, the delay of maps changes nothing but
        # the way to the minimum, along a valley in which both make up for one another
        phase_shift, matrix = np.zeros_like(phase_shift), matrix and (matrix[0], 0.0)
    return RefractiveLink(attenuation, phase_shift, settings.free, matrix)


def _matrix_constants(matrix: str | tuple[float, float] | None, scan: Scan) -> tuple[float, float] | None:
    """Return a and p of the material that fluorescence does not see."""
    if not isinstance(matrix, str):
        return matrix
    if scan.geometry is None:
        raise ValueError(
            f"matrix: expected two numbers in m^2/kg for a scan without a photon energy, got {matrix!r}"
        )
    try:
        (attenuation,), (phase_shift,) = optical_constants(matrix, scan.geometry.energy)
    except ValueError as error:
        raise ValueError(f"matrix: {str(error).partition(': ')[2]}") from None
    return float(attenuation), float(phase_shift)
