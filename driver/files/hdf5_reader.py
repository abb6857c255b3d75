"""Reading HDF5 files, with errors that name the file and the dataset."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptyxrf.driver.data.machine_memory import machine_memory
from ptyxrf.driver.files.chunks import read_values
from ptyxrf.driver.files.cxi import ENTRY, FORMAT, placed
from ptyxrf.driver.files.file_errors import DamagedFile, FileError
from ptyxrf.driver.files.hdf5_opening import READ_ERRORS, UNREADABLE, missing_filter, open_file
from ptyxrf.driver.files.npz_arrays import IN_MEMORY, is_npz, shown_as_hdf5
from ptyxrf.driver.files.pointers import link_problem, source_problem

#: Values of an array that is read whole, where nothing tells how many there may be: from a file of another
#: program (32 MB of float64), and of a probe or a stack of maps (2 GB).
MOST_VALUES, MOST_IMAGE_VALUES = 1 << 22, 1 << 28
#: No compressor of HDF5's own makes more than this of a byte of a file; with so much to spare, a dataset that
#: claims more holds nothing.
MOST_EXPANSION, SPARE_BYTES = 1100, 1 << 20


class Hdf5Reader:
    """An HDF5 file being read, with errors that name the file and the dataset.

    Parameters
    ----------
    path : path-like
        For messages.
    file : h5py.File
        Open for reading.

    Attributes
    ----------
    own : bool
        Whether the file was written by this package.
    """

    def __init__(self, path: str | os.PathLike[str], file: h5py.File) -> None:
        self.path = path
        self.file = file
        self._root = ENTRY
        self._room = [machine_memory()]  # shared by readers of the same file
        self.own = "ptyxrf_format" in file.attrs
        self._optional: frozenset[str] = frozenset()
        if self.own:
            version = file.attrs["ptyxrf_format"]
            if not isinstance(version, int | np.integer):
                raise self.error("ptyxrf_format", f"expected an integer, got {version!r}")
            if version > FORMAT:
                raise DamagedFile(
                    path, f"written by a later version of ptyxrf (format {version}, known is {FORMAT})"
                )
            names = np.ravel(self.group(ENTRY).attrs["optional_datasets"]).tolist()
            self._optional = frozenset(name.decode() if isinstance(name, bytes) else name for name in names)

    def within(self, root: str) -> Hdf5Reader:
        """Return a reader of the same file whose entry is another group: see `Hdf5Writer.within`."""
        inner = copy.copy(self)
        inner._root = root
        return inner

    def at(self, name: str) -> str:
        """Return the place in the file of a name below the entry."""
        return placed(name, self._root)

    def error(self, name: str, problem: str) -> DamagedFile:
        """Return (not raise) the error that says what is wrong with a dataset."""
        return DamagedFile(self.path, problem, self.at(name))

    def has(self, name: str) -> bool:
        """Return whether there is a dataset or group of that name; a dangling link does not count."""
        try:
            problem = link_problem(self.file, self.at(name))
            there = not problem and self.file.get(self.at(name)) is not None
        except READ_ERRORS as error:
            raise self.error(name, f"cannot be read ({error})") from error
        if problem:
            raise self.error(name, problem)
        return there

    def group(self, name: str) -> h5py.Group:
        """Return a group that has to be there."""
        if not self.has(name) or not isinstance(self.file[self.at(name)], h5py.Group):
            raise self.error(name, "no such group in the file")
        return self.file[self.at(name)]

    def members(self, name: str) -> list[str]:
        """Return the names in a group that has to be there, in order, without those that are no UTF-8."""
        return sorted(member for member in self.group(name) if isinstance(member, str))

    def dataset(self, name: str) -> h5py.Dataset:
        """Return a dataset that has to be there, with numbers or texts in it."""
        if not self.has(name):
            raise self.error(name, f"no such dataset in the file{self._broken_link(name)}")
        dataset = self.file[self.at(name)]
        if not isinstance(dataset, h5py.Dataset):
            raise self.error(name, "no such dataset in the file: there is a group of that name")
        try:
            self._check_values(name, dataset)
        except DamagedFile:
            raise
        except READ_ERRORS as error:
            raise self.error(name, f"cannot be read, the file is damaged ({error})") from error
        return dataset

    def _broken_link(self, name: str) -> str:
        """Return the target of a dangling link, for a message; empty without a link."""
        link = self.file.get(self.at(name), getlink=True)
        if isinstance(link, h5py.ExternalLink):
            return f": it is a link to {link.path} in {link.filename}, which cannot be opened"
        return f": it is a link to {link.path}" if isinstance(link, h5py.SoftLink) else ""

    def _check_values(self, name: str, dataset: h5py.Dataset) -> None:
        """Refuse datasets without numbers or texts, and those whose values were never written."""
        dtype = dataset.dtype
        if dataset.shape is None:
            raise self.error(name, "has no values")
        texts = h5py.check_string_dtype(dtype) is not None
        if dtype.kind not in "fciubS" and not texts and complex_members(dtype) is None:
            raise self.error(name, f"expected numbers or texts, got {dtype}")
        if problem := missing_filter(dataset):
            raise self.error(name, problem)
        if problem := source_problem(dataset):
            raise self.error(name, problem)
        if dataset.is_virtual or dataset.external:
            return  # HDF5 says itself that a raw file is missing
        if dataset.size and not dataset.id.get_storage_size() and not _has_fill_value(dataset):
            raise self.error(name, "no values were ever written")
        if self.own and dataset.chunks and dataset.size:
            wanted = math.prod(
                -(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True)
            )
            if dataset.id.get_num_chunks() < wanted:
                raise self.error(name, "some of its values were never written")

    def array(self, name: str, most: int | None = None) -> Any:
        """Return all values of a dataset, checked against their checksums.

        More than `most` are refused before there is memory for them (default: `MOST_VALUES` in a file of
        another program), and so is what does not fit into this machine with all that was read before.
        """
        dataset = self.dataset(name)
        if most is None and not self.own:
            most = MOST_VALUES
        if most is not None and dataset.size > most:
            raise self.error(name, f"expected at most {most} values, got the shape {dataset.shape}")
        try:
            self.check_size(name, dataset)
            self._room[0] -= self.require_memory(name, dataset.shape, dataset.dtype)
            return as_complex(read_values(dataset))
        except DamagedFile:
            raise
        except READ_ERRORS as error:
            raise self.error(name, f"cannot be read, the file is damaged or truncated ({error})") from error

    def check_size(self, name: str, dataset: h5py.Dataset) -> None:
        """Refuse a dataset whose claimed size cannot be in the file, before memory is allocated."""
        if dataset.is_virtual or dataset.external or dataset.file.driver == IN_MEMORY:
            return
        there = Path(dataset.file.filename).stat().st_size
        if dataset.nbytes > MOST_EXPANSION * there + SPARE_BYTES:
            raise self.error(
                name,
                f"has the shape {dataset.shape}, {dataset.nbytes / 1e6:.3g} MB, which cannot be in a file of "
                f"{there / 1e6:.3g} MB",
            )

    def require_memory(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> int:
        """Return the bytes of an array; refuse one that this machine cannot hold beside what was read."""
        size = math.prod(shape) * dtype.itemsize
        if size > self._room[0]:
            raise self.error(
                name,
                f"has the shape {shape}, {size / 1e9:.3g} GB, which with the rest of the file is more than "
                f"the {machine_memory() / 1e9:.3g} GB of memory of this machine",
            )
        return size

    def optional_dataset(self, name: str) -> h5py.Dataset | None:
        """Return a dataset, or None where the file never had it; a link that leads nowhere is an error."""
        known = self.at(name) in self._optional or self.has(name) or self._broken_link(name)
        return self.dataset(name) if known else None

    def optional(self, name: str, most: int | None = None) -> Any:
        """Return the values of a dataset, or None where the file never had it; see `array`."""
        return None if self.optional_dataset(name) is None else self.array(name, most)

    def number(self, name: str) -> float:
        """Return a dataset that holds one number (or one and the same for each pattern)."""
        values = np.ravel(self.array(name))
        if values.size == 0 or values.dtype.kind not in "fiu":
            raise self.error(name, f"expected a number, got {values.dtype} of shape {values.shape}")
        if not np.allclose(values, values[0], rtol=1e-6, atol=0):
            raise self.error(name, f"expected one number, got values from {values.min()} to {values.max()}")
        return float(values[0])

    def unit(self, name: str) -> str:
        """Return the unit that the attributes of a dataset give; empty without one."""
        dataset = self.dataset(name)
        for value in (dataset.attrs.get("units"), dataset.attrs.get("unit")):
            if isinstance(value, np.ndarray) and value.size == 1:
                value = value.ravel()[0]
            if isinstance(value, bytes | str) and value:
                return value.decode(errors="replace") if isinstance(value, bytes) else value
        return ""

    def text(self, name: str) -> str:
        """Return a dataset that holds a string."""
        value = self.array(name)
        if not isinstance(value, bytes):
            raise self.error(name, f"expected a string, got {type(value).__name__}")
        return self._decoded(name, value)

    def texts(self, name: str, most: int | None = None) -> list[str]:
        """Return a dataset that holds a list of strings, without the blanks that fill up fixed lengths."""
        values = np.ravel(self.array(name, most)).tolist()
        if not all(isinstance(value, bytes) for value in values):
            raise self.error(name, "expected strings")
        return [self._decoded(name, value).strip() for value in values]

    def label(self, name: str) -> str:
        """Return a text that nothing depends on, such as a title, as far as it can be read."""
        dataset = None if link_problem(self.file, name) else self.file.get(name)
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.size != 1:
            return ""
        value = np.ravel(read_values(dataset))[0]
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    def _decoded(self, name: str, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise self.error(name, f"expected text in UTF-8, got {value!r}") from None


def complex_members(dtype: np.dtype) -> tuple[str, str] | None:
    """Return the members of a compound of real and imaginary part, as MATLAB writes complex numbers."""
    names = dtype.names
    if names is None or len(names) != 2 or any(dtype[name].kind != "f" for name in names):
        return None
    first, second = names
    return names if first.lower() in ("r", "re", "real") and second.lower() in ("i", "im", "imag") else None


def as_complex(values: Any) -> Any:
    """Return compounds of real and imaginary part as complex numbers, and anything else as it is."""
    members = complex_members(values.dtype) if isinstance(values, np.ndarray | np.void) else None
    return values if members is None else values[members[0]] + 1j * values[members[1]]


def _has_fill_value(dataset: h5py.Dataset) -> bool:
    """Return whether the dataset has a fill value that the program which wrote it has set."""
    return dataset.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[Hdf5Reader]:
    """Open an HDF5 file for reading, or show an NPZ file as one.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    Hdf5Reader
        For the body to read from; closed afterwards.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        The file is not HDF5, is damaged, or lacks something; or it is truncated, even while it is open. Other
        ValueErrors of the body become this error.
    FileError
        Another process is writing the file.
    """
    with shown_as_hdf5(path) if is_npz(path) else open_file(path) as file:
        try:
            yield Hdf5Reader(path, file)
        except (FileError, FileNotFoundError):
            raise  # also of arrays that open the file again
        except ValueError as error:
            raise DamagedFile(path, str(error)) from error
        except (OSError, KeyError, RuntimeError) as error:
            # Attributes and object headers are read all over; what fails there has no dataset to name.
            raise DamagedFile(path, f"the file is damaged or truncated ({error})") from error
        finally:
            # beyond the end of a file HDF5 reads zeros, or finds no link where there was one
            on_disk = file.driver != IN_MEMORY
            if on_disk and os.fstat(file.id.get_vfd_handle()).st_size < file.id.get_filesize():
                raise DamagedFile(path, f"{UNREADABLE} (it became shorter while it was open)")
