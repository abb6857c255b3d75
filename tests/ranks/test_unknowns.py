"""The three kinds of unknowns are the same on any number of ranks."""

import numpy as np
import pytest
from cases import make_scan, relative
from kinds_problem import KindsProblem

from ptyxrf.driver.objective.unknown_kinds import StoredVectors
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.state import Saved
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton


def alike(ours, one, mine, theirs, tolerance):
    whole, expected = ours.layout.gather(mine), one.layout.gather(theirs)
    assert all(relative(whole[name], expected[name]) < tolerance for name in expected)


@pytest.fixture
def both(comm):
    scan = make_scan("snake-positive")
    return KindsProblem(scan, comm), KindsProblem(scan)


def test_gradient_product_and_dots(both):
    ours, one = both
    value, gradient = one.value_and_gradient(one.initial)
    our_value, our_gradient = ours.value_and_gradient(ours.initial)
    assert our_value == pytest.approx(value, rel=1e-12)
    alike(ours, one, our_gradient, gradient, 1e-12)
    product, dots = one.product_with_dots(one.initial, gradient)
    our_product, our_dots = ours.product_with_dots(ours.initial, our_gradient)
    alike(ours, one, our_product, product, 1e-12)
    np.testing.assert_allclose(our_dots, dots, rtol=1e-12)
    assert ours.dot(our_gradient, our_product) == pytest.approx(one.dot(gradient, product), rel=1e-12)


@pytest.mark.parametrize("solver", [QuasiNewton, TruncatedNewton])
def test_iterations_and_a_checkpoint_between_them(both, solver):
    """After three iterations the state is stored by all ranks, read back by each, and iterated on."""
    ended = []
    for problem in both:
        minimiser = solver(problem, SolverSettings(inner_limit=2), Stops(loss_tolerance=0.0))
        state = minimiser.start(problem.initial)
        for _ in range(3):
            state = minimiser.step(state)
        saved = Saved.of(state)
        content = problem.layout.store({"unknowns": saved.vector, **saved.memory.vectors})
        content = StoredVectors(
            {name: field.copy() for name, field in content.fields.items()}, dict(content.arrays)
        )
        straight = minimiser.step(minimiser.step(state))
        vectors = problem.layout.restore(list(content.fields), content)
        again = solver(problem, SolverSettings(inner_limit=2), Stops(loss_tolerance=0.0))
        memory = type(saved.memory)(saved.memory.numbers, vectors)
        state = again.restore(Saved(
            vectors.pop("unknowns"), saved.number, saved.first_norm, saved.slow, saved.settled, saved.seconds,
            memory,
        ))  # fmt: skip
        resumed = again.step(again.step(state))
        np.testing.assert_array_equal(resumed.vector, straight.vector)
        ended.append((resumed.value, resumed.vector))
    (our_value, mine), (value, theirs) = ended
    assert our_value == pytest.approx(value, rel=1e-10)
    alike(*both, mine, theirs, 1e-8)
