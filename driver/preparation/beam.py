"""Energy, distance and detector pixel of a recipe, or of the files."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.guesses import Guesses, name_of
from ptyxrf.driver.preparation.input_files import InputFiles, NamedArray
from ptyxrf.driver.preparation.quantities import LENGTHS, as_quantity, factor_of, joules_of, known_unit
from ptyxrf.driver.preparation.settings import Preparation

#: Units that a number without one may have, and the values in SI units that are plausible; the first fits.
DISTANCES = (("m", 0.02, 60.0), ("mm", 0.02, 60.0), ("um", 0.02, 60.0))
DETECTOR_PIXELS = (("m", 1e-7, 1e-3), ("um", 1e-7, 1e-3), ("mm", 1e-7, 1e-3))
ENERGIES = (("J", 8e-18, 3.2e-14), ("keV", 8e-18, 3.2e-14), ("eV", 8e-18, 3.2e-14))
WAVELENGTHS = (("m", 8e-18, 3.2e-14), ("nm", 8e-18, 3.2e-14), ("angstrom", 8e-18, 3.2e-14))
#: Joules of a photon: from the extreme ultraviolet on.
LEAST_ENERGY, LARGEST_ENERGY = 1e-18, 1e-13


def unit_in_name(name: str) -> str | None:
    """Return the unit at the end of a name such as ``photon_energy_eV``."""
    last = re.split(r"[_\s/@]", name)[-1]
    return last if known_unit(last) and not last[:1].isdigit() and last.lower() != "a" else None


def geometry_of(
    settings: Preparation, files: InputFiles, guesses: Guesses, findings: Findings
) -> Geometry | None:
    """Return the geometry, whose detector pixel is a raw one; None where nothing is known of it.

    Raises
    ------
    ValueError
        Something is neither in the recipe nor in the files, or has no plausible unit.
    """
    names = ("energy", "distance", "detector_pixel")
    if all(getattr(settings, name) is None and guesses.number(name) is None for name in names):
        findings.tell("energy", "no energy, distance or detector pixel: a scan in pixels")
        return None

    def length(value: float, unit: str) -> float | None:
        factor = factor_of(unit, LENGTHS)
        return None if factor is None else value * factor

    values = {
        name: _quantity(name, settings, files, guesses, findings, *how)
        for name, how in {
            "energy": (joules_of, ENERGIES, "8.8 keV"),
            "distance": (length, DISTANCES, "2 m"),
            "detector_pixel": (length, DETECTOR_PIXELS, "75 um"),
        }.items()
    }
    if not LEAST_ENERGY <= values["energy"] <= LARGEST_ENERGY:
        raise ValueError(
            f"energy: expected a photon energy of X-rays, got {values['energy'] / 1.602176634e-16:.4g} keV"
        )
    return Geometry(values["energy"], values["distance"], values["detector_pixel"])


def _quantity(
    name: str,
    settings: Preparation,
    files: InputFiles,
    guesses: Guesses,
    findings: Findings,
    si_value: Callable[[float, str], float | None],
    plausible: tuple[tuple[str, float, float], ...],
    example: str,
) -> float:
    text = getattr(settings, name)
    number = None if text is None else as_quantity(text)
    if number is not None:
        value = si_value(*number)
        if value is not None:
            return value
    array = guesses.number(name) if text is None else files.find(name, text)
    if array is None:
        raise ValueError(
            f"{name}: expected it in the files or in the recipe, such as {example!r}, got neither"
        )
    values = np.ravel(array.read()).astype(np.float64)
    if not np.isfinite(values).all() or not values.size:
        raise ValueError(f"{name}: expected a finite number in {array.reference}, got {values[:3].tolist()}")
    found = abs(float(np.median(values)))
    unit = _unit(name, array, found, si_value, plausible)
    value = si_value(found, unit)
    if value is None or not value > 0:
        raise ValueError(f"{name}: expected a positive number in {array.reference}, got {found:g} {unit}")
    findings.tell(name, f"{found:g} {unit}, from {array.key}", f"{found:.10g} {unit}")
    return value


def _unit(
    name: str,
    array: NamedArray,
    value: float,
    si_value: Callable[[float, str], float | None],
    plausible: tuple[tuple[str, float, float], ...],
) -> str:
    """Return the unit that the file gives, that the name ends with, or in which the number is plausible."""
    for unit in (array.unit, unit_in_name(name_of(array))):
        if unit is not None and known_unit(unit) and value and si_value(value, unit) is not None:
            return unit
    if re.search(r"wave|lambda", name_of(array)):
        plausible = WAVELENGTHS
    for unit, least, most in plausible:
        there = si_value(value, unit) if value else None
        if there is not None and least <= there <= most:
            return unit
    raise ValueError(
        f"{name}: expected a unit for {value:g} of {array.reference} ({array.key} in UNIT), got none"
    )
