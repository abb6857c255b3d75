"""Quasi-Newton steps on small analytic problems, against BFGS with matrices; bounds; what goes wrong."""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy.optimize import nnls
from solver_problems import Problem, double_well, least_squares, quadratic, rosenbrock
from solver_problems import solve as solve_with

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.solver.bfgs_pairs import Pairs
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.settings import SolverSettings, Stops

EXACT = {"max_iterations": 200, "gradient_tolerance": 1e-9, "loss_tolerance": 0.0, "inner_limit": 10}


solve = partial(solve_with, QuasiNewton)


def inverse_hessian(pairs, diagonal, scale):
    """BFGS with whole matrices: V^T H V + rho s s^T for one pair after the other."""
    H = scale * np.diag(1 / diagonal)
    for s, y in pairs:
        rho = 1 / (s @ y)
        V = np.eye(len(s)) - rho * np.outer(y, s)
        H = V.T @ H @ V + rho * np.outer(s, s)
    return H


MEMORY = 5


@pytest.mark.parametrize("count", [1, 3, MEMORY, MEMORY + 4])
def test_two_loops_are_bfgs(count):
    """Also when the oldest pairs have been given up."""
    rng = np.random.default_rng(count)
    n = 14
    A = rng.normal(size=(n, n))
    curvature = A @ A.T + np.eye(n)
    diagonal = np.diag(curvature).copy()
    kept, pairs = Pairs(MEMORY, n, np.float64), []
    for _ in range(count):
        s = rng.normal(size=n)
        y = curvature @ s
        row = kept.room()
        kept.steps[row], kept.changes[row] = s, y
        scale = (s @ y) / (y @ (y / diagonal))
        kept.keep(row, kept.steps @ y, scale)
        pairs.append((s, y))
    vector = rng.normal(size=n)
    a = kept.first(kept.steps @ vector)
    middle = kept.scale * (vector - a @ kept.changes) / diagonal
    result = middle + kept.second(a, kept.changes @ middle) @ kept.steps
    expected = inverse_hessian(pairs[-MEMORY:], diagonal, scale) @ vector
    np.testing.assert_allclose(result, expected, rtol=1e-9)
    kept.clear()
    assert not kept


def test_quadratic():
    problem, H, b = quadratic(n=30)
    vector, reason, history = solve(problem, **EXACT)
    assert reason.converged
    np.testing.assert_allclose(vector, np.linalg.solve(H, b), rtol=1e-5, atol=1e-7)
    assert [i.number for i in history] == list(range(len(history)))
    assert all(after.value < before.value for before, after in itertools.pairwise(history))


def test_the_preconditioner_is_where_the_formula_starts():
    """With the exact diagonal of a diagonal Hessian one step is enough; without, it is not."""
    scales = np.logspace(0, 4, 20)
    counts = []
    for diagonal in (scales, None):
        problem = Problem(
            lambda x: 0.5 * (scales * x * x).sum() - x.sum(), lambda x: scales * x - 1,
            lambda x: np.diag(scales), np.zeros(20), diagonal=diagonal,
        )  # fmt: skip
        vector, _, _ = solve(problem, **EXACT)
        np.testing.assert_allclose(vector, 1 / scales, rtol=1e-6)
        counts.append(problem.sweeps)
    assert counts[0] < 10 < counts[1]


def test_rosenbrock():
    vector, reason, _ = solve(rosenbrock(), **EXACT)
    assert reason.converged
    np.testing.assert_allclose(vector, [1, 1], atol=1e-6)


def test_negative_curvature_keeps_no_pair():
    """From near a maximum the first steps have s.y < 0: they are taken, and not learned from."""
    vector, _, _ = solve(double_well(np.array([0.05, -0.02, 0.3])), **EXACT)
    np.testing.assert_allclose(np.abs(vector), 1, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_bounds(seed):
    """Against an active-set method; at the end held variables are pushed outward, the others are at rest."""
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(30, 12)), rng.normal(size=30)
    problem = least_squares(A, b, nonnegative=slice(0, 12))
    lowest = []
    vector, _, _ = solve(problem, report=lambda i: lowest.append(i.vector.min()), **EXACT)
    np.testing.assert_allclose(vector, nnls(A, b)[0], atol=1e-6)
    assert min(lowest) >= 0 and all(point.min() >= 0 for point in problem.evaluated)
    gradient = A.T @ (A @ vector - b)
    assert (gradient[vector == 0] > -1e-7).all() and np.abs(gradient[vector > 0]).max() < 1e-6


def test_bounds_of_some():
    A, b = np.random.default_rng(8).normal(size=(2, 20, 20))
    problem = least_squares(A, b[0], nonnegative=slice(5, 9))
    vector, _, _ = solve(problem, **EXACT)
    assert (vector[5:9] >= 0).all() and (vector < 0).any()
    free, _, _ = solve(least_squares(A, b[0], nonnegative=slice(5, 9)), nonnegative=False, **EXACT)
    assert (free[5:9] < 0).any()


def test_a_point_that_is_not_finite_is_never_taken():
    """The logarithm's barrier: beyond it the loss is NaN, and the step is cut."""

    def function(x):
        with np.errstate(invalid="ignore", divide="ignore"):
            return float((x - np.log(1 - x)).sum()) if (x < 1).all() else np.nan

    problem = Problem(
        function, lambda x: np.where(x < 1, 1 + 1 / (1 - np.where(x < 1, x, 0)) - 4, np.nan),
        lambda x: np.diag(1 / (1 - x) ** 2), np.full(3, -30.0),
    )  # fmt: skip
    problem.function = lambda x: function(x) - 4 * x.sum()
    vector, _, history = solve(problem, **EXACT)
    np.testing.assert_allclose(vector, 1 - 1 / 3, rtol=1e-5)
    assert all(np.isfinite(i.value) for i in history)


def test_a_gradient_that_is_not_finite_is_never_taken():
    problem, H, b = quadratic(n=6)
    slope, calls = problem.slope, []

    def damaged(x):
        calls.append(None)
        return slope(x) * (np.nan if len(calls) == 3 else 1.0)

    problem.slope = damaged
    vector, _, _ = solve(problem, **EXACT)
    np.testing.assert_allclose(vector, np.linalg.solve(H, b), rtol=1e-6)


def test_where_nothing_lowers_the_loss():
    """The gradient lies: the solver ends where it was, and the problem remembers that point."""
    problem, _, _ = quadratic(n=5)
    problem.slope, honest = (lambda x: -honest(x)), problem.slope
    vector, reason, history = solve(problem, **EXACT)
    assert reason is Reason.LINE_SEARCH and len(history) == 1
    np.testing.assert_array_equal(vector, problem.initial)
    np.testing.assert_array_equal(problem.point, vector)


def test_iterations_are_some_steps_each():
    problem, _, _ = quadratic(n=40, lowest=1e-3)
    _, reason, history = solve(
        problem, max_iterations=3, inner_limit=7, gradient_tolerance=0, loss_tolerance=0
    )
    assert reason is Reason.ITERATIONS
    assert [i.inner_steps for i in history] == [0, 7, 7, 7]


@pytest.mark.parametrize("budget", [5, 8, 23])
def test_sweeps(budget):
    problem, _, _ = quadratic(n=60, lowest=1e-4)
    _, reason, _ = solve(problem, max_sweeps=budget, gradient_tolerance=0, loss_tolerance=0)
    assert reason is Reason.SWEEPS and problem.sweeps <= budget


def test_callback_and_another_problem():
    problem, _, _ = quadratic(n=10)
    _, reason, history = solve(problem, report=lambda i: i.number == 2, inner_limit=1)
    assert reason is Reason.CALLBACK and len(history) == 3
    # what was learned of one problem is not used for the next
    problem, _, _ = quadratic(n=10)

    def prepare(number, converged):
        if number == 2:
            problem.function = lambda x: 50 * (x**2).sum()
            problem.slope = lambda x: 100 * x
        return number == 2

    vector, _, _ = solve(problem, prepare=prepare, **EXACT)
    np.testing.assert_allclose(vector, 0, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision(dtype):
    problem, H, b = quadratic(n=8, initial=np.zeros(8, dtype))
    vector, _, _ = solve(problem, **EXACT | {"gradient_tolerance": 1e-5})
    assert vector.dtype == dtype
    np.testing.assert_allclose(vector, np.linalg.solve(H, b), rtol=1e-3 if dtype == np.float32 else 1e-4)


def noted(function, made):
    """Note each call of a function by its name."""

    def run(*arguments):
        made.append(function.__name__)
        return function(*arguments)

    return run


def test_a_rank_that_owns_no_bounded_number_takes_part_in_all_reductions():
    """Where others have bounds; else they would wait for it."""
    calls, lowest = [], np.linspace(20, 80, 6)
    for nonnegative in (slice(0, 6), slice(0, 0)):
        problem, _, _ = quadratic(n=6, initial=np.full(6, 100.0), nonnegative=nonnegative)
        problem.function = lambda x: 0.25 * ((x - lowest) ** 4).sum()  # the bounds hold nothing back
        problem.slope = lambda x: (x - lowest) ** 3
        problem.any = lambda *flags: True  # another rank has bounds
        made = []
        calls.append(made)
        for name in ("sum", "dot", "smallest"):
            setattr(problem, name, noted(getattr(problem, name), made))
        solver = QuasiNewton(problem, SolverSettings(inner_limit=4), Stops())
        assert solver.step(solver.start(problem.initial)).inner_steps == 4
    assert calls[0] == calls[1] and "dot" in calls[0]
