"""Arrays that are read when they are needed, and iteration over their blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Values of lazy maps, masks and true arrays that are checked at a time.
CHECKED_VALUES = 1 << 22


class ArraySource(Protocol):
    """Values that are read when they are needed: an h5py dataset, or anything that slices like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> np.dtype: ...  # noqa: D102
    def __getitem__(self, key: Any) -> Any: ...


def is_lazy(value: Any) -> bool:
    """Return whether a value is an array that is read when it is sliced."""
    return not isinstance(value, np.ndarray) and all(
        hasattr(value, name) for name in ("shape", "dtype", "__getitem__")
    )


class LazyArray:
    """What arrays that are read as they are sliced have in common.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


class LazyRows(LazyArray):
    """An array whose first axis is read at some places in increasing order, such as a stack of patterns."""

    def _read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Read rows by sorted indices without repetitions."""
        raise NotImplementedError

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read values.

        Parameters
        ----------
        key : int, slice, sequence of int or of bool, Ellipsis, or a tuple that begins with one of them
            As for an array; the rest of a tuple cuts what was read.

        Returns
        -------
        array of `dtype`
            A row for an integer, otherwise (B, ...).

        Raises
        ------
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


class ConvertedSource(LazyArray):
    """A lazy source of another library, as arrays of NumPy.

    Parameters
    ----------
    source : object
        With ``shape`` and slicing, as arrays of torch, CuPy or dask have.

    Attributes
    ----------
    source : object
        As given.
    shape : tuple of int
    dtype : dtype
        Of what a slice becomes.
    """

    def __init__(self, source: Any) -> None:
        self.source = source
        self.shape = tuple(int(size) for size in source.shape)
        self.dtype = np.asarray(source[:0]).dtype

    @property
    def label(self) -> str:
        """File and dataset, for messages."""
        return getattr(self.source, "label", "")

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self.source[key])


class ClippedSource(ConvertedSource):
    """A lazy source whose values below 0 are 0; NaN stays."""

    def __getitem__(self, key: Any) -> Any:
        return np.maximum(super().__getitem__(key), 0)


class MaskSource(ConvertedSource):
    """A lazy mask of 0 and 1, or booleans, as booleans.

    Raises
    ------
    ValueError
        When it is sliced, if it holds other numbers.
    """

    def __getitem__(self, key: Any) -> Any:
        return as_mask(super().__getitem__(key))


def as_mask(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask of booleans, or of the integers 0 and 1, as booleans (True = good)."""
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iu" or not np.isin(array, (0, 1)).all():
        raise ValueError(f"mask: expected booleans (True = good), got dtype {array.dtype}")
    return array.astype(bool)


def numpy_source(value: Any) -> Any:
    """Return a lazy source whose slices are arrays of NumPy: itself where its dtype is one of NumPy."""
    return value if has_numpy_slices(value) else ConvertedSource(value)


def has_numpy_slices(value: Any) -> bool:
    """Return whether slices of a lazy source are arrays of NumPy, rather than of another library."""
    return isinstance(value.dtype, np.dtype) and not hasattr(value, "__array_function__")


def unbroken_runs(indices: ArrayLike) -> list[tuple[int, int]]:
    """Return where runs of increasing indices, each one more than the last, begin and end among them."""
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    return list(pairwise([0, *breaks.tolist(), np.size(indices)])) if np.size(indices) else []


def blocks_of_rows(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield indices that cut an array into blocks of a few million values, by its second last axis.

    Parameters
    ----------
    shape : tuple of int
        At least two dimensions.
    """
    *leading, rows, columns = shape
    step = max(1, CHECKED_VALUES // max(columns, 1))
    for index in np.ndindex(*leading):
        for first in range(0, rows, step):
            yield (*index, slice(first, min(first + step, rows)))
