"""The compilation flags of all kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit

#: Sums may be reordered and products fused, so that loops are vectorized. nnan and ninf are not among them:
#: NaN and infinity must survive, or a damaged pattern would go undetected.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
FLAGS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": FASTMATH}

#: Why compiled kernels could not be kept on disk, if they could not.
CACHE_FAULTS: list[str] = []


def compiled(function: Callable[..., Any]) -> Any:
    """Compile `function` lazily, once per signature, and keep the machine code on disk if possible."""
    return _compiled(function, FLAGS)


def allocation_free(function: Callable[..., Any]) -> Any:
    """Compile a function that makes no arrays, without the reference counts of arrays and of views of them.

    They cost passes over small patterns up to a tenth of their time. Where other compiled functions call it,
    it must not return arrays.
    """
    return _compiled(function, FLAGS | {"_nrt": False})  # no run time for arrays


def _compiled(function: Callable[..., Any], flags: dict[str, Any]) -> Any:
    try:
        dispatcher = njit(**flags)(function)
    except RuntimeError as error:  # no folder can be written
        CACHE_FAULTS.append(str(error))
        return njit(**flags | {"cache": False})(function)
    cache = getattr(dispatcher, "_cache", None)  # absent where compilation is disabled
    if cache is not None:
        cache.save_overload = partial(_saved, cache.save_overload)
    return dispatcher


def _saved(save: Callable[..., None], *compilation: Any) -> None:
    """Keep the machine code on disk, unless the disk is full."""
    try:
        save(*compilation)
    except OSError as error:
        CACHE_FAULTS.append(str(error))
