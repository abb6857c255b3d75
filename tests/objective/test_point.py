"""An objective at a point: the Hessian as an operator, older points, and no point at all."""

import numpy as np
import pytest
from cases import make_scan, random_unknowns
from scipy.sparse.linalg import LinearOperator, cg

from ptyxrf import Objective


@pytest.fixture(params=["cached", "low"])
def objective(request):
    return Objective(make_scan("raster-grid"), memory=request.param)


def vectors(objective, count):
    arrays = (random_unknowns(objective.scan, objective.unknowns, seed) for seed in range(count))
    return [objective.scatter(**each) for each in arrays]


@pytest.mark.parametrize(
    "ask",
    [
        lambda objective, d: objective.hessian_product(d),
        lambda objective, d: objective.product_with_dots(d, None),
        lambda objective, d: objective.losses_along(d, [0.0, 1.0]),
        lambda objective, d: objective.precondition(d),
        lambda objective, d: objective.inverse_blocks(),
        lambda objective, d: objective.pattern_misfit(),
    ],
)
def test_without_a_point_there_is_an_error(objective, ask):
    with pytest.raises(ValueError, match=r"^point: expected one evaluated before .*, got none"):
        ask(objective, objective.initial)
    objective.at(objective.initial)
    ask(objective, objective.initial)


def test_a_point_has_value_gradient_and_losses(objective):
    vector, direction = vectors(objective, 2)
    value, gradient = objective.value_and_gradient(vector)
    product = objective.hessian_product(direction)
    point = objective.at(vector)
    assert point.value == value
    assert point.losses.ptychography + point.losses.fluorescence == pytest.approx(value, rel=1e-14)
    np.testing.assert_array_equal(point.gradient, gradient)
    np.testing.assert_array_equal(point.hessian @ direction, product)


def test_the_hessian_is_a_linear_operator(objective):
    """Scipy's conjugate gradients solve with it."""
    (vector,) = vectors(objective, 1)
    point = objective.at(vector)
    hessian = point.hessian
    assert isinstance(hessian, LinearOperator)
    assert hessian.shape == (objective.size,) * 2 and hessian.dtype == objective.real
    shifted = hessian + 0.01 * LinearOperator(hessian.shape, matvec=lambda d: d, dtype=hessian.dtype)
    solution, failed = cg(shifted, -point.gradient, rtol=1e-6, maxiter=500)
    assert not failed and hessian.products > 1
    residual = hessian @ solution + 0.01 * solution + point.gradient
    assert np.linalg.norm(residual) < 2e-6 * np.linalg.norm(point.gradient)


def test_an_older_point_is_evaluated_again(objective):
    first, second, direction = vectors(objective, 3)
    one = objective.at(first)
    expected, losses = one.hessian @ direction, one.losses_along(direction, [0.3])
    other = objective.at(second)
    assert not np.allclose(other.hessian @ direction, expected)
    work = objective.work.gradients
    np.testing.assert_array_equal(one.hessian @ direction, expected)
    assert objective.work.gradients == work + 1
    np.testing.assert_array_equal(one.losses_along(direction, [0.3]), losses)
    assert objective.work.gradients == work + 1  # it is the one last evaluated by now
    first[...] = 0  # the point has a vector of its own
    other.hessian @ direction
    np.testing.assert_array_equal(one.hessian @ direction, expected)


def test_refine_probe_is_a_switch():
    with pytest.raises(ValueError, match=r"^refine_probe: expected true or false .*, got 5"):
        Objective(make_scan("raster-grid"), refine_probe=5)
