"""Fourier ring correlation of two images, and the resolution to which they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Width of the soft edge of the area that is compared, as a share of its extent.
SOFT_EDGE = 0.2


@dataclass(frozen=True)
class RingCorrelation:
    """How well two images agree at each spatial frequency.

    Attributes
    ----------
    frequency : (R,) array of float64
        In cycles per pixel, up to 1/2.
    correlation : (R,) array of float64
        Real part of the normalised correlation of each ring.
    half_bit : (R,) array of float64
        Threshold of half a bit of information in a pixel (M. van Heel and M. Schatz, J. Struct. Biol. 151
        (2005) 250). The constant 1/7 is the other customary one.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    half_bit: NDArray[np.float64]

    def resolution(self, threshold: float | None = None) -> float | None:
        """Return the half period, in pixels, at which the correlation first falls below a threshold.

        Parameters
        ----------
        threshold : float, optional
            Default: the half-bit curve.

        Returns
        -------
        float or None
            Linear between rings; at least 1, where all frequencies agree. None where none do.
        """
        limit = self.half_bit if threshold is None else np.full(len(self.correlation), threshold)
        above = self.correlation - limit
        below = np.flatnonzero(above[1:] < 0) + 1  # the mean always agrees
        if not len(below):
            return 1.0
        k = int(below[0])
        if k == 1:
            return None
        share = above[k - 1] / (above[k - 1] - above[k])
        frequency = self.frequency[k - 1] + share * (self.frequency[k] - self.frequency[k - 1])
        return float(max(0.5 / frequency, 1.0))


def soft_window(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return a window that falls to 0 at the border by half a cosine."""
    lines = []
    for size in shape:
        distance = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5)
        lines.append(np.sin(np.pi / 2 * np.clip(distance / max(SOFT_EDGE * size, 1.0), 0, 1)) ** 2)
    return lines[0][:, None] * lines[1]


def ring_correlation(first: NDArray, second: NDArray) -> RingCorrelation:
    """Return the Fourier ring correlation of two images of one shape.

    Parameters
    ----------
    first, second : (rows, columns) array of float or complex
        Aligned with each other. A soft window keeps their borders out.
    """
    window = soft_window((first.shape[0], first.shape[1]))
    spectra = [np.fft.fft2((image - np.average(image, weights=window)) * window) for image in (first, second)]
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(size) for size in first.shape), indexing="ij"))
    rings = min(first.shape) // 2
    ring = np.rint(frequency * 2 * rings).astype(int).ravel()

    def total(values: NDArray) -> NDArray[Any]:
        return np.bincount(ring, values.ravel(), minlength=rings + 1)[: rings + 1]

    power = np.sqrt(total(np.abs(spectra[0]) ** 2) * total(np.abs(spectra[1]) ** 2))
    shared = total((spectra[0] * np.conj(spectra[1])).real)
    # the window correlates neighbours: fewer pixels of a ring are independent
    root = np.sqrt(np.maximum(total(np.ones(first.shape)) * float(np.mean(window)), 1.0))
    half_bit = (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)
    correlation = np.divide(shared, power, out=np.ones(rings + 1), where=power > 0)
    return RingCorrelation(np.arange(rings + 1) / (2 * rings), correlation, half_bit)
