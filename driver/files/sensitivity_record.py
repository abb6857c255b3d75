"""Refined sensitivities in a result file."""

from __future__ import annotations

from dataclasses import fields

from ptyxrf.driver.data.refined_sensitivity import RefinedSensitivity
from ptyxrf.driver.files.cxi import ENTRY
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.hdf5_writer import Hdf5Writer
from ptyxrf.driver.files.quality_record import optional_numbers

PLACES = {one.name: f"{ENTRY}/process_1/sensitivity/{one.name}" for one in fields(RefinedSensitivity)}


def write_sensitivity(writer: Hdf5Writer, sensitivity: RefinedSensitivity | None) -> None:
    """Write refined sensitivities; None: nothing."""
    for name, place in PLACES.items() if sensitivity is not None else ():
        writer.optional(place, getattr(sensitivity, name))


def read_sensitivity(reader: Hdf5Reader, elements: int) -> RefinedSensitivity | None:
    """Return what `write_sensitivity` wrote; None where the file never had it.

    Raises
    ------
    ValueError
        Naming file and dataset if something is missing or damaged.
    """
    if reader.optional_dataset(PLACES["values"]) is None:
        return None
    found = {}
    for name, place in PLACES.items():
        values = optional_numbers(reader, place, 1)
        if values is None or len(values) != elements or not (values > 0).all():
            raise reader.error(place, f"expected a positive number for each of {elements} elements")
        found[name] = values
    return RefinedSensitivity(**found)
