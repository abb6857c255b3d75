"""Files of any kind as named arrays, which are read when they are sliced.

HDF5 (datasets and attributes), NPZ and NPY, TIFF, and tables of text. Large arrays stay in their file.
"""

from __future__ import annotations

import errno
import math
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from glob import glob
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.chunks import read_values
from ptyxrf.driver.files.file_errors import DamagedFile
from ptyxrf.driver.files.hdf5_reader import MOST_IMAGE_VALUES, MOST_VALUES, READ_ERRORS, reading
from ptyxrf.driver.files.npz_arrays import NOT_NPZ, NpzArray
from ptyxrf.driver.files.stored_array import StoredArray
from ptyxrf.driver.preparation.quantities import Reference

#: Attributes of HDF5 objects that may be data; longer ones are not.
LONGEST_ATTRIBUTE = 16


@dataclass(frozen=True)
class NamedArray:
    """An array of a file.

    Attributes
    ----------
    path : Path
    key : str
        Its name in the file; the name of the file where that holds one array.
    values : array or lazy source
    unit : str or None
        What the file says.
    parts : sequence of NamedArray
        The arrays that follow each other in it; empty for a single one.
    """

    path: Path
    key: str
    values: Any
    unit: str | None = None
    parts: Sequence[NamedArray] = ()

    @property
    def reference(self) -> str:
        """How a recipe names it, or the first of its parts."""
        return f"{self.path}::{self.key}"

    @property
    def references(self) -> str | list[str]:
        """How a recipe names it or its parts."""
        return [one.reference for one in self.parts] or self.reference

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return tuple(self.values.shape)

    def read(self) -> NDArray[Any]:
        """Return all values; more than a stack of maps has are refused."""
        if math.prod(self.shape) > MOST_IMAGE_VALUES:
            raise ValueError(
                f"{self.reference}: expected at most {MOST_IMAGE_VALUES} values, got the shape {self.shape}"
            )
        return np.asarray(self.values[...] if self.values.shape else self.values)


@dataclass
class InputFiles:
    """The files of a preparation, and the arrays in them.

    Parameters
    ----------
    paths : sequence of path-like
        Patterns such as ``scan/*.tif`` are several files.
    """

    paths: Sequence[str | os.PathLike[str]]
    _arrays: dict[Path, list[NamedArray]] = field(default_factory=dict)
    _registered: dict[Path, list[NamedArray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.paths = [path for given in self.paths for path in matching(given)]

    def arrays(self) -> Iterator[NamedArray]:
        """Yield all arrays of all files."""
        for path in self.paths:
            yield from self._of(Path(path))

    def _of(self, path: Path) -> list[NamedArray]:
        if path not in self._arrays:
            self._arrays[path] = list(arrays_of(path))
        return self._arrays[path]

    def register(self, path: Path, arrays: list[NamedArray]) -> None:
        """Add arrays that a recipe may name, but that are not looked at where it names none."""
        self._registered[path] = arrays

    def find(self, setting: str, text: str) -> NamedArray:
        """Return the array that a reference of a recipe names.

        Parameters
        ----------
        setting : str
            For the message.
        text : str
            ``[FILE::]KEY [in UNIT]``, or a file that holds one array.

        Raises
        ------
        ValueError
            There is none, with the names that are there.
        """
        reference = Reference.of(text)
        key = reference.key.strip("/")
        files = self.paths if reference.file is None else matching(reference.file)
        there: list[str] = []
        for path in files:
            registered = self._registered.get(Path(path), [])
            for array in (*registered, *self._of(Path(path)), *_by_another_name(Path(path), key)):
                if array.key.strip("/") == key:
                    return with_unit(array, reference.unit)
                there.append(array.key)
        if reference.file is None and glob(os.path.expanduser(key)):
            arrays = [one for path in matching(key) for one in self._of(Path(path))]
            if len(arrays) == 1:
                return with_unit(arrays[0], reference.unit)
            if arrays and len({one.shape[-2:] for one in arrays}) == 1 and len(matching(key)) > 1:
                return with_unit(series(arrays), reference.unit)
            there = [one.key for one in arrays]
        raise ValueError(
            f"{setting}: expected the name of an array, got {text!r}; there are {', '.join(there[:40])}"
        )


def _by_another_name(path: Path, key: str) -> Iterator[NamedArray]:
    """Yield the dataset of an HDF5 file that another of its names has led to already."""
    if not h5py.is_hdf5(path):
        return
    with reading(path) as reader:
        item = reader.file.get(key) if key and reader.has(f"/{key}") else None
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            yield NamedArray(path, key, _stored(path, key, item), _unit(item))


def with_unit(array: NamedArray, unit: str | None) -> NamedArray:
    """Return an array with the unit that a recipe gives, or with its own."""
    return array if unit is None else replace(array, unit=unit)


def natural(path: Any) -> list[Any]:
    """Return a key that sorts numbers in names by value."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


def matching(given: str | os.PathLike[str]) -> list[Path]:
    """Return the files that a path, or a pattern of paths, names, sorted by the numbers in them."""
    text = os.path.expanduser(os.fspath(given))
    if Path(text).exists():
        return [Path(text)]
    found = sorted(glob(text), key=natural)
    if not found:
        raise FileNotFoundError(errno.ENOENT, "no such file", text)
    return [Path(one) for one in found]


class Series:
    """Arrays of one frame shape after each other, as one (N, rows, columns) source."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = parts
        lengths = [part.shape[0] if len(part.shape) == 3 else 1 for part in parts]
        self._ends = np.cumsum(lengths)
        self.shape = (int(self._ends[-1]), *(int(size) for size in parts[0].shape[-2:]))
        self.dtype = np.dtype(parts[0].dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if key is Ellipsis:
            key = slice(None)
        wanted = np.arange(self.shape[0])[key]
        if wanted.ndim == 0:
            return self[int(wanted) : int(wanted) + 1][0]
        block = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        part = np.searchsorted(self._ends, wanted, side="right")
        for k in np.unique(part):
            here = np.flatnonzero(part == k)
            local = wanted[here] - (self._ends[k - 1] if k else 0)
            source = self.parts[k]
            if len(source.shape) == 2:
                block[here] = source[...]
            else:
                block[here] = rows_of(source, local)
        return block


def rows_of(source: Any, indices: NDArray[Any]) -> NDArray[Any]:
    """Return entries of a lazy source by increasing indices; a run of them is read as one slice."""
    first, last = int(indices[0]), int(indices[-1]) + 1
    if last - first == len(indices):
        return np.asarray(source[first:last])
    return np.asarray(source[indices.tolist()])


def series(arrays: Sequence[NamedArray]) -> NamedArray:
    """Return arrays of frames as one."""
    parts = Series([one.values for one in arrays])
    return NamedArray(arrays[0].path, arrays[0].key, parts, parts=tuple(arrays))


def arrays_of(path: Path) -> Iterator[NamedArray]:
    """Yield the arrays of a file of any kind, found by its first bytes.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        It is none of these kinds, or damaged.
    """
    with open(path, "rb") as file:
        start = file.read(8)
    if start == b"\x89HDF\r\n\x1a\n" or h5py.is_hdf5(path):
        yield from _of_hdf5(path)
    elif start[:2] == b"PK":
        yield from _of_npz(path)
    elif start[:6] == b"\x93NUMPY":
        yield NamedArray(path, path.name, _loaded(path))
    elif start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        yield NamedArray(path, path.name, TiffPages(path))
    else:
        yield from _of_text(path)


def _of_hdf5(path: Path) -> Iterator[NamedArray]:
    """Yield datasets through all links, and the numbers among attributes as ``GROUP@NAME``."""
    with reading(path) as reader:
        seen: set[Any] = set()
        todo: list[tuple[str, Any]] = [("", reader.file)]
        while todo:
            name, item = todo.pop(0)
            for key, value in _attributes(item):
                yield NamedArray(path, f"{name}@{key}", value)
            if isinstance(item, h5py.Dataset):
                if item.shape is not None and item.dtype.kind in "fiubcSO":
                    yield NamedArray(path, name, _stored(path, name, item), _unit(item))
                continue
            for key in item:
                child = item.get(key) if reader.has(f"{name}/{key}") else None
                if child is None or not isinstance(child, h5py.Group | h5py.Dataset):
                    continue
                # the same object by several names has one; the shortest comes first
                identity = (child.file.filename, h5py.h5o.get_info(child.id).addr)
                if identity not in seen:
                    seen.add(identity)
                    todo.append((f"{name}/{key}".strip("/"), child))


def _stored(path: Path, name: str, item: h5py.Dataset) -> Any:
    small = item.size <= (MOST_VALUES if item.dtype.kind in "SO" else LONGEST_ATTRIBUTE)
    return np.asarray(read_values(item)) if small else StoredArray(path, name, item.shape, item.dtype)


def _unit(item: h5py.Dataset) -> str | None:
    unit = item.attrs.get("units", item.attrs.get("unit"))
    return unit.decode() if isinstance(unit, bytes) else unit if isinstance(unit, str) else None


def _attributes(item: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    for key in item.attrs:
        try:
            value = np.asarray(item.attrs[key])
        except READ_ERRORS:
            continue  # an attribute of a kind that h5py does not read is none of ours
        if value.dtype.kind in "fiu" and value.size <= LONGEST_ATTRIBUTE:
            yield key, value


def _loaded(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DamagedFile(path, f"cannot be read ({error})") from error


def _of_npz(path: Path) -> Iterator[NamedArray]:
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                info = archive.getinfo(f"{key}.npy")
                yield NamedArray(path, key, NpzArray(path, key) if info.file_size > 1 << 20 else arrays[key])
    except NOT_NPZ as error:
        raise DamagedFile(path, f"not an NPZ file of numbers, or a damaged one ({error})") from error


class TiffPages:
    """Pages of a TIFF file, (N, rows, columns), or its one page (rows, columns)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            if not file.pages or not file.series:
                raise DamagedFile(path, "expected a TIFF file with pages, got one without")
            pages = file.series[0]
            self.shape = tuple(int(size) for size in pages.shape)
            self.dtype = np.dtype(pages.dtype)
        if len(self.shape) not in (2, 3):
            raise DamagedFile(path, f"expected pages of grey values, got shape {self.shape}")

    def _open(self) -> Any:
        try:
            import tifffile
        except ImportError:
            raise ValueError(f"{self.path}: needs tifffile (pip install ptyxrf[tiff])") from None
        try:
            return tifffile.TiffFile(self.path)
        except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
            raise DamagedFile(self.path, f"cannot be read ({error})") from error

    def __getitem__(self, key: Any) -> NDArray[Any]:
        with self._open() as file:
            if len(self.shape) == 2 or key is Ellipsis or len(file.pages) != self.shape[0]:
                return file.asarray(series=0)[key]
            wanted = np.arange(self.shape[0])[key]
            block = np.stack([file.pages[int(k)].asarray() for k in np.atleast_1d(wanted)])
            return block if wanted.ndim else block[0]


def _of_text(path: Path) -> Iterator[NamedArray]:
    """Yield the columns of a table by name or number, and all of them by the name of the file."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DamagedFile(
            path, "expected HDF5, NPZ, NPY, TIFF or a table of text, got none of them"
        ) from None
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise DamagedFile(path, "expected a table, got an empty file")
    comments = [line.lstrip("#%; ") for line in lines if line.lstrip()[0] in "#%;"]
    rows = [line for line in lines if line.lstrip()[0] not in "#%;"]
    comma = next((mark for mark in (",", ";", "\t") if rows and mark in rows[0]), None)
    named = rows[:1] if rows and not _numbers(rows[0], comma) else comments[-1:]
    rows = rows[1:] if named is not None and rows and not _numbers(rows[0], comma) else rows
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = np.loadtxt(rows, delimiter=comma, ndmin=2)
    except (ValueError, UserWarning) as error:
        raise DamagedFile(path, f"expected a table of numbers ({error})") from None
    yield NamedArray(path, path.name, table)
    names = [word.strip().strip('"') for word in (named[0].split(comma) if named else [])]
    for k in range(table.shape[1] if table.shape[1] > 1 else 0):
        unit = re.search(r"[\[(]([^\])]+)[\])]", names[k]) if len(names) == table.shape[1] else None
        name = re.sub(r"[\[(].*", "", names[k]).strip() if len(names) == table.shape[1] else str(k + 1)
        yield NamedArray(path, name, table[:, k], unit[1] if unit else None)


def _numbers(line: str, comma: str | None) -> bool:
    try:
        [float(word) for word in line.split(comma)]
    except ValueError:
        return False
    return True
