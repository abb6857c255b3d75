"""Patterns of a raster scan, stored with an axis for the rows and one for the columns of the raster."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.chunks import read_values
from ptyxrf.driver.files.hdf5_reader import READ_ERRORS
from ptyxrf.driver.files.pattern_file import PatternFile


class RasterFrames(PatternFile):
    """Patterns (rows, columns, m, m) in an HDF5 dataset, as N = rows x columns patterns one after the other.

    Parameters
    ----------
    path, name, shape, dtype
        As `StoredArray` has them, of the dataset.
    """

    def __init__(self, path: Any, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        super().__init__(path, name, shape, dtype)
        self.shape = (self.shape[0] * self.shape[1], *self.shape[2:])

    def _read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Read patterns by sorted indices without repetitions, one request for each unbroken run in a row."""
        block = np.empty((len(indices), *self.shape[1:]), self.stored)
        columns = self.stored_shape[1]
        breaks = (np.diff(indices) != 1) | (indices[1:] % columns == 0)
        starts = np.flatnonzero(np.concatenate([[True], breaks])) if len(indices) else np.zeros(0, int)
        with self._open() as (reader, dataset):
            for first, last in zip(starts, [*starts[1:], len(indices)], strict=False):
                row, column = divmod(int(indices[first]), columns)
                try:
                    there = row, slice(column, column + int(last - first))
                    read_values(dataset, there, block[first:last])
                except READ_ERRORS as error:
                    raise reader.error(
                        self.name, f"cannot be read, the file is damaged or truncated ({error})"
                    ) from error
        return block
