"""Normal random numbers by their place in a stream: the same whatever part of it a rank computes.

Number i of the stream of a key is made of the words 2 i and 2 i + 1 of the splitmix64 generator whose state
begins at the key (`ptyxrf.kernels.checksum`), by the formula of Box and Muller (Ann. Math. Stat. 29, 1958).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.checksum import STEP, mixed

#: No number is larger in modulus: sqrt(-2 ln 2^-54).
LARGEST = 8.7


def stream_key(*parts: int) -> np.uint64:
    """Return the key of the stream that some whole numbers name."""
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = mixed((key ^ np.uint64(part % 2**64)) + STEP)
    return np.uint64(key[0])


def normal_numbers(key: np.uint64, places: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the standard normal numbers at some places of a stream.

    Parameters
    ----------
    key : uint64
        See `stream_key`.
    places : array of int
        At least 0, below 2^62.

    Returns
    -------
    array of float64
        Of the shape of `places`.
    """
    state = key + (np.asarray(places, np.uint64) << np.uint64(1)) * STEP
    radius, angle = (((mixed(words) >> np.uint64(11)) + 0.5) * 2.0**-53 for words in (state, state + STEP))
    return np.asarray(np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle))
