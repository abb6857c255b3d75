"""The number of incoherent probe modes, and their orthogonal form.

Partial coherence and motion during an exposure spread the probe over nearby places. The modes of a spread
that is small are the probe and its derivatives; those of a defocused probe are, to first order, the probe
times the coordinates, because each place is lit by rays of one direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Share of the power that a new mode gets, divided by the degree of its polynomial.
NEW_SHARE = 0.1
#: A product that keeps less of its norm than this beside the other modes is no new mode.
LEAST_NEW = 1e-6


def with_modes(probe: NDArray[Any], count: int) -> NDArray[Any]:
    """Return a probe with another number of modes and the same power.

    Parameters
    ----------
    probe : (K, m, m) array of complex
    count : int
        Fewer than K: those of the greatest power are kept. More: products of the strongest with polynomials
        of the coordinates (x, y, x^2, x y, ...) follow, orthogonal to all others and of a tenth or less of
        the power.

    Returns
    -------
    (count, m, m) array of complex128
        The probe itself where it has `count` modes.

    Raises
    ------
    ValueError
        The window has no room for so many modes.
    """
    if count == len(probe):
        return probe
    modes = np.asarray(probe, dtype=np.complex128)
    power = np.sum(np.abs(modes) ** 2, axis=(1, 2))
    total = power.sum()
    if count < len(modes):
        modes = modes[np.sort(np.argsort(-power, kind="stable")[:count])]
        return np.asarray(modes * np.sqrt(total / np.sum(np.abs(modes) ** 2)))
    grown, shares = _grown(modes, int(np.argmax(power)), count)
    new = np.sqrt(shares * total)[:, None, None] * grown
    return np.concatenate([modes * np.sqrt(1 - shares.sum()), new])


def orthogonal_modes(probe: NDArray[Any]) -> NDArray[Any]:
    """Return modes of the same total intensities that are orthogonal, the strongest first.

    A unitary mixture of modes leaves the sum over k of |F(P_k z)|^2 as it is for every object, so data do
    not tell one from another. This one is unique where the powers differ: each mode has the phase that
    makes its overlap with the given mode to which it is closest positive.

    Parameters
    ----------
    probe : (K, m, m) array of complex

    Returns
    -------
    (K, m, m) array
        Of the type of `probe`.
    """
    rows = np.asarray(probe, dtype=np.complex128).reshape(len(probe), -1)
    _, mixture = np.linalg.eigh(rows.conj() @ rows.T)
    mixture = mixture[:, ::-1].T  # the strongest first; each row mixes modes
    largest = np.take_along_axis(mixture, np.argmax(np.abs(mixture), axis=1)[:, None], axis=1)
    mixture = mixture * (largest.conj() / np.abs(largest))
    return (mixture @ rows).reshape(probe.shape).astype(probe.dtype)


def _grown(modes: NDArray[Any], strongest: int, count: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return new modes, orthonormal and orthogonal to the given ones, and their shares of the power."""
    m = modes.shape[1]
    # the left factor spans what the given modes span, whether they are independent or not
    vectors, sizes, _ = np.linalg.svd(modes.reshape(len(modes), -1).T, full_matrices=False)
    basis = list(vectors.T[sizes > LEAST_NEW * sizes[0]])
    grown: list[NDArray[Any]] = []
    shares: list[float] = []
    for degree, polynomial in _polynomials(np.abs(modes[strongest]) ** 2):
        if len(grown) == count - len(modes):
            break
        vector = (modes[strongest] * polynomial).ravel()
        size = np.linalg.norm(vector)
        for _ in range(2):  # the second pass removes what rounding left
            for other in basis:
                vector = vector - np.vdot(other, vector) * other
        if np.linalg.norm(vector) > LEAST_NEW * size:
            basis.append(vector / np.linalg.norm(vector))
            grown.append(basis[-1].reshape(m, m))
            shares.append(NEW_SHARE / degree)
    if len(grown) < count - len(modes):
        raise ValueError(f"modes: expected at most {len(modes) + len(grown)} for this probe, got {count}")
    share = np.array(shares)
    return np.array(grown), share * min(1.0, 0.5 / share.sum())


def _polynomials(intensity: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield (degree, values) of polynomials about the centre of an intensity, of low degree first."""
    axis = np.arange(len(intensity), dtype=np.float64)
    weight = intensity / intensity.sum()
    rows, columns = axis - weight.sum(axis=1) @ axis, axis - weight.sum(axis=0) @ axis
    width = np.sqrt(np.sum(weight * (rows[:, None] ** 2 + columns**2))) or 1.0
    rows, columns = rows / width, columns / width
    for degree in range(1, 2 * len(intensity)):
        for power in range(degree + 1):
            yield degree, rows[:, None] ** power * columns ** (degree - power)
