"""The three kinds of unknowns on a problem of their own: derivatives, solvers, checkpoints."""

import numpy as np
import pytest
from cases import make_scan
from kinds_problem import KindsProblem
from solver_problems import solve

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton


@pytest.fixture
def problem():
    return KindsProblem(make_scan("three-positions"))


def test_replicated_unknowns_come_last(problem):
    assert problem.layout.names == ("map", "shifts", "slopes")
    assert problem.layout.cut == problem.layout.size - 2
    assert problem.slopes.view(problem.initial).base is not None


def test_taylor_rates(problem):
    direction = np.random.default_rng(2).normal(size=problem.layout.size)
    value, gradient = problem.value_and_gradient(problem.initial)
    product, _ = problem.product_with_dots(direction, None)
    slope, curvature = problem.dot(gradient, direction), problem.dot(product, direction)
    steps = np.array([1e-2, 5e-3])
    losses = problem.losses_along(direction, steps)
    first = np.abs(losses - value - steps * slope)
    second = np.abs(losses - value - steps * slope - 0.5 * steps**2 * curvature)
    assert np.log2(first[0] / first[1]) == pytest.approx(2, abs=0.1)
    assert np.log2(second[0] / second[1]) == pytest.approx(3, abs=0.1)


def test_scatter_and_gather(problem):
    arrays = problem.layout.gather(problem.initial)
    np.testing.assert_array_equal(problem.layout.scatter(arrays), problem.initial)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("map", np.zeros((2, 2)), r"map: expected shape .* or a number, got \(2, 2\)"),
        ("shifts", np.zeros(3), r"shifts: expected shape \(3, 1\), got \(3,\)"),
        ("slopes", np.array([1.0, np.inf]), "slopes: expected finite numbers, got NaN or infinity"),
    ],
)
def test_wrong_arrays_are_named(problem, name, value, message):
    arrays = problem.layout.gather(problem.initial)
    with pytest.raises(ValueError, match=message):
        problem.layout.scatter(arrays | {name: value})
    with pytest.raises(ValueError, match="scatter: expected map, shifts, slopes, got map"):
        problem.layout.scatter({"map": 0.0})


@pytest.mark.parametrize("solver", [QuasiNewton, TruncatedNewton])
def test_both_solvers_end_where_the_gradient_vanishes(problem, solver):
    vector, reason, _ = solve(
        solver, problem, max_iterations=200, gradient_tolerance=1e-8, loss_tolerance=0.0, nonnegative=False
    )
    assert reason is Reason.GRADIENT
    assert np.abs(problem.value_and_gradient(vector)[1]).max() < 1e-6


@pytest.mark.parametrize("name", ["map", "shifts", "slopes"])
def test_a_held_unknown_does_not_move(problem, name):
    problem.layout.held = frozenset({name})
    vector, _, _ = solve(QuasiNewton, problem, max_iterations=5, nonnegative=False)
    before, after = problem.layout.gather(problem.initial), problem.layout.gather(vector)
    np.testing.assert_array_equal(after[name], before[name])
    assert all(not np.array_equal(after[other], before[other]) for other in before if other != name)


def test_a_checkpoint_has_all_kinds(problem):
    vectors = {"unknowns": problem.initial, "step_0": 2 * problem.initial}
    content = problem.layout.store(vectors)
    assert content.fields.keys() == vectors.keys()
    assert content.arrays.keys() == {f"{name}.{kind}" for name in vectors for kind in ("shifts", "slopes")}
    for name, vector in problem.layout.restore(list(vectors), content).items():
        np.testing.assert_array_equal(vector, vectors[name])
