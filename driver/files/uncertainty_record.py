"""The standard deviations of a result in its file."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptyxrf.driver.data.deviations import Deviations
from ptyxrf.driver.files.cxi import ENTRY
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.hdf5_writer import Hdf5Writer
from ptyxrf.driver.files.quality_record import one_number, optional_numbers

UNCERTAINTY = f"{ENTRY}/uncertainty_1"
#: Dimensions of each array that there may be.
ARRAYS = {
    "amplitude": 2,
    "phase": 2,
    "elements": 3,
    "matrix": 2,
    "probe": 3,
    "positions": 2,
    "intensities": 1,
    "pattern_background": 2,
}
COUNTS, NUMBERS = ("samples", "products", "iterations"), ("residual", "unsolved", "moved")
UNITS = {"phase": "rad", "positions": "pixel"}


def write_uncertainty(writer: Hdf5Writer, found: Deviations | None) -> None:
    """Write standard deviations; None: nothing."""
    if found is None:
        return
    writer.group(UNCERTAINTY, "NXdata", signal="elements" if found.phase is None else "phase")
    writer.text(f"{UNCERTAINTY}/meaning", found.meaning)
    writer.note_optional(f"{UNCERTAINTY}/meaning")
    for name in COUNTS:
        writer.scalar(f"{UNCERTAINTY}/{name}", np.int64(getattr(found, name)))
    for name in (*NUMBERS, "sampling_error"):
        writer.scalar(f"{UNCERTAINTY}/{name}", np.float64(getattr(found, name)))
    for name, values in found.arrays.items():
        attributes: dict[str, Any] = {"units": UNITS[name]} if name in UNITS else {}
        if ARRAYS[name] > 1 and name != "positions":
            attributes["interpretation"] = "image"
        writer.optional(f"{UNCERTAINTY}/{name}", values, **attributes)


def read_uncertainty(reader: Hdf5Reader) -> Deviations | None:
    """Return what `write_uncertainty` wrote; None where the file never had it.

    Raises
    ------
    ValueError
        Naming file and dataset if something is missing or damaged.
    """
    if reader.optional_dataset(f"{UNCERTAINTY}/meaning") is None:
        return None
    facts: dict[str, Any] = {name: int(one_number(reader, f"{UNCERTAINTY}/{name}", "i")) for name in COUNTS}
    facts |= {name: float(one_number(reader, f"{UNCERTAINTY}/{name}", "f")) for name in NUMBERS}
    facts |= {name: optional_numbers(reader, f"{UNCERTAINTY}/{name}", ndim) for name, ndim in ARRAYS.items()}
    return Deviations(meaning=reader.text(f"{UNCERTAINTY}/meaning"), **facts)
