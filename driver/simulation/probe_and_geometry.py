"""The probe of a simulated scan, given or that of a zone plate, and its geometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.data_checks import check_probe
from ptyxrf.driver.data.geometry import JOULES_PER_KEV, PLANCK_TIMES_C, Geometry
from ptyxrf.driver.simulation.probe_modes import probe_modes
from ptyxrf.driver.simulation.settings import ProbeOptics
from ptyxrf.driver.simulation.zone_plate import DEFAULT_ENERGY, DEFAULT_PIXEL_SIZE, zone_plate_probe

#: Edge of the window if neither m nor a probe is given.
DEFAULT_M = 64
#: Pixel of the detector of a simulated geometry, in metres.
DETECTOR_PIXEL = 75e-6
ZONE_PLATE = ("outermost_zone_width", "diameter", "central_stop", "defocus")


def probe_and_geometry(
    optics: ProbeOptics, probe: ArrayLike | None, geometry: Geometry | None
) -> tuple[NDArray[np.complex128], Geometry]:
    """Return the probe modes and the geometry of a simulated scan.

    Parameters
    ----------
    optics : ProbeOptics
    probe : (m, m) or (K, m, m) array of complex, optional
        Default: the probe of a zone plate.
    geometry : Geometry, optional
        Default: the one that follows from energy and pixel size.

    Returns
    -------
    modes : (K, m, m) array of complex128
    geometry : Geometry

    Raises
    ------
    ValueError
        A setting contradicts the probe or the geometry, or the probe is not valid.
    """
    plate = {name: getattr(optics, name) for name in ZONE_PLATE if getattr(optics, name) is not None}
    if probe is None:
        m = optics.m or DEFAULT_M
        geometry, pixel_size = _geometry(m, optics, geometry)
        field = zone_plate_probe(m, pixel_size=pixel_size, energy=geometry.energy, **plate)
    else:
        field = _checked(probe)
        if optics.m not in (None, field.shape[-1]):
            raise ValueError(f"m: expected {field.shape[-1]}, that of the probe, or none, got {optics.m}")
        for name, value in plate.items():
            raise ValueError(f"{name}: expected none beside a probe, got {value}")
        geometry, _ = _geometry(field.shape[-1], optics, geometry)
    if field.ndim == 3:
        if optics.modes not in (None, len(field)):
            raise ValueError(f"modes: expected {len(field)}, those of the probe, or none, got {optics.modes}")
        return field, geometry
    return (field[None] if optics.modes is None else probe_modes(field, optics.modes)), geometry


def _checked(probe: ArrayLike) -> NDArray[np.complex128]:
    field = np.array(probe, dtype=np.complex128)
    if field.ndim not in (2, 3) or field.shape[-1] != field.shape[-2] or field.size == 0:
        raise ValueError(f"probe: expected shape (m, m) or (K, m, m), got {field.shape}")
    check_probe("probe", field)
    return field


def _geometry(m: int, optics: ProbeOptics, geometry: Geometry | None) -> tuple[Geometry, float]:
    """Return the geometry and the pixel of the object grid in metres."""
    if geometry is not None:
        for name in ("energy_keV", "energy", "pixel_size"):
            if getattr(optics, name) is not None:
                raise ValueError(
                    f"{name}: expected none beside a geometry, which holds it, got {getattr(optics, name)}"
                )
        return geometry, geometry.pixel_size(m)
    energy = optics.energy or DEFAULT_ENERGY
    if optics.energy_keV is not None:
        energy = optics.energy_keV * JOULES_PER_KEV
    pixel_size = optics.pixel_size or DEFAULT_PIXEL_SIZE
    distance = pixel_size * m * DETECTOR_PIXEL * energy / PLANCK_TIMES_C
    return Geometry(energy, distance, DETECTOR_PIXEL), pixel_size
