"""Which readers there are, and which of them reads a file."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

import h5py

from ptyxrf.driver.files.confinement import is_confined
from ptyxrf.driver.files.file_errors import DamagedFile
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.readers import (
    cxi_scan,
    eiger,
    fold_slice,
    hxn,
    maps,
    nanomax,
    nsls2_style1,
    pattern_pairs,
    ptychodus,
    ptychodus_cxi,
    ptypy,
    pymca,
    pyxrf,
)
from ptyxrf.driver.files.readers.reader import Reader

#: Entry points of other packages that add readers.
ENTRY_POINTS = "ptyxrf.readers"
#: Readers of this package, the narrower formats first.
OWN = (
    *maps.READERS,
    *pyxrf.READERS,
    *pymca.READERS,
    *nanomax.READERS,
    *nsls2_style1.READERS,
    *eiger.READERS,
    *hxn.READERS,
    *ptypy.READERS,
    *ptychodus.READERS,
    *ptychodus_cxi.READERS,
    *fold_slice.READERS,
    *pattern_pairs.READERS,
    *cxi_scan.READERS,
)


def readers() -> tuple[Reader, ...]:
    """Return all readers: those of other packages first, so that they can replace one.

    Raises
    ------
    ValueError
        An entry point leads to something else.
    """
    return OWN if is_confined() else (*added_readers(), *OWN)


@cache
def added_readers() -> tuple[Reader, ...]:
    """Return the readers of other packages; see `readers`."""
    added = []
    for entry in entry_points(group=ENTRY_POINTS):
        reader = entry.load()
        if not isinstance(reader, Reader):
            raise ValueError(f"{entry.value}: expected a Reader, got {type(reader).__name__}")
        added.append(reader)
    return tuple(added)


def reader_of(file: Hdf5Reader, kind: Literal["scan", "maps"]) -> Reader:
    """Return the reader of a file.

    Raises
    ------
    DamagedFile
        There is none: with what the file is instead, what is in it, and what to do.
    """
    fitting = [reader for reader in readers() if reader.recognises(file)]
    for reader in fitting:
        if reader.kind == kind:
            return reader
        if reader.kind == "raw":
            raise file.error(reader.name, _next_step(reader.reads(file), file))
    names = ", ".join(reader.name for reader in readers() if reader.kind == kind)
    if fitting:
        what = "a scan" if kind == "scan" else "fluorescence maps"
        got = "ptyxrf" if file.own else fitting[0].name
        raise DamagedFile(file.path, f"expected {what} ({names}), got a file of {got}")
    step = "ptyxrf prepare takes patterns, positions and maps from any datasets" if kind == "scan" else ""
    step = step or "ptyxrf prepare takes maps from any dataset"
    raise DamagedFile(
        file.path, f"none of the known formats ({names}); it has {_contents(file)}. {step}: see its help"
    )


def _next_step(recipe: dict[str, Any], file: Hdf5Reader) -> str:
    """Return what to do with a raw file, which has what a recipe says."""
    positions = "" if {"rows", "positions"} & set(recipe) else " POSITIONS"
    wanted = [name for name in ("energy", "distance", "detector_pixel") if recipe.get(name) is None]
    flags = "".join(f" --{name.replace('_', '-')} ..." for name in wanted)
    return f"raw data, which are not a scan yet: ptyxrf prepare {file.path}{positions}{flags} makes one"


def is_maps(file: Hdf5Reader) -> bool:
    """Return whether a file holds fluorescence maps and no patterns."""
    kinds = [reader.kind for reader in readers() if reader.recognises(file)]
    return "maps" in kinds and "scan" not in kinds


def _contents(file: Hdf5Reader) -> str:
    """Return the names at the top of a file, and its largest dataset."""
    largest: list[tuple[int, str]] = []

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset) and item.shape:
            largest.append((item.size, f"/{name} {item.shape}"))

    file.file.visititems(visit)
    top = ", ".join(file.members("/")[:8]) or "nothing"
    return top + (f"; its largest dataset is {max(largest)[1]}" if largest else "")
