"""Values of compressed datasets whose chunks unpack to the size that their shape needs.

Where a chunk unpacks to less, HDF5 hands out what happens to be in memory. Chunks of compressors that do not
say how much is in a chunk are therefore unpacked here; the others say it at its start.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import pairwise, product
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.lazy_arrays import unbroken_runs
from ptyxrf.driver.files.chunk_writer import checksum_of
from ptyxrf.driver.files.confinement import is_confined
from ptyxrf.driver.files.hdf5_opening import opened
from ptyxrf.driver.files.npz_arrays import IN_MEMORY
from ptyxrf.driver.files.pointers import opened_source
from ptyxrf.driver.files.unpacking import UNPACKED, unpacked

#: Filters, by their numbers in HDF5 and at the HDF Group.
SHUFFLE, FLETCHER32 = 2, 3
BLOSC, LZ4, BITSHUFFLE, ZSTD, BLOSC2 = 32001, 32004, 32008, 32015, 32026
#: Compressors that say how many bytes a chunk has: where, how long the number is, and the order of its bytes.
SIZES: dict[int, tuple[int, int, Any]] = {
    BLOSC: (4, 4, "little"),
    LZ4: (0, 8, "big"),
    BITSHUFFLE: (0, 8, "big"),
    BLOSC2: (30, 8, "big"),  # in the header of its frame
}
#: Compressors of which a chunk that is too short is found.
CHECKED = {ZSTD, *UNPACKED, *SIZES}
#: Bytes of Fletcher's checksum, and of the longest start of a chunk that says how much is in it.
CHECKSUM, HEADER = 4, 38


def read_values(dataset: h5py.Dataset, key: Any = (), out: NDArray[Any] | None = None) -> Any:
    """Return what ``dataset[key]`` does.

    Parameters
    ----------
    dataset : h5py.Dataset
    key : int, slice, increasing list of int, Ellipsis, or a tuple of them
        At most one list.
    out : array, optional
        Contiguous, of the shape and dtype of the values: filled and returned.

    Raises
    ------
    ValueError
        A chunk unpacks to less than its shape needs.
    OSError
        A chunk cannot be read or unpacked.
    """
    if dataset.is_virtual:
        _check_sources(dataset, _picks(dataset.shape, key))
    elif dataset.chunks is not None and dataset.size:
        chunks = Chunks(dataset)
        if chunks.unpacked_here:
            return chunks.read(_picks(dataset.shape, key), out)
        if chunks.filters:  # without one HDF5 knows the size
            chunks.check(_picks(dataset.shape, key))
    if isinstance(key, list) and len(key) > 1:
        return _rows(dataset, key, out)
    if out is None:
        return dataset[key]
    dataset.read_direct(out, key)
    return out


def _rows(dataset: h5py.Dataset, rows: list[int], out: NDArray[Any] | None) -> NDArray[Any]:
    """Return rows, a request for each unbroken run: HDF5 is slow where a selection has many parts."""
    block = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype) if out is None else out
    for first, last in unbroken_runs(rows):
        dataset.read_direct(block, np.s_[rows[first] : rows[last - 1] + 1], np.s_[first:last])
    return block


class Chunks:
    """The chunks of a dataset.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked.

    Attributes
    ----------
    filters : list of (int, tuple of int)
        Number and parameters, in the order in which they were applied.
    unpacked_here : bool
        Whether a compressor of `UNPACKED` packs them, with the bytes of NumPy's dtype in them.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        plist = dataset.id.get_create_plist()
        found = [plist.get_filter(i) for i in range(plist.get_nfilters())]
        self.filters = [(code, parameters) for code, _, parameters, _ in found]
        self._dataset, self._id = dataset, dataset.id
        self._ways: dict[int, Any] = {}
        self._shape, self._each, self._dtype = dataset.shape, dataset.chunks, dataset.dtype
        self._whole = self._id.get_num_chunks() >= math.prod(
            -(-size // each) for size, each in zip(self._shape, self._each, strict=True)
        )
        stored = dataset.id.get_type()
        self._bytes = math.prod(self._each) * _size_in_file(dataset, stored)
        packers = _packers(self.filters)
        self.unpacked_here = (
            len(packers) == 1
            and packers[0] in UNPACKED
            and not self._dtype.hasobject
            and h5py.h5t.py_create(self._dtype, logical=True).equal(stored)
        )

    def read(self, picks: list[Any], out: NDArray[Any] | None) -> Any:
        """Return values that are unpacked here.

        Parameters
        ----------
        picks : list of int, slice or list
            One for each axis.
        out : array or None
            Where they go.
        """
        axes = self._parts(picks)
        lengths = [sum(part.stop - part.start for _, part, _ in parts) for parts in axes]
        block = np.empty(lengths, self._dtype) if out is None else out.reshape(lengths)
        for offset, there, here in self._places(axes):
            block[there] = self._unpacked(offset)[here]
        numbers = tuple(0 if isinstance(pick, int | np.integer) else slice(None) for pick in picks)
        return block[numbers] if out is None else out

    def check(self, picks: list[Any]) -> None:
        """Refuse chunks that are too short, among those that HDF5 is to read."""
        file, stored = self._dataset.file, self._stored
        handle = None if file.userblock_size else file.id.get_vfd_handle()
        for offset, _, _ in self._places(self._parts(picks)):
            if offset in stored:  # otherwise HDF5 gives the fill value
                self._require(self._unpacked_size(stored[offset], offset, handle), offset)

    def _unpacked(self, offset: tuple[int, ...]) -> NDArray[Any]:
        """Return a chunk that is unpacked here."""
        if not self._whole and offset not in self._stored:
            return np.full(self._each, self._dataset.fillvalue, self._dtype)
        skipped, data = self._id.read_direct_chunk(offset)
        for code, parameters in self._undone(skipped):
            if code == FLETCHER32:
                if checksum_of(data[:-CHECKSUM]) != data[-CHECKSUM:]:
                    raise OSError(f"the checksum of its chunk at {offset} does not fit")
                data = data[:-CHECKSUM]
            elif code in UNPACKED:
                data = unpacked(code, data, self._bytes + CHECKSUM)
            elif len(data) == self._bytes:
                data = unshuffled(data, parameters[0])
        self._require(len(data), offset)
        return np.frombuffer(data, self._dtype, math.prod(self._each)).reshape(self._each)

    def _unpacked_size(self, info: Any, offset: tuple[int, ...], handle: int | None) -> int:
        """Return the size of a chunk of any filters; what is wanted where its compressor does not say."""
        undone, packers = self._way(info.filter_mask)
        size = info.size
        if len(packers) > 1 or not set(packers) <= CHECKED:
            if is_confined():
                raise ValueError("is compressed in a way that does not say how much a chunk holds")
            return self._bytes
        for code, parameters in undone:
            if code == FLETCHER32:
                size -= CHECKSUM
            elif code in UNPACKED:
                data = self._id.read_direct_chunk(offset)[1][:size]
                size = len(unpacked(code, data, self._bytes + CHECKSUM))
            elif code in (ZSTD, *SIZES) and (code != BITSHUFFLE or any(parameters[4:5])):
                if handle is None:
                    start = self._id.read_direct_chunk(offset)[1]
                else:
                    start = os.pread(handle, HEADER, info.byte_offset)
                size = _size_said(code, start)
        return size

    def _way(self, skipped: int) -> tuple[list[tuple[int, tuple[int, ...]]], list[int]]:
        """Return the filters of a chunk as `_undone`, and those of them that compress."""
        if skipped not in self._ways:
            undone = self._undone(skipped)
            self._ways[skipped] = undone, _packers(undone)
        return self._ways[skipped]

    def _undone(self, skipped: int) -> list[tuple[int, tuple[int, ...]]]:
        """Return the filters of a chunk in the order in which reading undoes them."""
        return [one for place, one in enumerate(self.filters) if not skipped >> place & 1][::-1]

    @cached_property
    def _stored(self) -> dict[tuple[int, ...], Any]:
        """What is in the file, by offset; asked for one chunk, HDF5 would look at all of them."""
        file = self._dataset.file
        if file.driver == IN_MEMORY:
            return _chunks_of(self._id)
        there = os.stat(file.filename)
        state = there.st_dev, there.st_ino, there.st_mtime_ns, there.st_size
        known = _known_chunks(state, self._dataset.name)
        if not known:
            known.update(_chunks_of(self._id))
        return known

    def _require(self, size: int, offset: tuple[int, ...]) -> None:
        if size < self._bytes:
            raise ValueError(f"its chunk at {offset} unpacks to {size} bytes, its shape needs {self._bytes}")

    def _parts(self, picks: list[Any]) -> list[list[tuple[int, slice, Any]]]:
        """Return what is picked of each chunk along each axis.

        Returns
        -------
        list of list of (int, slice, slice or array)
            Where the chunk begins, where its values go, and which they are.
        """
        return [_parts(*axis) for axis in zip(self._shape, self._each, picks, strict=True)]

    @staticmethod
    def _places(axes: list[list[tuple[int, slice, Any]]]) -> Iterator[Any]:
        for parts in product(*axes):
            yield zip(*parts, strict=True)


@lru_cache(maxsize=2)
def _known_chunks(state: tuple[int, ...], name: str) -> dict[tuple[int, ...], Any]:
    """Return what is filled once for a dataset in a state of its file: batches of it follow each other."""
    return {}


def _chunks_of(dataset: Any) -> dict[tuple[int, ...], Any]:
    found: list[Any] = []
    if hasattr(dataset, "chunk_iter"):
        dataset.chunk_iter(found.append)
    else:  # HDF5 before 1.10.10, as Debian's parallel one
        found += [dataset.get_chunk_info(i) for i in range(dataset.get_num_chunks())]
    return {chunk.chunk_offset: chunk for chunk in found}


def _packers(filters: list[tuple[int, tuple[int, ...]]]) -> list[int]:
    """Return the filters that compress: all but the sorting of bytes and checksums."""
    return [code for code, _ in filters if code not in (SHUFFLE, FLETCHER32)]


def _size_in_file(dataset: h5py.Dataset, stored: Any) -> int:
    """Return the bytes of an item; of a text of any length the file has length, place and index."""
    if h5py.check_string_dtype(dataset.dtype) is not None and stored.is_variable_str():
        return 8 + int(dataset.file.id.get_create_plist().get_sizes()[0])
    return int(stored.get_size())


def _parts(size: int, each: int, pick: Any) -> list[tuple[int, slice, Any]]:
    if isinstance(pick, slice) and pick.step in (None, 1):
        low, high, _ = pick.indices(size)
        begins = range(low - low % each, max(high, low), each)
        bounds = ((begin, max(begin, low), min(begin + each, high)) for begin in begins)
        return [(begin, slice(a - low, b - low), slice(a - begin, b - begin)) for begin, a, b in bounds]
    indices = np.atleast_1d(np.arange(size)[pick])
    begins = indices - indices % each
    starts = np.flatnonzero(np.diff(begins, prepend=-1)).tolist()
    parts: list[tuple[int, slice, Any]] = []
    for first, last in pairwise([*starts, len(indices)]):
        begin = int(begins[first])
        local: Any = indices[first:last] - begin
        if not isinstance(pick, list | np.ndarray):
            step = pick.step if isinstance(pick, slice) else None
            local = slice(int(local[0]), int(local[-1]) + 1, step)
        parts.append((begin, slice(first, last), local))
    return parts


def _picks(shape: tuple[int, ...], key: Any) -> list[Any]:
    """Return what a key picks of each axis: an int, a slice or a list."""
    keys = list(key) if isinstance(key, tuple) else [key]
    dots = [place for place, one in enumerate(keys) if one is Ellipsis] or [len(keys)]
    before, after = keys[: dots[0]], keys[dots[0] + 1 :]
    return [*before, *[slice(None)] * (len(shape) - len(before) - len(after)), *after]


def unshuffled(data: bytes, itemsize: int) -> NDArray[np.uint8]:
    """Return bytes that were sorted by their place in the item, in their order."""
    by_place = np.frombuffer(data, np.uint8).reshape(itemsize, -1)
    values = np.empty(by_place.shape[::-1], np.uint8)
    for place, row in enumerate(by_place):
        values[:, place] = row
    return values.ravel()


def _size_said(code: int, start: bytes) -> int:
    """Return how many bytes are in a chunk by what stands at its start."""
    if code != ZSTD:
        first, length, order = SIZES[code]
        return int.from_bytes(start[first : first + length], order)
    # the header of a frame: RFC 8878, 3.1.1.1; a size that is left out is none
    flags = start[4] if len(start) > 4 else 0
    single, field = flags >> 5 & 1, flags >> 6
    first, length = 5 + (not single) + (0, 1, 2, 4)[flags & 3], (single, 2, 4, 8)[field]
    return int.from_bytes(start[first : first + length], "little") + 256 * (field == 1)


def _check_sources(dataset: h5py.Dataset, picks: list[Any]) -> None:
    """Refuse chunks that are too short in the datasets of which a virtual one is made, where it is read."""
    if not dataset.size:
        return
    rows = np.atleast_1d(np.arange(dataset.shape[0])[picks[0]])
    for part in dataset.virtual_sources():
        if not rows.size or "%" in part.file_name + part.dset_name:
            continue
        first, last = (int(bounds[0]) for bounds in part.vspace.get_select_bounds())
        if first <= rows.max() and last >= rows.min():
            with opened_source(dataset.file, part.file_name) as file:
                there = os.stat(file.filename)
                _check_all(os.path.realpath(file.filename), part.dset_name, there.st_mtime_ns, there.st_size)


@lru_cache(maxsize=4096)
def _check_all(path: str, name: str, changed: int, size: int) -> None:
    """Refuse chunks that are too short anywhere in a dataset; once for each state of its file."""
    with opened(path) as file:
        there = file[name]
        everything = [slice(None)] * there.ndim
        if there.is_virtual:
            _check_sources(there, everything)
        elif there.chunks is not None and there.size:
            Chunks(there).check(everything)
