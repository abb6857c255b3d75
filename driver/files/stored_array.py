"""Arrays that stay in their HDF5 file until they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.lazy_arrays import LazyArray
from ptyxrf.driver.files.chunks import read_values
from ptyxrf.driver.files.hdf5_reader import READ_ERRORS, Hdf5Reader, reading


class StoredArray(LazyArray):
    """A dataset of an HDF5 file, read as it is sliced.

    The file is opened for each access and closed again, so that the object can be pickled, sent to other
    ranks, and used on both sides of a fork.

    Parameters
    ----------
    path : path-like
        The file.
    name : str
        The dataset.
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its dtype.

    Attributes
    ----------
    path : Path
        Absolute path of the file.
    name
        As given.
    shape, dtype
        Of the array as it is sliced.
    stored_shape, stored
        Shape and dtype in the file, which a subclass may show in another way.
    """

    def __init__(
        self, path: str | os.PathLike[str], name: str, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self.path = Path(path).absolute()
        self.name = name
        self.stored_shape = self.shape = tuple(int(size) for size in shape)
        self.stored = self.dtype = np.dtype(dtype)

    @property
    def label(self) -> str:
        """File and dataset, for messages."""
        return f"{self.path}: {self.name}"

    @contextmanager
    def _open(self) -> Iterator[tuple[Hdf5Reader, h5py.Dataset]]:
        """Open the dataset; it has to be what it was."""
        with reading(self.path) as reader:
            dataset = reader.dataset(self.name)
            if dataset.shape != self.stored_shape or dataset.dtype != self.stored:
                raise reader.error(
                    self.name,
                    f"has changed since it was opened: {dataset.dtype} {dataset.shape} "
                    f"instead of {self.stored} {self.stored_shape}",
                )
            yield reader, dataset

    def __getitem__(self, key: Any) -> Any:
        """Read values.

        Parameters
        ----------
        key : int, slice, increasing list of int, Ellipsis, or a tuple of them
            Only what it selects is read.

        Returns
        -------
        array of `dtype`

        Raises
        ------
        FileNotFoundError
            The file has gone.
        DamagedFile
            The values cannot be read, or a checksum does not fit.
        """
        with self._open() as (reader, dataset):
            try:
                return read_values(dataset, key)
            except READ_ERRORS as error:
                raise reader.error(
                    self.name, f"cannot be read, the file is damaged or truncated ({error})"
                ) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.name} is in a file: an array of it is always a copy")
        return np.asarray(self[...]).astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.path}, {self.name}, {self.dtype} {self.shape}>"
