"""Compare a joint fit with ptychography alone and with the noise of the fluorescence, in figures."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.map_evidence import degrees_of_freedom
from ptyxrf.driver.solver.bounds import Bounds
from ptyxrf.parallel.halo import HaloField

#: Fraction of the largest illumination from which on patterns determine the object.
WELL_LIT = 0.1
#: Part of the samples that counts whatever the degrees of freedom.
LEAST_LEFT = 0.05
#: Rounds in which constant and ramp of the phase are removed; each is a linear problem.
ROUNDS = 4


def counted_freedom(
    objective: Objective, vector: NDArray, *, nonnegative: bool, probes: int = 2
) -> NDArray[np.float64] | None:
    """Return how many degrees of freedom the counts of each element determine; all ranks take part.

    So many samples do not count in a chi-square. With H the curvature of counts, patterns and prior and S = A
    H^-1 A^T, the residuals have the variance n - tr S in all where the prior is right, bias included.

    Parameters
    ----------
    objective : Objective
    vector : (size,) array
        Its minimum.
    nonnegative : bool
        Whether the maps are bounded.
    probes : int
        See `degrees_of_freedom`.

    Returns
    -------
    (N_e,) array of float64 or None
        None without a prior, where the fit has stopped before its minimum.
    """
    if not (objective.weights.strengths > 0).any():
        return None
    _, gradient = objective.value_and_gradient(vector)
    free = Bounds(objective, nonnegative).free(vector, gradient)
    return degrees_of_freedom(objective, free, probes)


def chi_square(
    objective: Objective, vector: NDArray, freedom: NDArray[np.float64] | None = None
) -> NDArray[np.float64] | None:
    """Return the squared residuals of each element over their variance, for each sample; all ranks take part.

    Parameters
    ----------
    objective : Objective
    vector : (size,) array
    freedom : (N_e,) array of float64, optional
        Samples of each element that do not count, because the maps are fitted to them.

    Returns
    -------
    (N_e,) array of float64 or None
        NaN for elements without data. None without counts or without their noise.
    """
    counts, net, scan = objective.data.counts, objective.data.net, objective.scan
    predicted, noise = objective.predicted_fluorescence(vector), objective.weights.noise
    if counts is None or net is None or predicted is None or noise is None:
        return None
    if not (noise.known and noise.noisy):
        return None
    background = scan.background.reshape(-1, *[1] * (net.ndim - 1))
    variance = objective.weights.variance(predicted)
    squares = np.nan_to_num((net + background - predicted) ** 2 / variance)
    there = np.isfinite(variance)  # a lost count has none
    axes = tuple(range(1, net.ndim))
    sums = objective.ranks.sum(np.concatenate([squares.sum(axes, where=there), there.sum(axes)]))
    total, samples = sums.reshape(2, -1)
    left = samples if freedom is None else np.maximum(samples - freedom, LEAST_LEFT * samples)
    return np.where(counts.measured & (samples > 0), total / np.maximum(left, 1), np.nan)


def object_shift(
    objective: Objective, z: NDArray, other: NDArray, scale: float, *, stretched: bool = False
) -> float:
    """Return the distance of two objects over what the noise of the patterns lets them differ.

    Real and imaginary part of a pixel under sum_j |P_j|^2 photons have a standard deviation of half the root
    of its inverse. What patterns leave open is removed first: modulus and phase of a constant factor, and a
    ramp of the phase. All ranks take part.

    Parameters
    ----------
    objective : Objective
        With the point of the first object evaluated.
    z, other : (rows, columns) array of complex
        On the owned pixels.
    scale : float
        Units of the patterns for each photon.
    stretched : bool
        Remove a shift and a linear distortion, too: patterns of refined positions leave these open.

    Returns
    -------
    float
        Root of the mean square over the well illuminated pixels.
    """
    ranks, tile, grid = objective.ranks, objective.tile, objective.scan.shape
    light = objective.diagonals.illumination() * objective.scan.N / scale
    (peak,) = ranks.largest(float(light.max(initial=0.0)))
    lit = light > WELL_LIT * peak
    places = np.nonzero(lit)
    rows = (places[0] + tile.owned.row_start) / grid[0] - 0.5
    columns = (places[1] + tile.owned.column_start) / grid[1] - 0.5
    own, target, weight = z[lit].astype(complex), other[lit].astype(complex), light[lit]
    slopes = [slope[lit] for slope in _slopes(objective, z)] if stretched else []

    def fitted(basis: NDArray[np.complex128], rest: NDArray[np.complex128]) -> NDArray[Any]:
        """Return the real coefficients of weighted least squares over the pixels of all ranks."""
        count = len(basis)
        gram, right = (basis.conj() * weight) @ basis.T, (basis.conj() * weight) @ rest
        both = ranks.sum(np.concatenate([gram.real.reshape(-1), right.real]))
        return np.linalg.lstsq(both[: count**2].reshape(count, count), both[count**2 :], rcond=None)[0]

    real, imaginary = fitted(np.stack([own, 1j * own]), target)  # the constant first, which may be any
    factor = np.full(own.shape, real + 1j * imaginary)
    for _ in range(ROUNDS):
        now = factor * own
        basis = [now, 1j * now, 1j * now * rows, 1j * now * columns]
        moves = [factor * slope * place for slope in slopes for place in (1.0, rows, columns)]
        step = fitted(np.stack([*basis, *moves]), target - now)
        factor = factor * (1 + step[0]) * np.exp(1j * (step[1] + step[2] * rows + step[3] * columns))
    rest = target - factor * own
    if moves:  # by a fraction of a pixel: linear
        rest = rest - step[4:] @ np.stack(moves)
    square, pixels = ranks.sum(np.array([weight @ np.abs(rest) ** 2, float(len(own))]))
    return float(np.sqrt(2 * square / max(pixels, 1.0)))


def _slopes(objective: Objective, z: NDArray) -> list[NDArray[np.complex128]]:
    """Return the slopes of an object along rows and columns, on the owned pixels; all ranks take part."""
    tile = objective.tile
    halo = HaloField(objective.ranks, tile, 2, np.float64)
    real, imaginary = halo.fill(np.stack([z.real, z.imag]).astype(np.float64))
    covered = real + 1j * imaginary
    halo.close()
    return [np.gradient(covered, axis=axis)[tile.inner] for axis in (0, 1)]


class AbsorptionOfMaps:
    """How much of the absorption that each map stands for is in an object.

    Weighted least squares of -log|z| over a_e w_e of all elements and a constant, in the well illuminated
    part. Where intensities are refined, slopes along rows and columns are fitted, too, and taken out of all
    of these: patterns do not tell them from slopes of the intensities. All ranks take part.

    Parameters
    ----------
    objective : Objective
        With a point evaluated.
    z : (rows, columns) array of complex
        On the owned pixels.
    elements : (N_e, rows, columns) array
        Maps of the fluorescence alone.

    Attributes
    ----------
    gram : (N_e + 1, N_e + 1) array of float64
        Weighted products of the constant and the absorption of each map.
    right : (N_e + 1,) array of float64
        Their products with the absorption of the object.
    """

    def __init__(self, objective: Objective, z: NDArray, elements: NDArray[np.floating]) -> None:
        self._ranks, scan, tile = objective.ranks, objective.scan, objective.tile
        light = objective.diagonals.illumination()
        (peak,) = self._ranks.largest(float(light.max(initial=0.0)))
        lit = light > WELL_LIT * peak
        self._weight = light[lit]
        absorbed = -np.log(np.maximum(np.abs(z[lit]), 1e-3))
        absorption = scan.attenuation[:, None] * elements[:, lit]
        basis = np.concatenate([np.ones((1, len(self._weight))), absorption])
        rows, columns = np.nonzero(lit)
        rows, columns = rows + tile.owned.row_start, columns + tile.owned.column_start
        self._middle = np.array(scan.shape) / 2
        self._sloping: NDArray[np.floating] = np.zeros((2, len(basis) + 1))
        if "log_amplitude" in objective.unknowns:
            lever = np.stack([rows, columns]) - self._middle[:, None]
            products = (lever * self._weight) @ np.concatenate([lever, basis, absorbed[None]]).T
            both = self._ranks.sum(products.reshape(-1)).reshape(2, -1)
            self._sloping = np.linalg.lstsq(both[:, :2], both[:, 2:], rcond=1e-10)[0]
            basis, absorbed = basis - self._sloping[:, :-1].T @ lever, absorbed - self._sloping[:, -1] @ lever
        self._basis, self._absorbed = basis, absorbed
        weighed, count = self._basis * self._weight, len(self._basis)
        both = self._ranks.sum(
            np.concatenate([(weighed @ self._basis.T).reshape(-1), weighed @ self._absorbed])
        )
        self.gram, self.right = both[: count**2].reshape(count, count), both[count**2 :]
        side = max(scan.m // 2, 1)
        wide = -(-scan.shape[1] // side)
        self._block = rows // side * wide + columns // side
        self._most = -(-scan.shape[0] // side) * wide

    @cached_property
    def blocks(self) -> int:
        """Squares of half a probe window that have well illuminated pixels; all ranks take part."""
        return int(np.count_nonzero(self._over_blocks(self._weight[None])))

    @property
    def solution(self) -> NDArray[np.float64]:
        """(N_e + 1,): the constant, and the part of the absorption of each map that is in the object."""
        size = np.sqrt(np.maximum(np.diag(self.gram), 1e-300))  # elements differ by orders of magnitude
        return np.linalg.lstsq(self.gram / np.outer(size, size), self.right / size, rcond=1e-10)[0] / size

    def elsewhere(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.float64]:
        """Return -log|z| of the object on rows and columns where there is no element."""
        down, along = self.slopes
        ramp = down * (rows - self._middle[0])[:, None] + along * (columns - self._middle[1])
        return self.solution[0] + ramp

    @property
    def slopes(self) -> NDArray[np.float64]:
        """(2,): the slopes of -log|z| along rows and columns, for each pixel; 0 where none are fitted."""
        return self._sloping[:, -1] - self._sloping[:, :-1] @ self.solution

    def scores(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weighted products of residuals and basis (N_e + 1, ...), summed over each block."""
        residual = self._absorbed - values @ self._basis
        return self._over_blocks(self._basis * self._weight * residual)

    def _over_blocks(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._ranks.sum(
            np.stack([np.bincount(self._block, row, minlength=self._most) for row in rows])
        )


def absorption_of_maps(
    objective: Objective, z: NDArray, elements: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much of the absorption that each map stands for is in an object, and how much that matters.

    Parameters
    ----------
    objective, z, elements
        See `AbsorptionOfMaps`. All ranks take part.

    Returns
    -------
    ratios : (N_e,) array of float64
        1 where constants, sensitivity and maps agree.
    changes : (N_e,) array of float64
        What the deviation of each from 1 does to the weighted absorption.
    """
    found = AbsorptionOfMaps(objective, z, elements)
    gram, ratios = found.gram, found.solution[1:]
    spread = np.maximum(np.diag(gram)[1:] - gram[0, 1:] ** 2 / max(gram[0, 0], 1e-300), 0.0)
    return ratios, np.abs(ratios - 1) * np.sqrt(spread)
