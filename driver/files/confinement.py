"""A mode for services, which read files of people whom they do not know."""

from __future__ import annotations

import os
from pathlib import Path

_confined = False


def confine() -> None:
    """Let nothing in a file lead this process out of the folder of the file, or to code; it cannot be undone.

    From now on files are refused that are links, hold links or have virtual or raw data out of their folder,
    and so are those of compressors that do not say how much a chunk holds. Readers of other packages (entry
    points ``ptyxrf.readers``) and filters of HDF5 in its folders of plug-ins (``HDF5_PLUGIN_PATH``) are not
    loaded; those of hdf5plugin are.

    Notes
    -----
    Each rank calls it. Who can change the folder while its files are read can change what is in them.
    """
    global _confined
    import h5py

    _confined = True
    while h5py.h5pl.size():
        h5py.h5pl.remove(0)


def is_confined() -> bool:
    """Return whether `confine` was called."""
    return _confined


def leads_out(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Return whether this process may not read what a file in a folder names.

    Parameters
    ----------
    path : path-like
        What is named. HDF5 looks elsewhere for what is not there.
    folder : path-like
        Of the file.
    """
    there = Path(os.path.realpath(path))
    return _confined and not (there.is_relative_to(os.path.realpath(folder)) and there.is_file())
