"""Vector operations: sums in double precision whatever the vectors hold."""

import math

import naive
import numpy as np
import pytest

from ptyxrf.kernels.reductions import conjugate_gradient_step, dot, dots

REALS = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 9, 8)])
def test_dot(dtype, shape):
    rng = np.random.default_rng(1)
    left, right = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    products = left.astype(float) * right.astype(float)
    assert dot(left, right) == pytest.approx(math.fsum(products.ravel()), rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("dtype", REALS)
def test_dots(dtype):
    rng = np.random.default_rng(2)
    change, product, residual = (rng.normal(size=301).astype(dtype) for _ in range(3))
    pairs = (residual, change), (product, change), (residual, residual)
    expected = [math.fsum(a.astype(float) * b.astype(float)) for a, b in pairs]
    np.testing.assert_allclose(dots(change, product, residual), expected, rtol=1e-13)


def test_single_precision_vectors_are_summed_in_double():
    ones = np.ones(2000, np.float32)
    values = np.ones(2000, np.float32)
    values[0], values[-1] = 3e9, -3e9  # in single precision the ones between them would vanish
    assert dot(values, ones) == 1998
    assert dots(ones, values, values)[:2] == (1998, 1998)
    tiny = np.full(3, 1e-30, np.float32)  # the square underflows in single precision
    assert dot(tiny, tiny) == pytest.approx(3e-60, rel=1e-6)


@pytest.mark.parametrize("dtype", REALS)
def test_not_a_number_survives(dtype):
    values = np.ones(40, dtype)
    values[17] = np.nan
    assert math.isnan(dot(values, np.zeros(40, dtype)))
    values[17] = np.inf
    assert dot(values, values) == math.inf


@pytest.mark.parametrize("dtype", REALS)
def test_conjugate_gradient_step(dtype):
    rng = np.random.default_rng(3)
    before = [rng.normal(size=77).astype(dtype) for _ in range(6)]
    change, product, search, search_product, solution, residual = (values.copy() for values in before)
    alpha, beta = 0.37, 1.9
    conjugate_gradient_step(alpha, beta, change, product, search, search_product, solution, residual)
    p, s = before[0] + beta * before[2], before[1] + beta * before[3]
    expected = (before[0], before[1], p, s, before[4] + alpha * p, before[5] - alpha * s)
    after = (change, product, search, search_product, solution, residual)
    for value, wanted in zip(after, expected, strict=True):
        assert value.dtype == dtype
        assert naive.relative(value, wanted) < naive.ROUNDING[dtype]
