"""Units of lengths, photon energies and times, as files and users write them, in SI units."""

from __future__ import annotations

#: Metres in a unit of length.
LENGTHS = {
    "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0,
    "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "micron": 1e-6, "microns": 1e-6,
    "micrometer": 1e-6, "micrometers": 1e-6, "micrometre": 1e-6, "micrometres": 1e-6,
    "millimeter": 1e-3, "millimeters": 1e-3, "nm": 1e-9, "nanometer": 1e-9, "nanometers": 1e-9,
    "angstrom": 1e-10, "å": 1e-10, "a": 1e-10, "pm": 1e-12, "cm": 1e-2,
}  # fmt: skip
#: Joules in a unit of photon energy (exact in the SI).
ENERGIES = {"j": 1.0, "joule": 1.0, "joules": 1.0, "ev": 1.602176634e-19, "kev": 1.602176634e-16}
#: Seconds in a unit of time.
TIMES = {"s": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0}


def plain_unit(text: str) -> str:
    """Return a unit as the tables have it: in small letters."""
    return text.strip().lower()
