"""Lengths and energies of a file, by their units, with a check whether they can be true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import JOULES_PER_KEV, PLANCK_TIMES_C
from ptyxrf.driver.data.unit_tables import ENERGIES, LENGTHS, plain_unit
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader

#: Photon energies of X-ray experiments, with much to spare, in joules: 1 eV to 1 MeV.
LEAST_ENERGY, MOST_ENERGY = 1e-3 * JOULES_PER_KEV, 1e3 * JOULES_PER_KEV


def factor(reader: Hdf5Reader, name: str, table: dict[str, float], customary: str) -> float:
    """Return the SI value of the unit of a dataset; without one, that of the customary unit."""
    unit = reader.unit(name) or customary
    if plain_unit(unit) not in table:
        raise reader.error(name, f"expected a unit among {', '.join(table)}, got {unit!r}")
    return table[plain_unit(unit)]


def length(reader: Hdf5Reader, name: str, customary: str = "m") -> float:
    """Return a length in metres."""
    return reader.number(name) * factor(reader, name, LENGTHS, customary)


def lengths(
    reader: Hdf5Reader, name: str, customary: str = "m", most: int | None = None
) -> NDArray[np.float64]:
    """Return an array of lengths in metres, all of them finite; see `Hdf5Reader.array` for `most`."""
    values = np.asarray(reader.array(name, most))
    if values.dtype.kind not in "fiu":
        raise reader.error(name, f"expected lengths, got {values.dtype} {values.shape}")
    if not np.isfinite(values).all():
        raise reader.error(name, "expected finite lengths in metres, got NaN or infinity")
    return values.astype(np.float64) * factor(reader, name, LENGTHS, customary)


def energy(reader: Hdf5Reader, name: str, customary: str = "J") -> float:
    """Return a photon energy in joules."""
    value = abs(reader.number(name)) * factor(reader, name, ENERGIES, customary)
    return plausible_energy(reader, name, value, customary)


def plausible_energy(reader: Hdf5Reader, name: str, value: float, unit: str) -> float:
    """Return an energy in joules that X-rays can have, or raise the error that names the dataset."""
    if not LEAST_ENERGY <= value <= MOST_ENERGY:
        words = {"J": "joules", "eV": "electronvolts", "keV": "kiloelectronvolts"}
        raise reader.error(
            name, f"expected a photon energy in {words.get(unit, unit)}, got {reader.number(name)}"
        )
    return value


def energy_of_wavelength(reader: Hdf5Reader, name: str, customary: str = "m") -> float:
    """Return the photon energy of a wavelength in joules."""
    value = length(reader, name, customary)
    if not 0 < value < np.inf:
        raise reader.error(name, f"expected a wavelength in metres, got {reader.number(name)}")
    return PLANCK_TIMES_C / value


def first_place(reader: Hdf5Reader, places: tuple[str, ...], what: str) -> str:
    """Return the first of the places where there is a dataset."""
    for name in places:
        if reader.has(name):
            return name
    raise reader.error(
        places[0], f"no such dataset in the file ({what}; also looked in {', '.join(places[1:])})"
    )
