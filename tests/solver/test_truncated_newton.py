"""The solver on small analytic problems: inner solves, bounds, reasons to stop, budgets, records."""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy.optimize import lsq_linear, nnls
from solver_problems import Problem, double_well, least_squares, quadratic, rosenbrock
from solver_problems import solve as solve_with

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.solver.conjugate_gradients import InnerStop, newton_direction
from ptyxrf.driver.solver.line_search import search_step
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton

#: Options that stop at the optimum only.
EXACT = {"max_iterations": 400, "gradient_tolerance": 1e-9, "loss_tolerance": 0.0, "model_tolerance": 0.0}


solve = partial(solve_with, TruncatedNewton)


# ---------------------------------------------------------------- inner solve


def textbook(H, residual, diagonal, free=None):
    """Yield (iterate, quadratic model, residual norm) of preconditioned conjugate gradients, i = 1, 2, ..."""
    free = np.ones(len(residual)) if free is None else free
    r = residual * free
    b, x = r.copy(), np.zeros_like(r)
    z = r / diagonal
    p = z.copy()
    while True:
        w = free * (H @ p)
        a = (r @ z) / (p @ w)
        x = x + a * p
        old, r = r @ z, r - a * w
        z = r / diagonal
        p = z + (r @ z) / old * p
        yield x, 0.5 * x @ H @ x - b @ x, np.linalg.norm(r)


def inner_solve(problem, gradient, bounded=slice(0, 0), **options):
    return newton_direction(problem, problem.point, gradient, bounded, **options)


INNER = {"limit": 100, "model_tolerance": 0.0, "residual_tolerance": 0.0}


@pytest.mark.parametrize("preconditioned", [False, True])
def test_exact_solution(preconditioned):
    problem, H, _b = quadratic(diagonal=np.linspace(1, 4, 12) if preconditioned else None)
    _, gradient = problem.value_and_gradient(np.full(12, 0.3))
    direction = inner_solve(problem, gradient, **INNER | {"limit": 12})
    np.testing.assert_allclose(direction.vector, -np.linalg.solve(H, gradient), rtol=1e-8)
    assert direction.steps == problem.products == 12
    assert direction.stop is InnerStop.LIMIT


def test_exact_solution_within_the_free_variables():
    """Variables at their bound that the gradient pushes outward are held; no other one meets its bound."""
    problem, H, _ = quadratic()
    point, gradient = np.full(12, 100.0), np.random.default_rng(5).normal(size=12)
    held = np.zeros(12, bool)
    held[4:9] = gradient[4:9] > 0
    assert 0 < held.sum() < 5
    point[held] = 0
    problem.value_and_gradient(point)
    direction = inner_solve(problem, gradient, slice(4, 9), **INNER | {"limit": int((~held).sum())})
    assert not direction.vector[held].any()
    expected = -np.linalg.solve(H[np.ix_(~held, ~held)], gradient[~held])
    np.testing.assert_allclose(direction.vector[~held], expected, rtol=1e-8)


@pytest.mark.parametrize("rounds", [1, 8])
def test_a_full_step_stays_within_the_bounds(rounds):
    problem, _, _ = quadratic(40)
    rng = np.random.default_rng(6)
    point = np.maximum(rng.normal(size=40), 0)
    value, gradient = problem.value_and_gradient(point)
    direction = inner_solve(problem, gradient, slice(5, 30), **INNER | {"limit": 20}, rounds=rounds)
    assert (point + direction.vector)[5:30].min() >= 0
    assert (point + direction.vector).min() < 0  # the others go where they like
    assert direction.steps == problem.products <= 20
    assert problem.function(point + direction.vector) < value


def test_as_many_steps_as_different_eigenvalues():
    H = np.diag([1.0, 1.0, 5.0, 5.0, 9.0, 9.0])
    b = np.arange(1.0, 7)
    problem = Problem(lambda x: 0.5 * x @ H @ x - b @ x, lambda x: H @ x - b, lambda x: H, np.zeros(6))
    _, gradient = problem.value_and_gradient(problem.initial)
    direction = inner_solve(problem, gradient, **INNER | {"residual_tolerance": 1e-10})
    assert direction.stop is InnerStop.RESIDUAL
    assert direction.steps == 4  # the fourth product comes with the dots that show the residual
    np.testing.assert_allclose(direction.vector, b / np.diag(H), rtol=1e-12)


@pytest.mark.parametrize("tolerance", [0.5, 0.1, 0.02])
def test_nash_and_sofer_stop(tolerance):
    """The first i with i (1 - q_{i-1}/q_i) < tolerance, and the iterate of textbook conjugate gradients."""
    diagonal = np.linspace(1, 3, 60)
    problem, H, b = quadratic(60, lowest=0.5, diagonal=diagonal)
    _, gradient = problem.value_and_gradient(problem.initial)
    before = 0.0
    for i, (x, q, _) in enumerate(textbook(H, b, diagonal), start=1):  # noqa: B007
        if i * (1 - before / q) < tolerance:
            break
        before = q
    assert 1 < i < 60
    direction = inner_solve(problem, gradient, **INNER | {"model_tolerance": tolerance})
    assert direction.stop is InnerStop.MODEL
    assert direction.steps == i
    np.testing.assert_allclose(direction.vector, x, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("tolerance", [0.3, 1e-2])
def test_residual_stop(tolerance):
    problem, H, b = quadratic()
    _, gradient = problem.value_and_gradient(problem.initial)
    for x, _, norm in textbook(H, b, np.ones(12)):  # noqa: B007
        if norm <= tolerance * np.linalg.norm(b):
            break
    direction = inner_solve(problem, gradient, **INNER | {"residual_tolerance": tolerance})
    assert direction.stop is InnerStop.RESIDUAL
    np.testing.assert_allclose(direction.vector, x, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("curvature", [-3.0, -1e-3])
def test_negative_curvature_at_once(curvature):
    """It is used by its modulus, not dropped."""
    problem = Problem(
        lambda x: x[0] + 0.5 * curvature * x[0] ** 2,
        lambda x: 1 + curvature * x,
        lambda x: np.array([[curvature]]),
        [0.0],
    )
    _, gradient = problem.value_and_gradient(problem.initial)
    direction = inner_solve(problem, gradient, **INNER)
    assert direction.stop is InnerStop.CURVATURE
    assert direction.steps == 1
    np.testing.assert_allclose(direction.vector, [-1 / abs(curvature)])


def test_negative_curvature_after_some_steps():
    H = np.diag([8.0, 4.0, -0.5])
    b = np.array([1.0, 1.0, 0.05])
    problem = Problem(lambda x: 0.5 * x @ H @ x - b @ x, lambda x: H @ x - b, lambda x: H, np.zeros(3))
    value, gradient = problem.value_and_gradient(problem.initial)
    direction = inner_solve(problem, gradient, **INNER)
    assert direction.stop is InnerStop.CURVATURE
    assert direction.steps > 1
    assert gradient @ direction.vector < 0
    assert direction.vector[2] > 0.05 / 0.5  # farther than positive curvature of that size alone would go
    assert problem.function(direction.vector) < value


def test_no_curvature_and_no_gradient():
    flat = Problem(lambda x: x.sum(), np.ones_like, lambda x: np.zeros((2, 2)), np.zeros(2))
    _, gradient = flat.value_and_gradient(flat.initial)
    direction = inner_solve(flat, gradient, **INNER)
    assert direction.stop is InnerStop.CURVATURE
    np.testing.assert_array_equal(direction.vector, [-1, -1])
    exact = inner_solve(flat, np.zeros(2), **INNER)
    assert exact.stop is InnerStop.EXACT
    assert not exact.vector.any()


def test_products_that_are_not_finite():
    calls = iter(range(100))
    problem, H, _ = quadratic()
    problem.hessian = lambda x: H if next(calls) < 3 else H * np.nan
    _, gradient = problem.value_and_gradient(problem.initial)
    direction = inner_solve(problem, gradient, **INNER)
    assert direction.stop is InnerStop.NON_FINITE
    assert np.isfinite(direction.vector).all()
    assert gradient @ direction.vector < 0


# ---------------------------------------------------------------- line search


def test_line_search_finds_the_minimum_of_a_parabola():
    for minimum in (0.2, 0.9, 1.3, 4.0):
        problem = Problem(lambda x, a=minimum: (x[0] - a) ** 2, lambda x, a=minimum: 2 * (x - a), None, [0.0])
        value, _ = problem.value_and_gradient(problem.initial)
        length = search_step(problem, np.array([1.0]), value, np.inf)
        assert length == pytest.approx(minimum, rel=1e-12)
        assert problem.sweeps == 1.5  # one forward-only pass


def test_line_search_takes_short_steps_too():
    problem = Problem(lambda x: (x[0] - 2e-4) ** 2, lambda x: 2 * (x - 2e-4), None, [0.0])
    value, _ = problem.value_and_gradient(problem.initial)
    length = search_step(problem, np.array([1.0]), value, np.inf)
    assert 0 < length < 4e-4
    assert search_step(problem, np.array([-1.0]), value, np.inf) == 0  # uphill


@pytest.mark.parametrize("longest", [1.0, 1.2, 4.0])
def test_line_search_stays_within_the_bounds(longest):
    problem = Problem(lambda x: -x[0], lambda x: -np.ones(1), None, [0.0])
    value, _ = problem.value_and_gradient(problem.initial)
    assert search_step(problem, np.array([1.0]), value, longest) == pytest.approx(longest)


@pytest.mark.parametrize("beyond", [np.nan, np.inf])
@pytest.mark.parametrize("wall", [0.2, 0.6, 1.2, 2.5])
def test_line_search_beside_values_that_are_not_finite(beyond, wall):
    """The best finite step is taken although its neighbour has no value."""
    problem = Problem(lambda x: -x[0] if x[0] < wall else beyond, lambda x: -np.ones(1), None, [0.0])
    value, _ = problem.value_and_gradient(problem.initial)
    length = search_step(problem, np.array([1.0]), value, np.inf)
    assert 0 < length < 1.5 * wall


# ---------------------------------------------------------------- minimisation


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_quadratic(dtype):
    problem, H, b = quadratic(initial=np.ones(12, dtype))
    vector, reason, history = solve(
        problem, **EXACT | {"gradient_tolerance": 1e-9 if dtype == np.float64 else 1e-4}
    )
    assert vector.dtype == dtype
    assert reason.converged
    np.testing.assert_allclose(
        vector, np.linalg.solve(H, b), rtol=1e-6 if dtype == np.float64 else 1e-3, atol=1e-5
    )
    if dtype == np.float64:
        assert reason is Reason.GRADIENT
        assert len(history) <= 4  # the start and a Newton step or two


def test_rosenbrock():
    vector, reason, history = solve(rosenbrock(), **EXACT)
    assert reason is Reason.GRADIENT
    np.testing.assert_allclose(vector, [1, 1], rtol=1e-6)
    assert len(history) < 60


@pytest.mark.parametrize("start", [1e-3, -0.02, 0.4])
def test_double_well(start):
    """Near the maximum the curvature is negative: the step must still lead away from it."""
    vector, reason, history = solve(double_well(np.array([start, -start, 2.0])), **EXACT)
    assert reason is Reason.GRADIENT
    np.testing.assert_allclose(np.abs(vector), 1, rtol=1e-6)
    np.testing.assert_array_equal(np.sign(vector), np.sign([start, -start, 1]))
    assert len(history) < 15


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("condition", [1.0, 1e3])
def test_nonnegative_least_squares(seed, condition):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(30, 12)) * np.geomspace(1, np.sqrt(condition), 12) + condition**0.25
    b = rng.normal(size=30) * 3 + 0.5
    expected, norm = nnls(A, b)
    assert (expected == 0).any()  # some variables are held
    problem = least_squares(A, b, np.ones(12), nonnegative=slice(0, 12), diagonal=(A * A).sum(axis=0))
    vector, reason, history = solve(problem, **EXACT | {"max_iterations": 1000})
    assert reason.converged
    assert (vector >= 0).all()
    assert history[-1].value == pytest.approx(0.5 * norm**2, rel=1e-8)
    np.testing.assert_allclose(vector, expected, rtol=1e-3, atol=1e-5)
    for point in problem.evaluated:
        assert (point >= 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_bounds_on_some_variables(seed):
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(30, 12)), rng.normal(size=30) * 3
    low = np.full(12, -np.inf)
    low[4:9] = 0
    expected = lsq_linear(A, b, (low, np.inf), tol=1e-14)
    assert (expected.x[:4] < 0).any() or (expected.x[9:] < 0).any()
    vector, reason, _ = solve(least_squares(A, b, nonnegative=slice(4, 9)), **EXACT)
    assert reason.converged
    np.testing.assert_allclose(vector, expected.x, rtol=1e-5, atol=1e-6)
    free, _, _ = solve(least_squares(A, b, nonnegative=slice(4, 9)), **EXACT, nonnegative=False)
    np.testing.assert_allclose(free, np.linalg.lstsq(A, b)[0], rtol=1e-6, atol=1e-8)


def test_bounds_with_a_nonconvex_function():
    """From the negative side of the hill the bound is the best that there is."""
    problem = double_well(np.array([0.5, -0.5, 0.0]))
    problem.nonnegative = slice(0, 3)
    vector, _, history = solve(problem, **EXACT)
    np.testing.assert_allclose(vector, [1, 0, 0], atol=1e-6)  # the start is moved to its bound
    assert history[0].vector[1] == 0


def test_single_precision_never_steps_below_the_bound():
    rng = np.random.default_rng(1)
    A, b = rng.normal(size=(40, 20)), rng.normal(size=40)
    problem = least_squares(A, b, np.full(20, 0.1, np.float32), nonnegative=slice(0, 20))
    vector, _, _ = solve(problem, max_iterations=50)
    assert all((point >= 0).all() for point in problem.evaluated)
    assert 0.5 * ((A @ vector - b) ** 2).sum() == pytest.approx(0.5 * nnls(A, b)[1] ** 2, rel=1e-4)


def test_a_bound_that_holds_everything():
    problem = least_squares(np.eye(3), -np.ones(3), nonnegative=slice(0, 3))
    vector, reason, history = solve(problem)
    assert reason is Reason.STATIONARY
    assert not vector.any()
    assert history[0].norm == 0


# ---------------------------------------------------------------- reasons


def test_gradient_and_iterations():
    problem, H, b = quadratic()
    vector, reason, history = solve(problem, gradient_tolerance=1e-2, loss_tolerance=0.0)
    assert reason is Reason.GRADIENT
    assert np.linalg.norm(H @ vector - b) <= 1e-2 * np.linalg.norm(b)
    assert history[-2].norm > 1e-2 * np.linalg.norm(b)
    _, reason, history = solve(rosenbrock(), max_iterations=3, gradient_tolerance=0.0)
    assert reason is Reason.ITERATIONS
    assert [record.number for record in history] == [0, 1, 2, 3]
    vector, reason, history = solve(rosenbrock(), max_iterations=0)
    assert reason is Reason.ITERATIONS
    assert len(history) == 1
    np.testing.assert_array_equal(vector, [-1.2, 1.0])


def test_loss():
    problem, _, _ = quadratic()
    offset = problem.function
    problem.function = lambda x: 1e6 + offset(x)
    _, reason, history = solve(
        problem, gradient_tolerance=0.0, loss_tolerance=1e-5, patience=3, inner_limit=1
    )
    assert reason is Reason.LOSS
    assert len(history) == 4  # the start and three small decreases
    _, _, history = solve(problem, gradient_tolerance=0.0, loss_tolerance=1e-5, patience=1, inner_limit=1)
    assert len(history) == 2


def test_line_search_reason():
    """A gradient that points the wrong way: no step lowers the value."""
    problem = Problem(lambda x: (x**2).sum(), lambda x: -2 * x, lambda x: 2 * np.eye(2), [1.0, 1.0])
    vector, reason, history = solve(problem)
    assert reason is Reason.LINE_SEARCH
    assert len(history) == 1
    np.testing.assert_array_equal(vector, [1, 1])
    np.testing.assert_array_equal(problem.point, vector)  # the problem remembers the point that is returned


def test_callback_reason():
    seen = []

    def stop(iteration):
        seen.append(iteration.number)
        return iteration.number == 2

    vector, reason, history = solve(rosenbrock(), stop)
    assert reason is Reason.CALLBACK
    assert seen == [0, 1, 2]
    np.testing.assert_array_equal(vector, history[-1].vector)
    assert solve(rosenbrock(), lambda iteration: True)[1] is Reason.CALLBACK


def test_stationary():
    vector, reason, history = solve(double_well(np.zeros(3)))
    assert reason is Reason.STATIONARY
    assert len(history) == 1
    assert not vector.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_start_that_is_not_finite(bad):
    problem = Problem(lambda x: bad, lambda x: np.ones(2), lambda x: np.eye(2), np.zeros(2))
    assert solve(problem)[1] is Reason.NON_FINITE
    problem = Problem(lambda x: 1.0, lambda x: np.array([1.0, bad]), lambda x: np.eye(2), np.zeros(2))
    assert solve(problem)[1] is Reason.NON_FINITE


@pytest.mark.parametrize("beyond", [np.nan, np.inf])
def test_a_function_that_ends(beyond):
    """The result is the last finite point, and steps go on up to the edge."""
    problem = Problem(
        lambda x: ((x - 5) ** 2).sum() if x[0] < 2 else beyond,
        lambda x: 2 * (x - 5),
        lambda x: 2 * np.eye(2),
        np.zeros(2),
    )
    vector, reason, history = solve(problem, gradient_tolerance=1e-9, loss_tolerance=0.0)
    assert reason in (Reason.LINE_SEARCH, Reason.NON_FINITE)
    assert problem.function(vector) == history[-1].value
    assert 1.5 < vector[0] < 2
    assert all(np.isfinite(record.value) for record in history)


def test_a_gradient_that_ends():
    """A point with a finite value and without a gradient is no point to stay at."""
    problem = Problem(
        lambda x: ((x - 5) ** 2).sum(),
        lambda x: 2 * (x - 5) if x[0] < 2 else np.full(2, np.nan),
        lambda x: 2 * np.eye(2),
        np.zeros(2),
    )
    vector, reason, history = solve(problem, gradient_tolerance=1e-9, loss_tolerance=0.0)
    assert reason in (Reason.LINE_SEARCH, Reason.NON_FINITE)
    assert vector[0] < 2
    assert all(np.isfinite(record.norm) for record in history)


def test_a_hessian_that_is_not_finite_leaves_the_gradient():
    problem = Problem(lambda x: (x**2).sum(), lambda x: 2 * x, lambda x: np.full((2, 2), np.nan), [1.0, 2.0])
    vector, reason, history = solve(problem, max_iterations=5)
    assert np.isfinite(vector).all()
    assert history[-1].value < 1e-2
    assert "gradient step" in history[1].note
    assert reason in (Reason.GRADIENT, Reason.ITERATIONS)


def test_reasons_are_sentences():
    for reason in Reason:
        assert reason.value[0].isupper()
        assert reason.value.endswith(".")
    assert {r for r in Reason if r.converged} == {
        Reason.GRADIENT,
        Reason.LOSS,
        Reason.NOISE,
        Reason.LINE_SEARCH,
        Reason.STATIONARY,
    }


# ---------------------------------------------------------------- budgets and records


@pytest.mark.parametrize("budget", [0, 1, 2.5, 3, 4, 5, 7.5, 12, 20, 33, 50])
def test_sweeps_are_not_overrun(budget):
    """A step needs a product, a line search and a gradient; only the start is evaluated in any case."""
    problem, _, _ = quadratic(40, lowest=1e-3)
    _, reason, history = solve(
        problem, max_sweeps=budget, gradient_tolerance=0.0, loss_tolerance=0.0, inner_limit=4
    )
    assert reason is Reason.SWEEPS
    assert problem.sweeps <= max(1, budget)
    assert problem.sweeps > budget - 3.5  # and used up as far as a step goes
    if budget >= 4:
        assert len(history) > 1


def test_seconds():
    problem, _, _ = quadratic(40, lowest=1e-3, delay=2e-3)
    _, reason, history = solve(
        problem, max_seconds=0.3, gradient_tolerance=0.0, loss_tolerance=0.0, inner_limit=3
    )
    assert reason is Reason.SECONDS
    assert len(history) > 2
    assert history[-1].seconds >= 0.3
    assert history[-2].seconds < 0.3  # only an iteration that has begun is finished
    problem, _, _ = quadratic()
    assert solve(problem, max_seconds=0.0)[1] is Reason.SECONDS
    assert problem.sweeps == 1


def test_inner_limit():
    problem, _, _ = quadratic(40, lowest=1e-3)
    _, _, history = solve(
        problem, inner_limit=3, model_tolerance=0.0, residual_tolerance=0.0, max_iterations=4
    )
    assert [record.inner_steps for record in history] == [0, 3, 3, 3, 3]


def test_records():
    problem = rosenbrock()
    vector, _, history = solve(problem, **EXACT)
    assert [record.number for record in history] == list(range(len(history)))
    assert (history[0].inner_steps, history[0].step) == (0, 0.0)
    assert history[0].value == pytest.approx(24.2)
    assert history[0].norm == pytest.approx(np.hypot(-215.6, -88.0))
    for before, after in itertools.pairwise(history):
        assert after.value < before.value
        assert after.seconds >= before.seconds
        assert after.step > 0
        assert after.inner_steps >= 1
        assert after.note
        assert after.value == pytest.approx(problem.function(after.vector), rel=1e-12)
    assert sum(record.inner_steps for record in history) == problem.products
    np.testing.assert_array_equal(vector, history[-1].vector)


def test_a_problem_that_changes():
    """`prepare` frees another unknown before the third iteration; the solver sees the new gradient."""
    H = np.diag([2.0, 3.0, 4.0])
    b = np.array([1.0, 2.0, 3.0])
    mask = np.array([1.0, 1.0, 0.0])
    problem = Problem(
        lambda x: 0.5 * x @ H @ x - b @ x,
        lambda x: mask * (H @ x - b),
        lambda x: mask[:, None] * H * mask,
        np.zeros(3),
    )
    calls = []

    def prepare(number, converged=False):
        calls.append(number)
        if number == 3:
            mask[2] = 1
            return True
        return False

    options = {"max_iterations": 60, "gradient_tolerance": 1e-6, "loss_tolerance": 0.0, "inner_limit": 1}
    vector, reason, _ = solve(problem, prepare=prepare, **options)
    assert calls[:3] == [1, 2, 3]
    assert reason is Reason.GRADIENT
    np.testing.assert_allclose(vector, b / np.diag(H), rtol=1e-5)


def test_the_start_is_not_changed():
    problem = rosenbrock()
    start = problem.initial.copy()
    solve(problem, max_iterations=5)
    np.testing.assert_array_equal(problem.initial, start)
