"""Arrays of NPZ files: mapped into memory, unpacked row by row, or shown as an HDF5 file."""

from __future__ import annotations

import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.lazy_arrays import LazyRows
from ptyxrf.driver.files.file_errors import DamagedFile

#: Bytes from which a stack of frames, or all other arrays together, are not read to be shown as HDF5.
LARGE_STACK, LARGE = 1 << 24, 1 << 28
#: Bytes of a compressed array that is unpacked whole, as its rows do not follow each other.
MOST_UNPACKED = 1 << 31
#: Bytes that are unpacked at a time where none of them are wanted.
PIECE = 1 << 20
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


def read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an array; return its shape, whether columns come first, and its dtype."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(member)


def header(archive: zipfile.ZipFile, key: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return what `read_header` does of an array of an archive."""
    with archive.open(f"{key}.npy") as member:
        return read_header(member)


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


class _Unpacked:
    """Rows of a compressed array of an archive, unpacked one after the other and again from the first.

    Parameters
    ----------
    path : Path
    name : str
        Of the member. It is unpacked once to see that it is whole and that its checksum fits.

    Raises
    ------
    ValueError
        It is not as long as its header says.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            shape, _, dtype = read_header(member)
            there, claimed = 0, math.prod(shape) * dtype.itemsize
            while piece := member.read(PIECE):
                there += len(piece)
        if there != claimed:
            raise ValueError(f"{there / 1e6:.3g} MB of values, where the header says {claimed / 1e6:.3g} MB")
        self._begin()

    def _begin(self) -> None:
        with zipfile.ZipFile(self._path) as archive:
            self._member = archive.open(self._name)
        (_, *self._row), _, self._dtype = read_header(self._member)
        self._next = 0

    def rows(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows by increasing indices; those between them are unpacked and dropped."""
        block = np.empty((len(indices), *self._row), self._dtype)
        size = math.prod(self._row) * self._dtype.itemsize
        if len(indices) and indices[0] < self._next:
            self._begin()
        for b, index in enumerate(indices.tolist()):
            skipped = (index - self._next) * size
            for start in range(0, skipped, PIECE):
                self._member.read(min(PIECE, skipped - start))
            values = self._member.read(size)
            block[b] = np.frombuffer(values, self._dtype).reshape(self._row)
            self._next = index + 1
        return block


class NpzArray(LazyRows):
    """An array of an NPZ file, read as it is sliced; a compressed one is unpacked anew in each pass over it.

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
        with self._explained(), zipfile.ZipFile(self.path) as archive:
            self.shape, self._columns_first, self.dtype = header(archive, key)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Name file and array where the archive is damaged."""
        try:
            yield
        except NOT_NPZ as error:
            raise DamagedFile(self.path, f"cannot be read ({error})", self.key) from error

    @cached_property
    def _values(self) -> NDArray[Any] | None:
        """The array: mapped, or read whole where its rows do not follow each other; None where they do."""
        with zipfile.ZipFile(self.path) as archive, np.load(self.path, allow_pickle=False) as arrays:
            info = archive.getinfo(f"{self.key}.npy")
            there = mapped(self.path, info)
            if there is not None or (self.shape and not self._columns_first):
                return there
            if info.file_size > MOST_UNPACKED:
                raise ValueError(
                    f"{info.file_size / 1e9:.3g} GB, compressed column by column: rows can be read in parts"
                )
            return arrays[self.key]

    @cached_property
    def _unpacked(self) -> _Unpacked:
        return _Unpacked(self.path, f"{self.key}.npy")

    def __getstate__(self) -> dict[str, Any]:
        """Other ranks open the file themselves."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_values", "_unpacked")}

    def _read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        with self._explained():
            return self._unpacked.rows(indices)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        with self._explained():
            values = self._values
        return super().__getitem__(key) if values is None else np.array(values[key])


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
                    shape, _, dtype = header(archive, key)
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
