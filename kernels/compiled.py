"""The compilation flags of all kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

#: Sums may be reordered and products fused, so that loops are vectorized. nnan and ninf are not among them:
#: NaN and infinity must survive, or a damaged pattern would go undetected.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
FLAGS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": FASTMATH}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile `function` lazily, once per signature, and keep the machine code on disk."""
    return njit(**FLAGS)(function)


def allocation_free(function: Callable[..., Any]) -> Any:
    """Compile a function that makes no arrays, without the reference counts of arrays and of views of them.

    They cost passes over small patterns up to a tenth of their time. Where other compiled functions call it,
    it must not return arrays.
    """
    options = FLAGS | {"_nrt": False}  # no run time for arrays
    return njit(**options)(function)
