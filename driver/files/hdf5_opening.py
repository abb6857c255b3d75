"""Opening HDF5 files: what can be wrong with one before anything in it is read."""

from __future__ import annotations

import errno
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py

from ptyxrf.driver.files.confinement import leads_out
from ptyxrf.driver.files.file_errors import NO_LOCKS, DamagedFile, FileError, require_file

#: What h5py raises on files that are damaged, by where the damage is.
READ_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError)

#: What is wrong with a file that cannot be opened, or is truncated while it is open.
UNREADABLE = "not an HDF5 file, or a truncated or unreadable one"

#: Errors of a file that another process has locked.
LOCKED = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)

#: The first bytes of files that are not HDF5, and what these are.
OTHER_FILES = {
    b"PK\x03\x04": "a ZIP archive, as NumPy's .npz is",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"CDF\x01": "a netCDF file (version 3)",
    b"CDF\x02": "a netCDF file (version 3)",
    b"MATLAB 5.0": "a MATLAB file older than version 7.3",
    b"BZh": "a file compressed with bzip2",
    b"\x1f\x8b": "a file compressed with gzip",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"{\n": "an EDF file or text",
    b"#S ": "a SPEC file",
    b"#F ": "a SPEC file",
}


def opened(path: str | os.PathLike[str], **options: Any) -> h5py.File:
    """Open an HDF5 file for reading as ``h5py.File`` does, without a lock where there are none."""
    try:
        return h5py.File(path, "r", **options)
    except OSError as error:
        # the second: it is open already, without a lock
        if error.errno not in NO_LOCKS and "locking flag" not in str(error):
            raise
    return h5py.File(path, "r", locking=False, **options)


def open_file(path: str | os.PathLike[str]) -> h5py.File:
    """Open an HDF5 file for reading, even while an acquisition appends to it (SWMR).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        It is not an HDF5 file, or it cannot be read.
    FileError
        Another process is writing it.
    """
    require_file(path, "an HDF5 file")
    if os.path.islink(path) and leads_out(path, Path(path).parent):
        raise DamagedFile(path, "is a link to what is no file in its folder")
    try:
        return opened(path)
    except READ_ERRORS as error:
        # asked only now: HDF5 says it in many ways that a file disappears while it opens it
        if not Path(path).exists():
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from error
        failure = error
    if getattr(failure, "errno", None) not in LOCKED and "already open for write" not in str(failure):
        raise DamagedFile(path, f"{_kind(path)} ({failure})") from failure
    try:
        return h5py.File(path, "r", swmr=True)  # the writer has to be in that mode, too
    except READ_ERRORS:
        raise FileError(
            path,
            "another process has it open for writing: close it there (HDF5_USE_FILE_LOCKING=FALSE reads it "
            f"all the same, at the risk of values that are half written; {failure})",
        ) from failure


def _kind(path: str | os.PathLike[str]) -> str:
    """Return what a file is that cannot be opened as HDF5."""
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError:
        return UNREADABLE
    for signature, what in OTHER_FILES.items():
        if start.startswith(signature):
            return f"not an HDF5 file but {what}"
    return UNREADABLE


def missing_filter(dataset: h5py.Dataset) -> str:
    """Return which compression of a dataset cannot be undone here, and what to do; empty where all can.

    The filters of hdf5plugin (bitshuffle, LZ4, Blosc, Zstandard, ...) are loaded where a dataset needs them.
    """
    if dataset.is_virtual:  # HDF5 opens the sources, whose filters are not known here
        _load_filters()
        return ""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    unknown = [entry for entry in filters if not h5py.h5z.filter_avail(entry[0])]
    if not unknown:
        return ""
    there = _load_filters()
    unknown = [entry for entry in unknown if not h5py.h5z.filter_avail(entry[0])]
    names = ", ".join(f"filter {code} ({_name(name)})" for code, _, _, name in unknown)
    advice = "which hdf5plugin does not have: repack the file with h5repack where the filter is installed"
    return names and f"is compressed with {names}, {advice if there else 'install hdf5plugin to read it'}"


def _name(name: Any) -> str:
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return text.split(";")[0].strip() or "without a name"


def _load_filters() -> bool:
    """Register the filters of hdf5plugin with HDF5, and return whether it is installed."""
    try:
        import_module("hdf5plugin")
    except ImportError:
        return False
    return True
