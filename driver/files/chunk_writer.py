"""Writing a stack of patterns to compressed chunks while other threads compress.

HDF5 compresses one chunk at a time, in the thread that reads the next patterns. Here ISA-L, which is several
times as fast as zlib and lets other threads run, makes the chunks, and HDF5 only stores them, in a thread of
its own. They have the filters that `Hdf5Writer.create` asks for: shuffle, deflate and Fletcher's checksum
(HDF5 File Format Specification, IV.A.2). HDF5 checks them when they are read.
"""

from __future__ import annotations

import math
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ptyxrf.kernels.fletcher32 import fletcher32

#: Bytes of patterns that wait to be packed and stored, at most, and of those that a thread packs at once.
WAITING, TASK = 1 << 25, 1 << 21
#: More threads than this wait for the disk.
MOST_THREADS = 4


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
        self._bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = min(max(cores, 1), MOST_THREADS)
        self._pool, self._storing = ThreadPoolExecutor(self._threads), ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()
        self._rest = np.empty((0, *dataset.shape[1:]), dataset.dtype)
        self._first = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._pool, self._storing:
            if kind is not None:
                self._storing.shutdown(cancel_futures=True)
                self._pool.shutdown(cancel_futures=True)
                return
            if len(self._rest):
                whole = np.zeros((self._length, *self._rest.shape[1:]), self._rest.dtype)
                whole[: len(self._rest)] = self._rest
                self._submit(whole)
            self._wait(0)

    def append(self, patterns: NDArray[Any]) -> None:
        """Write patterns (B, m, m) after those that are there."""
        patterns = patterns.astype(self._dataset.dtype, copy=False)
        together = np.concatenate([self._rest, patterns]) if len(self._rest) else patterns
        whole = len(together) - len(together) % self._length
        step = max(TASK // self._bytes, 1) * self._length
        for first in range(0, whole, step):
            self._submit(together[first : min(first + step, whole)])
        self._rest = together[whole:].copy()

    def _submit(self, patterns: NDArray[Any]) -> None:
        """Let whole chunks be packed and stored."""
        self._wait(max(WAITING // TASK, self._threads))
        chunks = patterns.reshape(-1, self._length, *patterns.shape[1:])
        packed = self._pool.submit(lambda: [compressed(chunk) for chunk in chunks])
        self._waiting.append(self._storing.submit(self._store, self._first, packed))
        self._first += len(patterns)

    def _store(self, first: int, packed: Future[list[bytes]]) -> None:
        for place, chunk in enumerate(packed.result()):
            self._dataset.id.write_direct_chunk((first + place * self._length, 0, 0), chunk)

    def _wait(self, most: int) -> None:
        """Wait until at most so many tasks are not done."""
        while len(self._waiting) > most:
            self._waiting.popleft().result()


def compressed(chunk: NDArray[Any]) -> bytes:
    """Return a chunk as HDF5 stores it: shuffled, deflated at level 1, with its checksum."""
    bytes_of_each = np.ascontiguousarray(chunk).view(np.uint8).reshape(-1, chunk.dtype.itemsize)
    by_place = np.empty(bytes_of_each.shape[::-1], np.uint8)
    for place, row in enumerate(by_place):  # faster than a transposed copy
        row[...] = bytes_of_each[:, place]
    data = isal_zlib.compress(by_place, 1)
    return data + checksum_of(data)


def checksum_of(data: bytes) -> bytes:
    """Return Fletcher's checksum as it follows a chunk."""
    return int(fletcher32(np.frombuffer(data, np.uint8))).to_bytes(4, "little")
