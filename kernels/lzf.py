"""LZF, the compressor that every h5py has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled


@compiled
def unpack_lzf(packed: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    """Unpack bytes.

    The format is that of LibLZF (M. Lehmann): a byte below 32 is followed by so many bytes and one more,
    which stay as they are; any other names a length and a distance at which the same bytes stand already.

    Parameters
    ----------
    packed : (n,) array of uint8
    out : (most,) array of uint8
        Is filled from its beginning.

    Returns
    -------
    int
        How many bytes there are; -1 where `packed` is damaged, or there are more than `out` holds.
    """
    i = o = 0
    while i < packed.size:
        control = int(packed[i])
        i += 1
        if control < 32:
            length = control + 1
            if i + length > packed.size or o + length > out.size:
                return -1
            for k in range(length):
                out[o + k] = packed[i + k]
            i += length
            o += length
            continue
        length = control >> 5
        if length == 7 and i < packed.size:
            length += int(packed[i])
            i += 1
        if i >= packed.size:
            return -1
        start = o - ((control & 31) << 8) - int(packed[i]) - 1
        i += 1
        length += 2
        if start < 0 or o + length > out.size:
            return -1
        for k in range(length):  # what is copied may just have been written
            out[o + k] = out[start + k]
        o += length
    return o
