"""The compilation flags of all kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

#: Sums may be reordered and products fused, so that loops are vectorized. nnan and ninf are not among them:
#: NaN and infinity must survive, or a damaged pattern would go undetected.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile `function` lazily, once per signature, and keep the machine code on disk."""
    return njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTMATH)(function)
