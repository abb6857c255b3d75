"""Unwrapped phases of images: the multiples of 2 pi that leave the smallest steps between pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

#: Rounds in which what is left of the wrapped differences is integrated.
ROUNDS = 8


def _wrapped(phase: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.angle(np.exp(1j * phase))


def unwrapped(phase: NDArray[np.float64], area: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return a phase plus multiples of 2 pi, such that neighbouring pixels differ little.

    The wrapped differences of neighbours are integrated by least squares with cosine transforms (D. C.
    Ghiglia and L. A. Romero, J. Opt. Soc. Am. A 11 (1994) 107), repeatedly for what is left; the result
    differs from the phase by whole turns. Lines on which the wrapped differences contradict each other
    stay.

    Parameters
    ----------
    phase : (rows, columns) array of float
        In radians.
    area : (rows, columns) array of bool, optional
        Where the phase means something; differences to pixels outside count as none.

    Returns
    -------
    (rows, columns) array of float64
        With a median within half a turn of 0.
    """
    phase = np.asarray(phase, dtype=np.float64)
    area = np.ones(phase.shape, bool) if area is None else area
    smooth = np.zeros_like(phase)
    rows, columns = (np.cos(np.pi * np.arange(size) / size) for size in phase.shape)
    eigenvalues = 2 * (rows[:, None] + columns - 2)
    eigenvalues[0, 0] = 1.0
    for _ in range(ROUNDS):
        left = _wrapped(phase - smooth)
        divergence = np.zeros_like(phase)
        for axis in (0, 1):
            steps = _wrapped(np.diff(left, axis=axis))
            steps *= np.minimum(*(np.take(area, part, axis) for part in _neighbours(phase.shape[axis])))
            border = [(1, 1) if along == axis else (0, 0) for along in (0, 1)]
            divergence += np.diff(np.pad(steps, border), axis=axis)
        spectrum = dctn(divergence, norm="ortho") / eigenvalues
        spectrum[0, 0] = 0.0
        smooth += idctn(spectrum, norm="ortho")
        if np.abs(divergence).max() < 1e-9:
            break
    turns = np.rint((smooth - phase - np.median((smooth - phase)[area])) / (2 * np.pi))
    whole = phase + 2 * np.pi * turns
    return whole - 2 * np.pi * np.rint(np.median(whole[area]) / (2 * np.pi))


def _neighbours(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.arange(size - 1), np.arange(1, size)
