"""Whether vector code can be emitted here: it is written with parts of Numba that versions may change."""

from __future__ import annotations

import warnings
from functools import cache

import llvmlite
import numba
import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled
from ptyxrf.kernels.simd.emitter import lanes
from ptyxrf.kernels.simd.operations import butterfly


@compiled
def _sum_and_difference(data: NDArray, w: int, roots: NDArray) -> None:
    """Replace two vectors of complex numbers by their sum and difference."""
    butterfly(data, 0, w, 2 * w, roots, -1, 2, False)


@cache
def can_emit() -> bool:
    """Return whether vector code compiles and computes.

    Warns
    -----
    UserWarning
        It does not.
    """
    w = lanes(np.float32)
    data = np.arange(4 * w, dtype=np.float32)
    first, second = data.reshape(2, 2, w).swapaxes(0, 1)
    wanted = np.stack((first + second, first - second), axis=1)
    try:
        _sum_and_difference(data, w, np.zeros(2, np.float32))
        if np.array_equal(data.reshape(2, 2, w), wanted):
            return True
        fault = "it computes something else"
    except Exception as error:  # of which kind is up to the version of Numba
        fault = f"{type(error).__name__}: {error}".splitlines()[0]
    warnings.warn(
        f"engine: vector code cannot be emitted with Numba {numba.__version__} and llvmlite "
        f"{llvmlite.__version__} ({fault}): a library transforms the patterns, which takes longer",
        stacklevel=2,
    )
    return False
