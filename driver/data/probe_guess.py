"""A probe for scans whose file has none: what the mean pattern shows of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Patterns, over the whole scan, whose mean is enough.
PATTERNS = 64


def probe_in_focus(patterns: Any, mask: Any) -> NDArray[np.complex128]:
    """Return the probe whose far field has the modulus of the mean pattern, and no phase.

    It has the right power and about the right pupil; its width is that in focus, whatever the defocus is.

    Parameters
    ----------
    patterns : (N, m, m) array or lazy source
        The zero frequency at index m//2.
    mask : (m, m) or (N, m, m) array of bool or lazy source, or None
        True = good.

    Returns
    -------
    (1, m, m) array of complex128
        1 at every pixel where the patterns have no counts.
    """
    count, m = patterns.shape[0], patterns.shape[1]
    total = np.zeros((m, m))
    chosen = np.unique(np.linspace(0, count - 1, min(PATTERNS, count)).astype(int))
    for j in chosen.tolist():
        pattern = np.asarray(patterns[j], dtype=np.float64)
        good = np.isfinite(pattern) & (pattern > 0)
        if mask is not None:
            good &= np.asarray(mask if len(mask.shape) == 2 else mask[j])
        total += np.where(good, pattern, 0.0)
    far_field = np.sqrt(total / len(chosen)) if total.any() else np.ones((m, m))
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(far_field), norm="ortho"))[None]
