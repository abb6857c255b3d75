"""The step with momentum against what its formula says."""

import numpy as np
import pytest

from ptyxrf.kernels.momentum import momentum_step


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_formula(dtype):
    rng = np.random.default_rng(0)
    gradient, velocity, values = rng.standard_normal((3, 2, 35)).astype(dtype)
    diagonal = rng.uniform(0.5, 2, 35).astype(dtype)
    change = 0.7 * gradient / diagonal
    speed = 0.8 * velocity - change
    expected = values + 0.8 * speed - change
    momentum_step(gradient, diagonal, 0.7, 0.8, velocity, values)
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(velocity, speed, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(values, expected, rtol=tolerance, atol=tolerance)


def test_a_quadratic_function_falls():
    """Of curvatures from a tenth of the diagonal to all of it."""
    curvature = np.linspace(0.1, 1, 12)
    values, velocity = np.ones((2, 1, 12))
    velocity[...] = 0
    for _ in range(60):
        momentum_step(curvature * values, np.ones(12), 0.7, 0.8, velocity, values)
    assert np.abs(values).max() < 1e-2
