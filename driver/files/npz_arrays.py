"""Arrays of NPZ files: mapped into memory where they are not compressed, or shown as an HDF5 file."""

from __future__ import annotations

import io
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.lazy_arrays import LazyArray
from ptyxrf.driver.files.file_errors import DamagedFile

#: Bytes from which a stack of frames, or all other arrays together, are not read to be shown as HDF5.
LARGE_STACK, LARGE = 1 << 24, 1 << 28
#: Bytes of a compressed array, which is unpacked whole.
MOST_UNPACKED = 1 << 31
#: Driver of HDF5 of what is shown.
IN_MEMORY = "fileobj"
#: What zipfile and NumPy raise on damaged archives: in their tables, in compressed values, in headers.
NOT_NPZ = (
    ValueError, TypeError, OSError, EOFError, KeyError, OverflowError, RuntimeError, MemoryError, SyntaxError,
    struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError,
)  # fmt: skip


def is_npz(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as a ZIP archive does."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def header(archive: zipfile.ZipFile, key: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype of an array of an archive, without reading its values."""
    with archive.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(member)
        return shape, dtype


def mapped(path: str | os.PathLike[str], info: zipfile.ZipInfo) -> NDArray[Any] | None:
    """Return an uncompressed array of an archive without reading it, or None where its header is unusual."""
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with open(path, "rb") as file:
        file.seek(info.header_offset + 26)  # lengths of name and extra field in the local header
        lengths = np.frombuffer(file.read(4), "<u2")
        file.seek(info.header_offset + 30 + int(lengths.sum()))
        if np.lib.format.read_magic(file) != (1, 0):
            return None
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(
            path, dtype, "r", file.tell(), shape, order="F" if fortran else "C"
        )  # checks that the file is long enough


class NpzArray(LazyArray):
    """An array of an NPZ file, read as it is sliced; a compressed one is read whole at first use.

    Parameters
    ----------
    path : path-like
    key : str

    Attributes
    ----------
    path, key
        As given.
    label : str
        File and array, for messages.
    shape : tuple of int
    dtype : dtype
    """

    def __init__(self, path: str | os.PathLike[str], key: str) -> None:
        self.path, self.key = Path(path), key
        self.label = f"{path}: {key}"
        try:
            with zipfile.ZipFile(self.path) as archive:
                self.shape, self.dtype = header(archive, key)
        except NOT_NPZ as error:
            raise DamagedFile(self.path, f"cannot be read ({error})", key) from error

    @cached_property
    def _values(self) -> NDArray[Any]:
        try:
            with zipfile.ZipFile(self.path) as archive, np.load(self.path, allow_pickle=False) as arrays:
                info = archive.getinfo(f"{self.key}.npy")
                there = mapped(self.path, info)
                if there is None and info.file_size > MOST_UNPACKED:
                    raise ValueError(
                        f"{info.file_size / 1e9:.3g} GB, compressed: numpy.savez writes what is read in parts"
                    )
                return arrays[self.key] if there is None else there
        except NOT_NPZ as error:
            raise DamagedFile(self.path, f"cannot be read ({error})", self.key) from error

    def __getstate__(self) -> dict[str, Any]:
        """Other ranks open the file themselves."""
        return {name: value for name, value in self.__dict__.items() if name != "_values"}

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.array(self._values[key])


@contextmanager
def shown_as_hdf5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Show the arrays of an NPZ file as datasets of an HDF5 file in memory; large ones have no values.

    Raises
    ------
    DamagedFile
        It is no NPZ file of numbers and texts, or damaged.
    """
    room = LARGE
    with h5py.File(io.BytesIO(), "w") as file:
        try:
            with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as arrays:
                for key in arrays.files:
                    shape, dtype = header(archive, key)
                    stack = len(shape) > 2 and dtype.kind != "c"
                    size = archive.getinfo(f"{key}.npy").file_size
                    if size > (LARGE_STACK if stack else room):
                        file.create_dataset(key, shape, dtype, chunks=True)  # which takes no memory
                    else:
                        room -= size
                        values = arrays[key]
                        file[key] = np.char.encode(values, "utf-8") if dtype.kind == "U" else values
        except NOT_NPZ as error:
            raise DamagedFile(
                path, f"not an HDF5 file but a ZIP archive, and no whole .npz file of numbers ({error})"
            ) from error
        yield file
