"""Diffraction patterns, and masks of each pattern, that stay in their file until they are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.lazy_arrays import LazyRows, unbroken_runs
from ptyxrf.driver.files.chunks import read_values
from ptyxrf.driver.files.file_errors import DamagedFile
from ptyxrf.driver.files.hdf5_reader import READ_ERRORS
from ptyxrf.driver.files.stored_array import StoredArray

#: CXI: this bit alone says that the pixel has signal above the background; it is a good pixel.
HAS_SIGNAL = 0x00001000


def good_pixels(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a CXI mask (0 = good) as booleans, True = good."""
    return (mask == 0) | (mask == HAS_SIGNAL)


class PatternFile(LazyRows, StoredArray):
    """Patterns (N, m, m) in an HDF5 dataset; see `StoredArray` for the parameters.

    Slicing raises `FileNotFoundError` where the file has gone, and `DamagedFile` where values cannot be read
    or a checksum does not fit.
    """

    def _read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Read patterns by sorted indices without repetitions, one request for each unbroken run."""
        block = np.empty((len(indices), *self.shape[1:]), self.stored)
        with self._open() as (reader, dataset):
            for first, last in unbroken_runs(indices):
                low, high = int(indices[first]), int(indices[last - 1]) + 1
                try:
                    read_values(dataset, np.s_[low:high], block[first:last])
                except READ_ERRORS as error:
                    raise reader.error(
                        self.name,
                        f"patterns {low} to {high - 1} cannot be read, the file is damaged or truncated "
                        f"({error})",
                    ) from error
        return block


class MaskFile(PatternFile):
    """Masks (N, m, m) in an HDF5 dataset: 0 = good in the file, True = good as they are sliced."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.dtype = np.dtype(bool)

    def _read(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        masks = super()._read(indices)
        if not np.isfinite(masks).all():
            raise DamagedFile(self.path, "expected integers, 0 = good, got NaN or infinity", self.name)
        return good_pixels(masks)
