"""The eigenvalue distribution of the Hessian by stochastic Lanczos quadrature, without the matrix.

For a random vector of signs v the mean of v^T f(H) v is the trace of f(H), and S steps of the Lanczos process
from v give a Gauss quadrature of v^T f(H) v: the eigenvalues of the tridiagonal matrix are its nodes, the
squares of the first components of its eigenvectors the weights. The mean over a few vectors estimates the
distribution of the eigenvalues of H.

A vector u of the process is normalised only after the product with it, so that H u, u . H u and u . u, and
with them both coefficients of the step, take one reduction. In exact arithmetic this is the usual process,
and in rounding arithmetic the stable variant with alpha = v . H v and beta = |u| (Paige).

The vectors are not orthogonalised against all earlier ones, which would take S vectors and S dot products per
step. In rounding arithmetic the process therefore finds copies of eigenvalues (ghosts). The quadrature stays
accurate: the computed tridiagonal matrix is that of an exact process for a matrix whose eigenvalues lie in
tiny clusters around those of H, and the weights of a cluster add up to that of its eigenvalue (Greenbaum; for
the quadrature Knizhnerman).

References
----------
S. Ubaru, J. Chen, Y. Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM J. Matrix
Anal. Appl. 38 (2017) 1075-1099. G. H. Golub, G. Meurant, "Matrices, Moments and Quadrature with
Applications", Princeton 2010. T. Chen, T. Trogdon, S. Ubaru, "Analysis of stochastic Lanczos quadrature for
spectrum approximation", arXiv 2105.06595 (bounds on the distribution). C. C. Paige, J. Inst. Maths Applics 10
(1972) 373-381. A. Greenbaum, Linear Algebra Appl. 113 (1989) 7-63. L. Knizhnerman, Comput. Math. Math. Phys.
36 (1996) 1481-1492.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh_tridiagonal

from ptyxrf.driver.data.checks import integer, is_finite_number, positive, real_array
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.kernels.checksum import STEP, mixed


@dataclass(frozen=True, eq=False)
class Spectrum:
    """An estimate of the distribution of the eigenvalues of a symmetric matrix.

    Each random vector gives a distribution, weights at nodes; the estimate is their mean.

    Attributes
    ----------
    nodes : (V, S) array of float64
        Ritz values of each vector in increasing order, in the units of the Hessian. If the process ends
        before S steps, the rest repeats the largest value with weight 0.
    weights : (V, S) array of float64
        Fractions of the eigenvalues; they add up to 1 for each vector.
    size : int
        Number of unknowns over all ranks: a fraction times this is a number of eigenvalues.
    """

    nodes: NDArray[np.float64]
    weights: NDArray[np.float64]
    size: int

    @property
    def largest(self) -> float:
        """The largest Ritz value: at most the largest eigenvalue, and close to it after some ten steps."""
        return float(self.nodes.max())

    @property
    def smallest(self) -> float:
        """The smallest Ritz value: at least the smallest eigenvalue."""
        return float(self.nodes.min())

    def fraction_above(self, threshold: float) -> tuple[float, float]:
        """Return the fraction of the eigenvalues above a threshold.

        Parameters
        ----------
        threshold : float
            In the units of the Hessian.

        Returns
        -------
        mean : float
            The mean over the vectors.
        error : float
            Standard error of the mean; NaN for a single vector. It covers only the choice of vectors. A Gauss
            quadrature does not resolve what lies between two nodes either: for each vector the error of the
            fraction is at most the larger weight of the two nodes beside the threshold (the
            Chebyshev-Markov-Stieltjes inequalities), and mostly a part of it.

        Raises
        ------
        ValueError
            The threshold is not a finite number.
        """
        if not is_finite_number(threshold):
            raise ValueError(f"threshold: expected a finite number, got {threshold!r}")
        fractions = np.where(self.nodes > threshold, self.weights, 0.0).sum(axis=1)
        count = len(fractions)
        error = float(fractions.std(ddof=1) / np.sqrt(count)) if count > 1 else np.nan
        return float(fractions.mean()), error

    def cumulative(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the fraction of the eigenvalues at or below each point, the mean over the vectors.

        Parameters
        ----------
        points : array of float

        Returns
        -------
        array of float64
            With the shape of `points`.

        Raises
        ------
        ValueError
            The points are not real numbers, or NaN.
        """
        points = _points(points)
        nodes, weights = self._sorted()
        below = np.concatenate([[0.0], np.cumsum(weights)])
        return below[np.searchsorted(nodes, points, side="right")]

    def density(self, points: ArrayLike, width: float) -> NDArray[np.float64]:
        """Return the density of the eigenvalues, smoothed by a Gaussian; its integral is 1.

        Parameters
        ----------
        points : array of float
        width : float
            Standard deviation of the Gaussian, in the units of the Hessian.

        Returns
        -------
        array of float64
            With the shape of `points`, in fractions per unit of the Hessian.

        Raises
        ------
        ValueError
            The points are not real numbers, or NaN; the width is not a positive number.
        """
        points = _points(points)
        width = positive("width", width)
        nodes, weights = self._sorted()
        values = np.empty(points.size)
        for i, point in enumerate(points.ravel()):
            values[i] = weights @ np.exp(-0.5 * ((point - nodes) / width) ** 2)
        return values.reshape(points.shape) / (np.sqrt(2 * np.pi) * width)

    def _sorted(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the nodes of all vectors in increasing order, and their weights in the mean."""
        order = np.argsort(self.nodes, axis=None)
        return self.nodes.ravel()[order], self.weights.ravel()[order] / len(self.nodes)


def _points(points: ArrayLike) -> NDArray[np.float64]:
    array = real_array("points", points)
    if np.isnan(array).any():
        raise ValueError("points: expected numbers, got NaN")
    return array


def spectrum(
    objective: Objective,
    *,
    vectors: int = 8,
    steps: int = 80,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Spectrum:
    """Estimate the eigenvalue distribution of the Hessian at the point last evaluated.

    The Hessian is the one that `Objective.hessian_product` applies, with the curvature of the objective and
    in the units of the data; it includes the probe if the probe is unknown and not held at present. All ranks
    make the same call. The cost is vectors * steps Hessian products with one reduction each.

    Parameters
    ----------
    objective : Objective
        After a call of its `value_and_gradient`.
    vectors : int
        Number V of random vectors. The error of a fraction of u unknowns falls as 1/sqrt(V u).
    steps : int
        Lanczos steps S for each vector, at most as many as there are unknowns. The distribution is resolved
        to about 1/S of its range, and much finer at its ends: thresholds far below the largest eigenvalue,
        but not at the other end, take more steps, not more vectors.
    seed : int
        Seed of the vectors, 0 <= seed < 2^64. They do not depend on the number of ranks.
    progress : callable, optional
        Called on each rank with the number of products made and the number to make.

    Returns
    -------
    Spectrum
        The same on every rank. Numbers of ranks differ in rounding: the nodes of few steps agree to rounding,
        and only the distributions after the process has found an eigenvalue to full precision.

    Raises
    ------
    ValueError
        An argument is out of its range, nothing was evaluated yet, or a product is not finite.
    """
    vectors, steps = integer("vectors", vectors, 1), integer("steps", steps, 1)
    seed = integer("seed", seed, 0)
    if seed >= 1 << 64:
        raise ValueError(f"seed: expected an integer below 2^64, got {seed}")
    if progress is not None and not callable(progress):
        raise ValueError(f"progress: expected a callable, got {type(progress).__name__}")
    if objective.work.gradients == 0:
        raise ValueError("objective: expected one whose value_and_gradient was called, got no point yet")
    size = _global_size(objective)
    nodes, weights = np.empty((vectors, steps)), np.empty((vectors, steps))
    for index in range(vectors):

        def report(done: int, index: int = index) -> None:
            if progress is not None:
                progress(index * steps + done, vectors * steps)

        signs = random_signs(objective, seed, index)
        nodes[index], weights[index] = _quadrature(objective, signs, steps, min(steps, size), report)
        report(steps)
    return Spectrum(nodes, weights, size)


def _quadrature(
    objective: Objective, signs: NDArray, steps: int, most: int, report: Callable[[int], None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the nodes and weights of one vector, after at most `most` of the steps."""
    values, states = eigh_tridiagonal(*lanczos(objective, signs, most, report))
    shares = states[0] ** 2
    missing = (0, steps - len(values))
    return np.pad(values, missing, mode="edge"), np.pad(shares / shares.sum(), missing)


def _global_size(objective: Objective) -> int:
    """Return the number of unknowns over all ranks; the replicated probe counts once."""
    fields = objective.fields.view(np.zeros(objective.size, bool))
    rows, columns = objective.tile.grid
    return len(fields) * rows * columns + (objective.size - fields.size if objective.with_probe else 0)


def lanczos(
    objective: Objective, start: NDArray, steps: int, report: Callable[[int], None] = lambda done: None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the tridiagonal matrix of the Lanczos process.

    Parameters
    ----------
    objective : Objective
        Only its `product_with_dots` is used.
    start : (size,) array of float32 or float64
        The first vector before it is normalised, this rank's part. It is overwritten.
    steps : int
    report : callable
        Called with the number of products made, except for the last.

    Returns
    -------
    diagonal : (s,) array of float64
        With s <= `steps`: the process ends where the Krylov space does.
    off_diagonal : (s - 1,) array of float64

    Raises
    ------
    ValueError
        A product is not finite.
    """
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    rounding = 10 * float(np.finfo(start.dtype).eps)
    vector, previous = start, np.zeros_like(start)
    unit = 1.0  # the divisor of the vector, so that its entries stay representable
    norm = beta = 0.0
    for step in range(steps):
        product, (square, curvature, _) = objective.product_with_dots(vector, vector)
        if not np.isfinite([square, curvature]).all():
            raise ValueError("objective: expected finite Hessian products, got NaN or infinity")
        length = float(np.sqrt(square))
        if step > 0:
            beta = unit * length
            # Only rounding is left: the Krylov space is complete. A direction with so weak a coupling to the
            # first vector has no weight, and 0 leaves no next vector.
            if beta <= rounding * norm:
                break
            off_diagonal.append(beta)
        alpha = curvature / square
        diagonal.append(alpha)
        norm = max(norm, abs(alpha), beta)
        if step + 1 == steps:
            break
        report(step + 1)
        unit = norm if norm > 0 else 1.0
        # next = (H v - alpha v - beta v_before) / unit with v = vector / length, in place
        vector /= length
        product /= length * unit
        product -= (alpha / unit) * vector
        previous *= beta / unit
        product -= previous
        previous, vector = vector, product
    return np.array(diagonal), np.array(off_diagonal)


# -------------------------------------------------------------------- random vectors


def _signs(key: NDArray[np.uint64], counters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return -1 or 1 for each counter: the top bit of the numbers of a SplitMix64 generator.

    The numbers of a generator with a key as its seed can be computed in any order, so that each pixel has its
    own whichever rank owns it.
    """
    words = mixed(key + (counters.astype(np.uint64) + np.uint64(1)) * STEP)
    return 1.0 - 2.0 * (words >> np.uint64(63)).astype(np.float64)


def random_signs(objective: Objective, seed: int, index: int) -> NDArray:
    """Return the part of this rank in a random vector of signs that does not depend on the number of ranks.

    Parameters
    ----------
    objective : Objective
    seed : int
    index : int
        Number of the vector.

    Returns
    -------
    (size,) array of float32 or float64
        -1 or 1; 0 for a probe that is held.
    """
    vector = np.zeros(objective.size, objective.real)
    fields, (rows, columns) = objective.fields.view(vector), objective.tile.grid
    owned = objective.tile.owned
    key = np.array([seed], np.uint64)
    for word in (0, index):
        key = mixed((key ^ np.uint64(word)) + STEP)
    row = np.arange(owned.row_start, owned.row_stop)[:, None]
    pixels = row * columns + np.arange(owned.column_start, owned.column_stop)
    for channel, field in enumerate(fields):
        field[...] = _signs(key, pixels + channel * rows * columns)
    if objective.with_probe:
        rest = np.arange(objective.size - fields.size)
        vector[fields.size :] = _signs(key, rest + len(fields) * rows * columns)
    return vector
