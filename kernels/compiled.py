"""The compilation flags of all kernels."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
from numba import njit

#: Sums may be reordered and products fused, so that loops are vectorized. nnan and ninf are not among them:
#: NaN and infinity must survive, or a damaged pattern would go undetected.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
FLAGS: dict[str, Any] = {
    "cache": True, "nogil": True, "error_model": "numpy", "fastmath": FASTMATH,
    "no_cfunc_wrapper": True,  # nothing calls a kernel from C
}  # fmt: skip

#: Arguments for functions that kernels call: of a literal, Numba would compile the function once more.
ZERO, NO, YES = np.int64(0), np.bool_(False), np.bool_(True)

#: Why compiled kernels could not be kept on disk, if they could not.
CACHE_FAULTS: list[str] = []


def compiled(function: Callable[..., Any]) -> Any:
    """Compile `function` lazily, once per signature, and keep the machine code on disk if possible."""
    return _compiled(function, FLAGS)


def compiled_exactly(function: Callable[..., Any]) -> Any:
    """Compile an allocation-free function that rounds as NumPy does: nothing is fused or reordered."""
    return _compiled(function, FLAGS | {"_nrt": False, "fastmath": False})


def allocation_free(function: Callable[..., Any]) -> Any:
    """Compile a function that makes no arrays, without the reference counts of arrays and of views of them.

    They cost passes over small patterns up to a tenth of their time. Where other compiled functions call it,
    it must not return arrays.
    """
    return _compiled(function, FLAGS | {"_nrt": False})  # no run time for arrays


def kernel_part(function: Callable[..., Any]) -> Any:
    """Compile an allocation-free function that only other compiled functions call.

    Without what Python needs to call it, it takes a fifth less time to compile.
    """
    return _compiled(function, FLAGS | {"_nrt": False, "no_cpython_wrapper": True})


def _compiled(function: Callable[..., Any], flags: dict[str, Any]) -> Any:
    try:
        dispatcher = njit(**flags)(function)
    except RuntimeError as error:  # no folder can be written
        CACHE_FAULTS.append(str(error))
        return njit(**flags | {"cache": False})(function)
    cache = getattr(dispatcher, "_cache", None)  # absent where compilation is disabled
    if cache is not None:
        cache.save_overload = partial(_saved, cache.save_overload, cache.cache_path)
    return dispatcher


def _saved(save: Callable[..., None], folder: str, *compilation: Any) -> None:
    """Keep the machine code on disk, unless the disk is full."""
    try:
        with _alone_in(folder):
            save(*compilation)
    except OSError as error:
        CACHE_FAULTS.append(str(error))


@contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """Let processes that compile side by side write in turn: an index file is read and replaced."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
