"""The inner solve: preconditioned conjugate gradients on Hessian products, one reduction a step.

The recurrences are those of Chronopoulos and Gear (J. Comput. Appl. Math. 25, 1989): the product is taken
of the preconditioned residual instead of the search direction, so that all dot products of a step are
known after one reduction. The stop is Nash and Sofer's test on the quadratic model (Oper. Res. Lett. 9,
1990).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.problem import Problem
from ptyxrf.kernels.reductions import conjugate_gradient_step

#: Most products in a round of the bounded inner solve, but for the last: a long round on a set of free
#: variables that is still wrong would be wasted.
ROUND_LIMIT = 10


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
    vector: NDArray,
    gradient: NDArray,
    bounded: slice,
    *,
    limit: int,
    model_tolerance: float,
    residual_tolerance: float,
    rounds: int = 1,
) -> Direction:
    """Solve H d = -g approximately, with vector + d >= 0 in the range `bounded`.

    Without bounds this is one run of conjugate gradients. With bounds it proceeds in rounds: variables at 0
    that the residual pushes outward are held, conjugate gradients run on the others, variables that crossed
    0 are set to 0, and the next round starts there with the true residual, until none crosses or the rounds
    or the products are used up (gradient projection: More and Toraldo, SIAM J. Optim. 1, 1991).

    Parameters
    ----------
    problem : Problem
        At its point last evaluated.
    vector, gradient : array
        That point and its gradient.
    bounded : slice
        Variables that may not fall below 0; empty: none.
    limit : int
        Most products.
    model_tolerance : float
        Stop at step i when i (1 - q_{i-1} / q_i) falls below it, q the quadratic model; 0: off.
    residual_tolerance : float
        Stop when the residual norm falls below this fraction of the gradient norm.
    rounds : int
        Most rounds, where there are bounds.

    Returns
    -------
    Direction
        A descent direction. Where the curvature along a search direction is negative, it is used by its
        modulus: the step goes as far along it as a positive curvature of that size would allow, and the
        inner solve ends.
    """
    solve = partial(
        _conjugate_gradients, problem, model_tolerance=model_tolerance, residual_tolerance=residual_tolerance
    )
    if problem.any(bounded.start != bounded.stop):
        return _in_rounds(problem, vector, gradient, bounded, solve, limit, rounds)
    solution = np.zeros_like(gradient)
    return Direction(solution, *solve(solution, -gradient, None, limit))


def respond(
    problem: Problem, force: NDArray, free: NDArray[np.bool_] | None, *, limit: int, tolerance: float
) -> NDArray[Any]:
    """Solve H x = force within the free variables, until force . x hardly grows.

    Parameters
    ----------
    problem : Problem
        At its point last evaluated.
    force : array
        0 where not free; overwritten.
    free : array of bool or None
        Variables that may move; None: all.
    limit : int
        Most products.
    tolerance : float
        The `model_tolerance` of `newton_direction`.
    """
    solution = np.zeros_like(force)
    _conjugate_gradients(problem, solution, force, free, limit, tolerance, 0.0)
    return solution


@dataclass(frozen=True)
class Solution:
    """A solution of a linear problem.

    Attributes
    ----------
    vector : array
    steps : int
        Products used.
    residual : float
        What is left of the force in the norm of the preconditioner, sqrt(r . M^-1 r), relative to the whole.
    """

    vector: NDArray[Any]
    steps: int
    residual: float


def solve_linear(
    problem: Problem, force: NDArray, free: NDArray[np.bool_] | None, *, limit: int, tolerance: float
) -> Solution:
    """Solve H x = force within the free variables, to a relative residual in the norm of the preconditioner.

    That norm compares unknowns of different units.

    Parameters
    ----------
    problem : Problem
        At its point last evaluated.
    force : array
        0 where not free.
    free : array of bool or None
        Variables that may move; None: all.
    limit : int
        Most products.
    tolerance : float
    """

    def square(residual: NDArray) -> float:
        return max(problem.dot(residual, problem.precondition(residual, free)), 0.0)

    solution, residual, whole = np.zeros_like(force), force.copy(), square(force)
    if whole == 0:
        return Solution(solution, 0, 0.0)
    steps, _ = _conjugate_gradients(
        problem, solution, residual, free, limit, 0.0, 0.0, small=tolerance**2 * whole
    )
    return Solution(solution, steps, float(np.sqrt(square(residual) / whole)))


def _in_rounds(
    problem: Problem,
    vector: NDArray,
    gradient: NDArray,
    bounded: slice,
    solve: Callable[..., tuple[int, InnerStop]],
    limit: int,
    rounds: int,
) -> Direction:
    """Solve on the free variables, set those that crossed 0 to 0, and begin again from there."""
    solution, residual = np.zeros_like(gradient), -gradient
    room = -vector[bounded]
    used = 0
    while True:
        free = np.ones(len(vector), bool)
        free[bounded] = (solution[bounded] > room) | (residual[bounded] > 0)
        residual *= free
        rounds -= 1
        most = limit - used if rounds == 0 else min(ROUND_LIMIT, limit - used)
        steps, stop = solve(solution, residual, free, most)
        used += steps
        crossed = solution[bounded] < room
        if stop in (InnerStop.CURVATURE, InnerStop.NON_FINITE) or not problem.any(bool(crossed.any())):
            return Direction(solution, used, stop)
        np.maximum(solution[bounded], room, out=solution[bounded])
        # a further round needs a product for the residual and one for a step
        if rounds == 0 or limit - used < 2:
            return Direction(solution, used, stop)
        product, _ = problem.product_with_dots(solution, None)
        used += 1
        residual = -gradient - product


def _conjugate_gradients(
    problem: Problem,
    solution: NDArray,
    residual: NDArray,
    free: NDArray[np.bool_] | None,
    limit: int,
    model_tolerance: float,
    residual_tolerance: float,
    small: float = 0.0,
) -> tuple[int, InnerStop]:
    """Improve `solution` within the free variables; `residual` (0 elsewhere) is updated along with it.

    A residual r with r . M^-1 r up to `small` ends it. Return the products used, and how the run ended.
    """
    search, search_product = np.zeros_like(residual), np.zeros_like(residual)
    change = problem.precondition(residual, free)
    gamma_before = curvature_before = model = first_norm = 0.0
    for step in range(1, limit + 1):
        product, (gamma, delta, square) = problem.product_with_dots(change, residual)
        if free is not None:
            product *= free
        if not (np.isfinite(gamma) and np.isfinite(delta)):
            return step, InnerStop.NON_FINITE
        if gamma <= 0:
            return step, InnerStop.EXACT
        if gamma <= small:
            return step, InnerStop.RESIDUAL
        if step == 1:
            first_norm, beta, curvature = np.sqrt(square), 0.0, delta
        else:
            if np.sqrt(square) <= residual_tolerance * first_norm:
                return step, InnerStop.RESIDUAL
            beta = gamma / gamma_before
            curvature = delta - beta * beta * curvature_before
        if curvature <= 0:
            length = gamma / abs(curvature) if curvature < 0 else 1.0
            conjugate_gradient_step(length, beta, change, product, search, search_product, solution, residual)
            return step, InnerStop.CURVATURE
        alpha = gamma / curvature
        conjugate_gradient_step(alpha, beta, change, product, search, search_product, solution, residual)
        decrease = 0.5 * alpha * gamma
        model += decrease
        if step * decrease <= model_tolerance * model:
            return step, InnerStop.MODEL
        gamma_before, curvature_before = gamma, curvature
        if step < limit:
            change = problem.precondition(residual, free)
    return limit, InnerStop.LIMIT
