"""From patterns to the amplitudes that the kernels use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.data_checks import check_patterns
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.stored_array import StoredArray

#: Patterns read at a time, in bytes of float64. Some four arrays of this size live while reading.
READ_BYTES = 2 * 1024 * 1024


def load_amplitudes(
    scan: Scan, positions: NDArray[np.int64], dtype: Any
) -> tuple[NDArray[Any], float, int, bool]:
    """Read the patterns of some positions as amplitudes.

    Parameters
    ----------
    scan : Scan
    positions : (n,) array of int64
        Which patterns, in any order; they are read in the order of the file.
    dtype : float32 or float64

    Returns
    -------
    amplitudes : (n, m, m) array
        sqrt(d_j) with the zero frequency at [0, 0]; -1 under the mask.
    total : float
        Sum of the good intensities.
    pixels : int
        Number of good pixels.
    whole : bool
        Whether all good intensities are whole numbers, as raw counts are.

    Raises
    ------
    ValueError
        A pattern holds NaN, infinity or a negative count outside the mask.
    """
    count, m = len(positions), scan.m
    amplitudes = np.empty((count, m, m), dtype)
    total, pixels, whole = 0.0, 0, True
    block = max(1, READ_BYTES // (8 * m * m))
    order = np.argsort(positions)
    for first in range(0, count, block):
        places = order[first : first + block]
        chosen = positions[places]
        patterns = _patterns(scan, chosen)
        mask = scan.mask_at(chosen)
        if mask is not None:
            mask = np.broadcast_to(mask, patterns.shape)
        try:
            check_patterns(patterns, chosen, mask)
        except ValueError as error:
            # a lazy source knows the file and the dataset it reads
            where = getattr(scan.patterns, "label", "")
            raise ValueError(f"{where}: {error}" if where else str(error)) from None
        if mask is not None:
            patterns = np.where(mask, patterns, 0.0)
            pixels += int(mask.sum())
        else:
            pixels += patterns.size
        total += float(patterns.sum())
        whole = whole and bool((patterns == np.round(patterns)).all())
        roots = np.sqrt(patterns)
        if mask is not None:
            roots[~mask] = -1.0
        amplitudes[places] = np.fft.ifftshift(roots, axes=(1, 2))
    return amplitudes, total, pixels, whole


def _patterns(scan: Scan, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Read patterns by increasing indices: a slice where they follow each other."""
    start, stop = int(chosen[0]), int(chosen[-1]) + 1
    if stop - start == len(chosen):
        return np.asarray(scan.patterns[start:stop], dtype=np.float64)
    if isinstance(scan.patterns, np.ndarray | StoredArray):
        # a pattern file makes one request for each unbroken run
        return np.asarray(scan.patterns[chosen], dtype=np.float64)
    return np.stack([np.asarray(scan.patterns[int(j)], dtype=np.float64) for j in chosen])
