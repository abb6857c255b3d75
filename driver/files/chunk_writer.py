"""Writing a stack of patterns to compressed chunks while other threads compress.

HDF5 compresses one chunk at a time, in the thread that reads the next patterns. Here ISA-L, which is several
times as fast as zlib and lets other threads run, makes the chunks, and HDF5 only stores them. They have the
filters that `Hdf5Writer.create` asks for: shuffle, deflate and Fletcher's checksum (HDF5 File Format
Specification, IV.A.2; the checksum as H5_checksum_fletcher32 has it). HDF5 checks them when they are read.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

#: Chunks that wait for each thread, at most: this bounds the memory.
WAITING = 8
#: More threads than this wait for the disk.
MOST_THREADS = 4
#: Weights of the words of a block in Fletcher's second sum, which float64 holds to the last digit.
DESCENDING = np.arange(1 << 15, 0, -1, dtype=np.float64)


class ChunkWriter:
    """Fills a dataset (N, m, m) with whole patterns, from the first on.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked along its first axis alone, with shuffle, gzip and fletcher32.

    Notes
    -----
    A context manager: the last chunk is written at its end, unless an error ended it.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset, self._length = dataset, int(dataset.chunks[0])
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = min(max(cores, 1), MOST_THREADS)
        self._pool = ThreadPoolExecutor(self._threads)
        self._waiting: deque[tuple[int, Future[bytes]]] = deque()
        self._rest = np.empty((0, *dataset.shape[1:]), dataset.dtype)
        self._first = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._pool:
            if kind is not None:
                self._pool.shutdown(cancel_futures=True)
                return
            if len(self._rest):
                whole = np.zeros((self._length, *self._rest.shape[1:]), self._rest.dtype)
                whole[: len(self._rest)] = self._rest
                self._submit(whole)
            self._store(0)

    def append(self, patterns: NDArray[Any]) -> None:
        """Write patterns (B, m, m) after those that are there."""
        patterns = patterns.astype(self._dataset.dtype, copy=False)
        together = np.concatenate([self._rest, patterns]) if len(self._rest) else patterns
        whole = len(together) - len(together) % self._length
        for first in range(0, whole, self._length):
            self._submit(together[first : first + self._length])
            self._store(WAITING * self._threads)
        self._rest = together[whole:].copy()

    def _submit(self, chunk: NDArray[Any]) -> None:
        self._waiting.append((self._first, self._pool.submit(compressed, chunk)))
        self._first += self._length

    def _store(self, most: int) -> None:
        """Store chunks that are ready, in order, until at most so many wait."""
        while len(self._waiting) > most or (self._waiting and self._waiting[0][1].done()):
            first, future = self._waiting.popleft()
            self._dataset.id.write_direct_chunk((first, 0, 0), future.result())


def compressed(chunk: NDArray[Any]) -> bytes:
    """Return a chunk as HDF5 stores it: shuffled, deflated at level 1, with its checksum."""
    bytes_of_each = np.ascontiguousarray(chunk).view(np.uint8).reshape(-1, chunk.dtype.itemsize)
    data = isal_zlib.compress(bytes_of_each.T.tobytes(), 1)
    return data + fletcher32(data).to_bytes(4, "little")


def fletcher32(data: bytes) -> int:
    """Return the checksum that HDF5 has for bytes; a last odd one is the upper half of a word."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2")
    low = high = 0
    for first in range(0, len(words), len(DESCENDING)):
        block = words[first : first + len(DESCENDING)].astype(np.float64)
        high += len(block) * low + int((block * DESCENDING[len(DESCENDING) - len(block) :]).sum())
        low += int(block.sum())
    # sums of ones' complement: only zeros add up to 0
    low, high = ((value - 1) % 65535 + 1 if value else 0 for value in (low, high))
    return high << 16 | low
