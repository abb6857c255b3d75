"""Master files of Eiger detectors (Dectris): links to the files of the frames, and the detector's settings.

Positions are in another file.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.readers.reader import Reader

DATA, DETECTOR, BEAM = "/entry/data", "/entry/instrument/detector", "/entry/instrument/beam"
SPECIFIC = f"{DETECTOR}/detectorSpecific"
CUTOFF = f"{SPECIFIC}/countrate_correction_count_cutoff"
#: Setting of a recipe, the first of the datasets that is there and above 0, and its unit where none is given.
NUMBERS = (
    ("energy", (f"{SPECIFIC}/photon_energy", f"{BEAM}/incident_wavelength"), ("eV", "angstrom")),
    ("distance", (f"{DETECTOR}/detector_distance", f"{DETECTOR}/distance"), ("m", "m")),
    ("detector_pixel", (f"{DETECTOR}/x_pixel_size",), ("m",)),
)


def _recipe(reader: Hdf5Reader) -> dict[str, Any]:
    recipe: dict[str, Any] = {"frames": _frames(reader)}
    for setting, names, units in NUMBERS:
        for name, unit in zip(names, units, strict=True):
            if reader.has(name) and reader.number(name) > 0:  # 0 is what nobody has set
                recipe.setdefault(setting, f"{name} in {reader.unit(name) or unit}")
    if reader.has(f"{SPECIFIC}/pixel_mask") and np.ndim(reader.dataset(f"{SPECIFIC}/pixel_mask")) == 2:
        recipe |= {"mask": f"{SPECIFIC}/pixel_mask", "mask_good": 0}
    if reader.has(CUTOFF) and reader.number(CUTOFF) > 0:
        recipe["saturation"] = reader.number(CUTOFF)
    return recipe


def _frames(reader: Hdf5Reader) -> tuple[str, ...] | str:
    """Return the datasets of the frames, in their order; all of the files have to be there."""
    names = [name for name in reader.members(DATA) if name.startswith("data_")]
    for name in names or ["data"]:
        dataset = reader.dataset(f"{DATA}/{name}")  # which names a file that is missing
        if dataset.ndim != 3:
            raise reader.error(f"{DATA}/{name}", f"expected frames (N, H, W), got shape {dataset.shape}")
    return tuple(f"{DATA}/{name}" for name in names) if names else f"{DATA}/data"


def _recognises(reader: Hdf5Reader) -> bool:
    return reader.has(SPECIFIC) and isinstance(reader.file.get(DATA), h5py.Group)


READERS = (
    Reader(
        "Eiger master",
        "Dectris",
        "raw",
        "frames in all files it links to, energy, distance, pixel, mask, cutoff; no positions",
        _recognises,
        _recipe,
    ),
)
