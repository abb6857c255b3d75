"""The second file of a pair: patterns in one, positions and probe in the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

from ptyxrf.driver.files.file_errors import DamagedFile, FileError
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader, reading

#: Endings of files that may be the other one of a pair.
ENDINGS = (".h5", ".hdf5", ".hdf", ".nxs", ".cxi", ".npz")


def partner_of(path: str | os.PathLike[str], fits: Callable[[Hdf5Reader], bool], what: str) -> Path:
    """Return the file in the same folder that belongs to a file.

    Parameters
    ----------
    path : path-like
    fits : callable
        Whether a file may be it, by what is in it.
    what : str
        For the message.

    Returns
    -------
    Path
        The only one that fits, or of several the one whose name begins like that of the file for longest.

    Raises
    ------
    DamagedFile
        None fits, or several do and none is nearest.
    """
    here = Path(path)
    found = []
    for other in sorted(here.absolute().parent.iterdir()):
        if other.name == here.name or other.suffix.lower() not in ENDINGS or not other.is_file():
            continue
        try:
            with reading(other) as reader:
                if not reader.own and fits(reader):
                    found.append(other)
        except (FileError, OSError):
            continue
    alike = [_alike(other.name, here.name) for other in found]
    if not found or alike.count(max(alike)) > 1:
        names = ", ".join(other.name for other in found) or "none"
        raise DamagedFile(
            path,
            f"expected one file with {what} beside it in its folder, got {names} (ptyxrf prepare takes them "
            "from any file)",
        )
    return found[alike.index(max(alike))]


def _alike(first: str, second: str) -> int:
    """Return how many characters two names have in common at their beginning."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return sum(1 for _ in pairs)
