"""Quantities with units, and references to data in files, as a recipe writes them.

Importing this module imports neither numpy nor h5py, so that the command can print its help at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ptyxrf.driver.data.kinds import Kind
from ptyxrf.driver.data.unit_tables import ENERGIES, LENGTHS, TIMES, plain_unit

PIXELS = ("pixel", "pixels", "px")
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def known_unit(text: str) -> bool:
    """Return whether a word is a unit that a recipe may use, or a multiplier."""
    unit = plain_unit(text)
    tables = (*LENGTHS, *ENERGIES, *PIXELS, *TIMES)
    return unit in tables or re.fullmatch(NUMBER, text.strip()) is not None


def factor_of(unit: str, table: dict[str, float]) -> float | None:
    """Return the SI value of a unit, or of a multiplier; None for a unit of another kind."""
    if re.fullmatch(NUMBER, unit.strip()):
        return float(unit)
    return table.get(plain_unit(unit))


def joules_of(value: float, unit: str) -> float | None:
    """Return a photon energy in joules; a length is its wavelength. None for another unit."""
    from ptyxrf.driver.data.geometry import PLANCK_TIMES_C

    length = None if re.fullmatch(NUMBER, unit.strip()) else factor_of(unit, LENGTHS)
    if length is not None:
        return PLANCK_TIMES_C / (value * length)
    factor = factor_of(unit, ENERGIES)
    return None if factor is None else value * factor


@dataclass(frozen=True)
class Reference:
    """Where data are: ``[FILE::]KEY [in UNIT]``.

    Attributes
    ----------
    text : str
        As the recipe has it, without the unit.
    file : str or None
    key : str
        Dataset of an HDF5 file, attribute of one (``GROUP@NAME``), array of an NPZ file, column of a table;
        or the file itself.
    unit : str or None
        A unit, or a number by which values are multiplied.
    """

    text: str
    file: str | None
    key: str
    unit: str | None

    @classmethod
    def of(cls, text: str) -> Reference:
        """Take a text apart."""
        place, separator, unit = text.rpartition(" in ")
        if not separator or not known_unit(unit):
            place, unit = text, ""
        place = place.strip()
        file, separator, key = place.rpartition("::")
        return cls(place, file if separator else None, key, unit.strip() or None)


def as_quantity(text: str) -> tuple[float, str] | None:
    """Return number and unit of a text such as "8.8 keV"; None where it is no such text."""
    match = re.fullmatch(rf"\s*({NUMBER})\s*([^\W\d]+)\s*", text)
    return (float(match[1]), match[2]) if match and known_unit(match[2]) else None


class Quantity(Kind):
    """A quantity with its unit, or where it is in the files; `units` are its units, by their SI value."""

    metavar, annotation = "QUANTITY", "str"

    def __init__(self, example: str, *units: dict[str, float]) -> None:
        self.units = {name: value for table in units for name, value in table.items()}
        self.expected = f"a number with its unit such as {example!r}, or where it is in a file"

    def _accept(self, value: Any) -> Any:
        if not isinstance(value, str) or not value.strip():
            raise ValueError
        number = as_quantity(value)
        if number is not None and (plain_unit(number[1]) not in self.units or not number[0] > 0):
            raise ValueError
        if number is None and re.fullmatch(NUMBER, value.strip()):
            raise ValueError  # without a unit
        return value

    def from_text(self, text: str) -> Any:
        """Return the word itself."""
        return text
