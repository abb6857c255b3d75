"""A checksum of arrays that ranks hold in parts: a sum over the items, the same for any partition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled

#: Of the splitmix64 generator (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014).
STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


def mixed(words: Any) -> Any:
    """Return the output function of splitmix64 of words: an array of uint64, or a number in compiled code."""
    words = (words ^ (words >> SHIFTS[0])) * FIRST  # uint64 wraps around
    words = (words ^ (words >> SHIFTS[1])) * SECOND
    return words ^ (words >> SHIFTS[2])


_mixed = compiled(mixed)


@compiled
def _sum_of_words(words: NDArray, starts: NDArray) -> np.uint64:
    total = np.uint64(0)
    for r in range(words.shape[0]):
        row = words[r]
        start = starts[r]
        for i in range(row.size):
            total += _mixed(((start + np.uint64(i)) * STEP) ^ np.uint64(row[i]))
    return total


def checksum(rows: NDArray, starts: NDArray[np.int64]) -> np.uint64:
    """Return the share of some rows of an array in its checksum.

    Every 32-bit word, combined with its place, goes through the mixing function of splitmix64; the checksum
    is the sum modulo 2^64. The mixing is one-to-one, so any change of a single word changes the sum; other
    damage passes with a chance of about 2^-64. It tells damage, not intent.

    Parameters
    ----------
    rows : (R, n) array
        Items of 4, 8 or 16 bytes.
    starts : (R,) array of int64
        The index of each row's first item in the whole array.

    Returns
    -------
    uint64
        To be added to the shares of the other rows, modulo 2^64.
    """
    items = rows.dtype.itemsize // 4
    words = np.ascontiguousarray(rows).view(np.uint32)
    with np.errstate(over="ignore"):  # where it is not compiled, numpy would warn of what is meant
        return np.uint64(_sum_of_words(words, (starts * items).astype(np.uint64)))
