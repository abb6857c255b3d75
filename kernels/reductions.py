"""Operations on the flat vectors of the solver: sums in double precision whatever the vectors hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled

#: Numbers of a vector in one block of operations on several vectors: a block stays in the first caches.
BLOCK = 2048


@compiled
def _dot(left: NDArray, right: NDArray) -> float:
    total = 0.0
    for i in range(left.size):
        total += np.float64(left[i]) * np.float64(right[i])
    return total


def dot(left: NDArray, right: NDArray) -> float:
    """Return the sum of products of two real C-contiguous arrays of one shape, accumulated in float64."""
    return float(_dot(left.reshape(-1), right.reshape(-1)))


@compiled
def dots(change: NDArray, product: NDArray, residual: NDArray) -> tuple[float, float, float]:
    """Return (residual . change, product . change, residual . residual) in one pass, in float64."""
    first = 0.0
    second = 0.0
    third = 0.0
    for i in range(change.size):
        u, w, r = np.float64(change[i]), np.float64(product[i]), np.float64(residual[i])
        first += r * u
        second += w * u
        third += r * r
    return first, second, third


@compiled
def conjugate_gradient_step(
    alpha: float, beta: float, change: NDArray, product: NDArray,
    search: NDArray, search_product: NDArray, solution: NDArray, residual: NDArray,
) -> None:  # fmt: skip
    """One step of the single-reduction recurrences, in one pass over the vectors.

    search = change + beta search; search_product = product + beta search_product;
    solution += alpha search; residual -= alpha search_product.
    """
    for i in range(change.size):
        p = change[i] + beta * search[i]
        s = product[i] + beta * search_product[i]
        search[i] = p
        search_product[i] = s
        solution[i] += alpha * p
        residual[i] -= alpha * s
