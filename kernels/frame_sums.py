"""Sums and maxima of a block of detector frames, in one pass over its counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled


@compiled
def frame_sums(
    frames: NDArray[np.unsignedinteger],
    totals: NDArray[np.float64],
    sums: NDArray[np.uint64],
    highest: NDArray,
) -> None:
    """Find the counts of each frame, and the sum and the maximum of each pixel.

    Parameters
    ----------
    frames : (B, P) array of unsigned integers
    totals : (B,) array of float64
        Is overwritten.
    sums : (P,) array of uint64
        What was seen is added.
    highest : (P,) array of the dtype of `frames`
        Is raised to what was seen.
    """
    for b in range(frames.shape[0]):
        total = np.uint64(0)
        for p in range(frames.shape[1]):
            count = frames[b, p]
            total += np.uint64(count)
            sums[p] += np.uint64(count)
            highest[p] = max(highest[p], count)
        totals[b] = total
