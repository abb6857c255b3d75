"""Fletcher's checksum, as HDF5 has it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled

#: Words after which the sums are reduced: before, they fit into 32 bits, of which vectors hold most.
WORDS = 256


@compiled
def fletcher32(data: NDArray[np.uint8]) -> np.uint64:
    """Return the checksum of bytes (H5_checksum_fletcher32); a last odd one is the upper half of a word.

    Parameters
    ----------
    data : (n,) array of uint8
        Contiguous.
    """
    base = np.uint64(65535)
    low = high = seen = np.uint64(0)
    words = data[: data.size // 2 * 2].view(np.uint16)
    for first in range(0, words.size, WORDS):
        block = words[first : first + WORDS]
        total = weighted = np.uint32(0)
        for k in range(block.size):
            word = np.uint32(block[k] >> 8 | block[k] << 8 & 0xFF00)  # its first byte is the upper one
            total += word
            weighted += np.uint32(block.size - k) * word
        high = (high + np.uint64(block.size) * low + np.uint64(weighted)) % base
        low = (low + np.uint64(total)) % base
        seen |= np.uint64(total)
    if data.size % 2:
        last = np.uint64(data[-1]) << np.uint64(8)
        low = (low + last) % base
        high = (high + low) % base
        seen |= last
    if not seen:
        return np.uint64(0)
    # sums of ones' complement: only zeros add up to 0
    low = base if low == 0 else low
    high = base if high == 0 else high
    return high << np.uint64(16) | low
