"""Raw files of beamlines: frames of a whole detector, which `ptyxrf prepare` turns into a scan.

They say neither where the beam hits the detector nor, most of them, how far away it is. They are recognised
here to say so, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NoReturn

from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.readers.reader import Reader

#: Name, where it comes from, datasets that have to be there, and what else `prepare` wants.
RAW = (
    (
        "NanoMAX raw",
        "MAX IV NanoMAX",
        ("/entry/measurement/pseudo/x", "/entry/measurement/pseudo/y"),
        "distance and detector pixel",
    ),
    ("NSLS-II style 1", "NSLS-II", ("/scan/scan_positions",), "distance and detector pixel"),
    (
        "fold_slice positions",
        "fold_slice, PtychoShelves",
        ("/ppX", "/ppY"),
        "the file of /dp and the geometry",
    ),
    ("Eiger master", "Dectris", ("/entry/instrument/detector/detectorSpecific",), "the positions"),
)


def _recognises(places: tuple[str, ...], reader: Hdf5Reader) -> bool:
    return all(reader.has(place) for place in places)


def _refuses(name: str, more: str, reader: Hdf5Reader) -> NoReturn:
    raise reader.error(
        name,
        f"raw data, which are not a scan yet: ptyxrf prepare {reader.path} makes one, with {more} beside it "
        "where the file does not have them",
    )


def _reader(name: str, programs: str, places: tuple[str, ...], more: str) -> Reader:
    recognises: Callable[[Hdf5Reader], bool] = partial(_recognises, places)
    return Reader(
        name, programs, "scan", "nothing: ptyxrf prepare does", recognises, partial(_refuses, name, more)
    )


READERS = tuple(_reader(*entry) for entry in RAW)
