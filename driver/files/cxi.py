"""Names of CXI: groups, and the version of what this package adds to them."""

from __future__ import annotations

from ptyxrf.driver.data.geometry import Geometry

CXI_VERSION = 160
#: Version of what this package adds to CXI.
FORMAT = 1

ENTRY = "/entry_1"
DATA = "/entry_1/data_1"
INSTRUMENT = "/entry_1/instrument_1"
DETECTOR = "/entry_1/instrument_1/detector_1"
SOURCE = "/entry_1/instrument_1/source_1"
SAMPLE = "/entry_1/sample_1"
GEOMETRY = "/entry_1/sample_1/geometry_1"
FLUORESCENCE = "/entry_1/fluorescence_1"
ILLUMINATION = "/entry_1/instrument_1/source_1/illumination"

PATTERNS = f"{DETECTOR}/data"
TRANSLATION = f"{GEOMETRY}/translation"
POSITIONS = f"{GEOMETRY}/positions"
MASK = f"{DETECTOR}/mask"
EXPOSURE = f"{DETECTOR}/exposure"

#: Where there is no geometry, files carry numbers that make an object pixel of one nanometre.
NOMINAL_PIXEL = 1e-9


def placed(name: str, root: str) -> str:
    """Return a name with another group in place of the entry, for a second result in a file."""
    return root + name.removeprefix(ENTRY) if name.startswith(f"{ENTRY}/") else name


def nominal_geometry(m: int) -> Geometry:
    """Return a geometry that gives m x m patterns an object pixel of one nanometre."""
    energy, distance = 1.5e-15, 1.0
    wavelength = Geometry(energy, distance, 1.0).wavelength
    return Geometry(energy, distance, wavelength * distance / (m * NOMINAL_PIXEL))
