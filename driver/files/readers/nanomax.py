"""Raw scans of NanoMAX at MAX IV: frames, spectra of the fluorescence, positions and ion chamber in one file.

The file says neither how far away the detector is nor where the beam hits it. PtyPy reads positions with the
other sign than ptychodus does; the signs here are those of ptychodus.
"""

from __future__ import annotations

from typing import Any

from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.readers.detectors import pixel_of
from ptyxrf.driver.files.readers.reader import Reader

MEASUREMENT = "/entry/measurement"
X, Y = f"{MEASUREMENT}/pseudo/x", f"{MEASUREMENT}/pseudo/y"
#: Where frames are beside ``measurement/DETECTOR/frames``.
OTHER_FRAMES = (f"{MEASUREMENT}/Eiger/data", "/entry/instrument/Eiger/data")
SPECTRA, ION_CHAMBER, ENERGY = (
    f"{MEASUREMENT}/xspress3/data", f"{MEASUREMENT}/alba2/1", "/entry/snapshot/energy",
)  # fmt: skip


def _recipe(reader: Hdf5Reader) -> dict[str, Any]:
    frames = _frames(reader)
    recipe: dict[str, Any] = {
        "frames": frames,
        "rows": f"{Y} in um",
        "columns": f"{X} in um",
        "detector_pixel": pixel_of(frames),
    }
    for setting, name, unit in (
        ("energy", ENERGY, " in eV"), ("monitor", ION_CHAMBER, ""), ("spectra", SPECTRA, ""),
    ):  # fmt: skip
        if reader.has(name):
            recipe[setting] = name + unit
    return recipe


def _frames(reader: Hdf5Reader) -> str:
    detectors = reader.members(MEASUREMENT)
    for name in (*(f"{MEASUREMENT}/{detector}/frames" for detector in detectors), *OTHER_FRAMES):
        if name.strip("/") in reader.file or reader.file.get(name, getlink=True) is not None:
            reader.dataset(name)  # which says where a link leads to that cannot be followed
            return name
    raise reader.error(f"{MEASUREMENT}/DETECTOR/frames", "no such dataset in the file")


READERS = (
    Reader(
        "NanoMAX",
        "MAX IV NanoMAX",
        "raw",
        "frames, positions in um, energy, ion chamber, spectra",
        lambda reader: reader.has(X) and reader.has(Y),
        _recipe,
    ),
)
