"""The inner solve: preconditioned conjugate gradients on Hessian products, one reduction a step.

The recurrences are those of Chronopoulos and Gear (J. Comput. Appl. Math. 25, 1989): the product is taken
of the preconditioned residual instead of the search direction, so that all dot products of a step are
known after one reduction. The stop is Nash and Sofer's test on the quadratic model (Oper. Res. Lett. 9,
1990).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.kernels.vectors import conjugate_gradient_step


class Problem(Protocol):
    """What the solver sees: neither physics nor ranks."""

    initial: NDArray[Any]
    nonnegative: slice

    def value_and_gradient(self, vector: NDArray) -> tuple[float, NDArray[Any]]:
        """Return the value and the gradient, and remember the point."""

    def product_with_dots(
        self, direction: NDArray, residual: NDArray | None
    ) -> tuple[NDArray[Any], tuple[float, float, float]]:
        """Return H d and (r . d, H d . d, r . r)."""

    def precondition(self, residual: NDArray, free: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return M^-1 r within the free variables."""

    def dot(self, left: NDArray, right: NDArray) -> float:
        """Return the dot product over all ranks."""

    def losses_along(self, direction: NDArray, steps: ArrayLike) -> NDArray[np.float64]:
        """Return the value at the remembered point plus t d for several t."""


class InnerStop(Enum):
    """How an inner solve ended."""

    MODEL = "model settled"
    RESIDUAL = "residual small"
    LIMIT = "inner limit"
    CURVATURE = "negative curvature"
    EXACT = "exact"
    NON_FINITE = "not finite"


@dataclass(frozen=True)
class Direction:
    """An approximate Newton direction.

    Attributes
    ----------
    vector : array
        The direction.
    steps : int
        Products used.
    stop : InnerStop
    """

    vector: NDArray[Any]
    steps: int
    stop: InnerStop


def newton_direction(
    problem: Problem,
    gradient: NDArray,
    free: NDArray[np.bool_] | None,
    *,
    limit: int,
    model_tolerance: float,
    residual_tolerance: float,
) -> Direction:
    """Solve H d = -g approximately.

    Parameters
    ----------
    problem : Problem
    gradient : array
        At the point last evaluated.
    free : array of bool or None
        Variables that may move; None: all.
    limit : int
        Most products.
    model_tolerance : float
        Stop at step i when i (1 - q_{i-1} / q_i) falls below it, q the quadratic model; 0: off.
    residual_tolerance : float
        Stop when the residual norm falls below this fraction of the gradient norm.

    Returns
    -------
    Direction
        A descent direction. Where the curvature along a search direction is negative, it is used by its
        modulus: the step goes as far along it as a positive curvature of that size would allow, and the
        inner solve ends.
    """
    residual = -gradient
    if free is not None:
        residual *= free
    solution = np.zeros_like(residual)
    search, search_product = np.zeros_like(residual), np.zeros_like(residual)
    change = problem.precondition(residual, free)
    gamma_before = curvature_before = model = first_norm = 0.0
    for step in range(1, limit + 1):
        product, (gamma, delta, square) = problem.product_with_dots(change, residual)
        if free is not None:
            product *= free
        if not (np.isfinite(gamma) and np.isfinite(delta)):
            return Direction(solution, step, InnerStop.NON_FINITE)
        if gamma <= 0:
            return Direction(solution, step, InnerStop.EXACT)
        if step == 1:
            first_norm, beta, curvature = np.sqrt(square), 0.0, delta
        else:
            if np.sqrt(square) <= residual_tolerance * first_norm:
                return Direction(solution, step, InnerStop.RESIDUAL)
            beta = gamma / gamma_before
            curvature = delta - beta * beta * curvature_before
        if curvature <= 0:
            length = gamma / abs(curvature) if curvature < 0 else 1.0
            conjugate_gradient_step(length, beta, change, product, search, search_product, solution, residual)
            return Direction(solution, step, InnerStop.CURVATURE)
        alpha = gamma / curvature
        conjugate_gradient_step(alpha, beta, change, product, search, search_product, solution, residual)
        decrease = 0.5 * alpha * gamma
        model += decrease
        if step * decrease <= model_tolerance * model:
            return Direction(solution, step, InnerStop.MODEL)
        gamma_before, curvature_before = gamma, curvature
        if step < limit:
            change = problem.precondition(residual, free)
    return Direction(solution, limit, InnerStop.LIMIT)
