"""Frames that a program never wrote: HDF5 reads them as zeros, or as another fill value."""

from __future__ import annotations

import warnings
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.hdf5_reader import reading
from ptyxrf.driver.files.stored_array import StoredArray


def warn_of_unwritten(patterns: StoredArray) -> None:
    """Warn of frames that an acquisition which stopped early has left out."""
    with reading(patterns.path) as reader:
        missing = unwritten_frames(reader.dataset(patterns.name))
    if len(missing):
        warnings.warn(
            f"{patterns.label}: {len(missing)} of {patterns.stored_shape[0]} frames were never written, from "
            f"{missing[0]} to {missing[-1]}, and read as zeros: leave them out (frames)",
            stacklevel=5,
        )


def unwritten_frames(dataset: h5py.Dataset) -> NDArray[np.int64]:
    """Return the indices on the first axis for which some values are not in the file.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked or virtual; of others HDF5 stores all values.

    Returns
    -------
    (n,) array of int64
    """
    if not dataset.shape or not dataset.size:
        return np.zeros(0, np.int64)
    if dataset.is_virtual:
        return _outside_the_sources(dataset)
    if dataset.chunks is None:
        return np.zeros(0, np.int64)
    grid = [-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
    each = int(np.prod(grid[1:]))
    if dataset.id.get_num_chunks() >= grid[0] * each:
        return np.zeros(0, np.int64)
    stored = np.zeros(grid[0], np.int64)

    def count(chunk: Any) -> None:
        stored[chunk.chunk_offset[0] // dataset.chunks[0]] += 1

    dataset.id.chunk_iter(count)
    return np.flatnonzero(np.repeat(stored < each, dataset.chunks[0])[: dataset.shape[0]])


def _outside_the_sources(dataset: h5py.Dataset) -> NDArray[np.int64]:
    """Return the frames of a virtual dataset that no source has a part of."""
    mapped = np.zeros(dataset.shape[0], bool)
    for part in dataset.virtual_sources():
        if "%" in part.file_name + part.dset_name:
            return np.zeros(0, np.int64)  # a series of files of any length
        first, last = part.vspace.get_select_bounds()
        mapped[first[0] : last[0] + 1] = True
    return np.flatnonzero(~mapped)
