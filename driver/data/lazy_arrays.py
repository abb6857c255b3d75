"""Arrays that are read when they are needed, and iteration over their blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

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
