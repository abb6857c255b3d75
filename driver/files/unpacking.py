"""Unpacking chunks of the compressors that do not say how much is in a chunk."""

from __future__ import annotations

import bz2
from collections.abc import Callable
from typing import Any

import numpy as np
from isal import isal_zlib

from ptyxrf.kernels.lzf import unpack_lzf

#: Filters, by their numbers in HDF5 and at the HDF Group.
DEFLATE, BZIP2, LZF = 1, 307, 32000
#: What their decompressors raise.
FAULTS = (isal_zlib.error, OSError, EOFError, ValueError)


def unpacked(code: int, data: bytes, most: int) -> bytes:
    """Return what is in a chunk, checked against the checksum that gzip and bzip2 have.

    Parameters
    ----------
    code : {DEFLATE, BZIP2, LZF}
    data : bytes
    most : int
        Bytes that there may be.

    Raises
    ------
    OSError
        The chunk is damaged, or there are more.
    """
    if code == LZF:
        values = np.empty(most, np.uint8)
        size = unpack_lzf(np.frombuffer(data, np.uint8), values)
        if size < 0:
            raise OSError("a compressed chunk is damaged, or does not end where its shape does")
        return values[:size].tobytes()
    stream = STREAMS[code]()
    try:
        values = stream.decompress(data, most + 1)
    except FAULTS as error:  # type: ignore[misc]  # isal's is typed as an instance
        raise OSError(f"a compressed chunk is damaged: {error}") from None
    if not stream.eof:
        raise OSError("a compressed chunk does not end where its shape does")
    return bytes(values)


STREAMS: dict[int, Callable[[], Any]] = {DEFLATE: isal_zlib.decompressobj, BZIP2: bz2.BZ2Decompressor}
#: Filters whose chunks are unpacked here.
UNPACKED = {*STREAMS, LZF}
