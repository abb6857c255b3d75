"""The phase of a complex image without jumps of 2 pi.

Weighted least squares: the differences of neighbours that are wrapped into (-pi, pi] are those of a smooth
phase where that varies slowly, and noise and dark pixels count less. The result differs from the angle by
multiples of 2 pi everywhere. Source: D. C. Ghiglia and L. A. Romero, J. Opt. Soc. Am. A 11, 107 (1994).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from scipy.sparse.linalg import LinearOperator, cg

#: Least weight of a pixel, as a fraction of the largest: the phase goes on smoothly where nothing is known.
LEAST_WEIGHT = 1e-3

#: Relative residual at which the conjugate gradients end, and their largest number.
TOLERANCE, MOST_STEPS = 1e-4, 200


def unwrapped_phase(z: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Return the phase of an image whose jumps of 2 pi are undone.

    Parameters
    ----------
    z : (rows, columns) array of complex
    weights : (rows, columns) array of float or bool, optional
        How well the phase of each pixel is known, such as its illumination; default: equally well.

    Returns
    -------
    (rows, columns) array of float64
        In radians. Their median, of pixels weighted above half of the largest weight, is within half a turn
        of 0.
    """
    angle = np.angle(z).astype(np.float64)
    known = np.ones(z.shape) if weights is None or not weights.any() else weights / weights.max()
    known = np.maximum(known, LEAST_WEIGHT)
    factors = [np.minimum(one, other) for one, other in _neighbours(known)]
    wrapped = [np.angle(np.exp(1j * (one - other))) for one, other in _neighbours(angle)]
    smooth = _integrated(wrapped, factors)
    smooth -= np.angle(np.sum(known * np.exp(1j * (smooth - angle))))  # its constant is arbitrary
    phase = angle + 2 * np.pi * np.rint((smooth - angle) / (2 * np.pi))
    return phase - 2 * np.pi * np.rint(np.median(phase[known > 0.5]) / (2 * np.pi))


def _neighbours(image: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the pixels and the ones before them along each axis."""
    return [(image[1:], image[:-1]), (image[:, 1:], image[:, :-1])]


def _integrated(
    differences: list[NDArray[np.float64]], factors: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the image whose differences along both axes come closest to the given ones, weighted."""
    rows, columns = differences[1].shape[0], differences[0].shape[1]

    def adjoint(*of: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.zeros((rows, columns))
        for (here, before), values in zip(_neighbours(out), of, strict=True):
            here += values
            before -= values
        return out

    def normal(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        pairs = zip(_neighbours(flat.reshape(rows, columns)), factors, strict=True)
        return adjoint(*((one - other) * factor for (one, other), factor in pairs)).reshape(-1)

    waves = [2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in (rows, columns)]
    spectrum = waves[0][:, None] + waves[1]  # of the differences without weights
    spectrum[0, 0] = 1.0

    def without_weights(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        return idctn(dctn(flat.reshape(rows, columns), norm="ortho") / spectrum, norm="ortho").reshape(-1)

    size = (rows * columns,) * 2
    wanted = adjoint(*(d * factor for d, factor in zip(differences, factors, strict=True))).reshape(-1)
    solution, _ = cg(
        LinearOperator(size, normal, dtype=np.float64),
        wanted,
        rtol=TOLERANCE,
        maxiter=MOST_STEPS,
        M=LinearOperator(size, without_weights, dtype=np.float64),
    )
    return solution.reshape(rows, columns)
