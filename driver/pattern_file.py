"""Diffraction patterns that stay in their file until they are needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.hdf5_layout import READ_ERRORS, reading


class PatternFile:
    """Patterns in an HDF5 dataset, read as they are sliced.

    The file is opened for each access and closed again, so that the object can be pickled, and used on
    both sides of a fork.

    Parameters
    ----------
    path : path-like
        The file.
    name : str
        The dataset, of shape (N, m, m).
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its dtype.

    Attributes
    ----------
    path : Path
        Absolute path of the file.
    name, shape, dtype
        As given.
    """

    def __init__(
        self, path: str | os.PathLike[str], name: str, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self.path = Path(path).absolute()
        self.name = name
        self.shape = tuple(int(size) for size in shape)
        self.dtype = np.dtype(dtype)

    @property
    def label(self) -> str:
        """File and dataset, for messages."""
        return f"{self.path}: {self.name}"

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def _read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Read patterns by sorted indices without repetitions, one request for each unbroken run."""
        block = np.empty((len(indices), *self.shape[1:]), self.dtype)
        with reading(self.path) as reader:
            dataset = reader.dataset(self.name)
            if dataset.shape != self.shape or dataset.dtype != self.dtype:
                raise reader.error(
                    self.name,
                    f"has changed since it was opened: {dataset.dtype} {dataset.shape} "
                    f"instead of {self.dtype} {self.shape}",
                )
            ends = np.flatnonzero(np.diff(indices, append=-1) != 1) + 1
            for first, last in zip([0, *ends.tolist()], ends.tolist(), strict=False):
                low, high = int(indices[first]), int(indices[last - 1]) + 1
                try:
                    dataset.read_direct(block, np.s_[low:high], np.s_[first:last])
                except READ_ERRORS as error:
                    raise reader.error(
                        self.name,
                        f"patterns {low} to {high - 1} cannot be read, the file is damaged or truncated "
                        f"({error})",
                    ) from error
        return block

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read patterns.

        Parameters
        ----------
        key : int, slice, sequence of int or of bool, Ellipsis, or a tuple that begins with one of them
            As for an array; the rest of a tuple cuts what was read.

        Returns
        -------
        array of `dtype`
            (m, m) for an integer, otherwise (B, m, m).

        Raises
        ------
        ValueError
            Naming file and dataset if they cannot be read or a checksum does not fit.
        IndexError
            If an index is out of range.
        """
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if first is Ellipsis:
            return self[:][key]
        # Numpy resolves the index: negative, boolean, reversed and repeated ones follow its rules.
        wanted = np.arange(self.shape[0])[() if isinstance(first, tuple) else first]
        unique, inverse = np.unique(wanted, return_inverse=True)
        block = self._read(unique)
        local: Any
        if isinstance(first, slice):
            local = slice(None, None, -1 if len(wanted) > 1 and wanted[0] > wanted[-1] else 1)
        elif np.ndim(wanted) == 0:
            local = 0
        elif not rest and np.array_equal(unique, wanted):
            return block
        else:
            local = inverse.reshape(wanted.shape)
        return block[(local, *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("patterns are in a file: an array of them is always a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<PatternFile: {self.path}, {self.name}, {self.dtype} {self.shape}>"
