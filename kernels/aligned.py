"""Arrays that begin on a cache line, as vector code and FFTs prefer, and batches that stay in cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bytes of fields that are transformed together: a few patterns, well inside a second-level cache.
BATCH_BYTES = 256 * 1024

#: Bytes of a cache line, and of the widest vectors.
CACHE_LINE = 64


def batch_size(modes: int, m: int, dtype: Any) -> int:
    """Return how many positions to compute together so that their fields stay in cache."""
    return max(1, BATCH_BYTES // (modes * m * m * np.dtype(dtype).itemsize))


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return an array whose first element begins a cache line; its contents are arbitrary."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + CACHE_LINE, np.uint8)
    first = -room.ctypes.data % CACHE_LINE
    return room[first : first + size].view(dtype).reshape(shape)


def aligned_zeros(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return zeros whose first element begins a cache line."""
    array = aligned_empty(shape, dtype)
    array.fill(0)
    return array
