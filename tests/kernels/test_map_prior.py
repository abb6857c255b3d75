"""The prior of the maps: a naive twin, symmetry, a line, and pairs of pixels that count once."""

import naive
import numpy as np
import pytest

from ptyxrf.kernels.map_prior import MapPrior

REALS = [np.float32, np.float64]
STRENGTHS = np.array([0.7, 0.0, 2.5])


def cases(real, shape=(6, 9)):
    rng = np.random.default_rng(1)
    return [rng.normal(size=(3, *shape)).astype(real) for _ in range(3)]


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("shape", [(6, 9), (1, 5), (4, 1)])
def test_twin(shape, real):
    maps, change, _ = cases(real, shape)
    prior, tolerance = MapPrior((0, 0, *shape), 3, real), 10 * naive.ROUNDING[real]
    prior.strengths = STRENGTHS
    gradient, product = np.ones_like(maps), np.ones_like(maps)
    loss = prior.gradient(maps, gradient)
    assert loss == pytest.approx(naive.prior_loss(maps, STRENGTHS), rel=tolerance)
    assert naive.relative(gradient - 1, naive.prior_gradient(maps, STRENGTHS)) < tolerance
    prior.product(change, product)
    assert naive.relative(product - 1, naive.prior_gradient(change, STRENGTHS)) < tolerance
    steps = np.array([0.0, 0.4, -2.0])
    line = [naive.prior_loss(maps + t * change.astype(float), STRENGTHS) for t in steps]
    assert naive.relative(prior.losses_along(change, steps), line) < tolerance
    assert (prior.diagonal() == 4 * STRENGTHS).all()


def test_symmetric_and_taylor():
    maps, change, other = cases(np.float64)
    prior = MapPrior((0, 0, 6, 9), 3, np.float64)
    prior.strengths = STRENGTHS
    product, mirrored, gradient = (np.zeros_like(maps) for _ in range(3))
    prior.product(change, product)
    prior.product(other, mirrored)
    assert np.vdot(product, other) == pytest.approx(np.vdot(mirrored, change), rel=1e-13)
    loss = prior.gradient(maps, gradient)
    # quadratic: the second-order expansion is exact
    expected = loss + np.vdot(gradient, change) + 0.5 * np.vdot(product, change)
    assert prior.gradient(maps + change, np.zeros_like(maps)) == pytest.approx(expected, rel=1e-13)


def test_windows_share_the_pairs():
    """Windows that tile the pixels give the whole loss and gradient, each on its own pixels."""
    maps, change, _ = cases(np.float64)
    whole = MapPrior((0, 0, 6, 9), 3, np.float64)
    whole.strengths = STRENGTHS
    expected, found = np.zeros_like(maps), np.zeros_like(maps)
    loss, total = whole.gradient(maps, expected), 0.0
    products = np.zeros(3)
    for window in ((0, 0, 2, 4), (0, 4, 2, 5), (2, 0, 4, 1), (2, 1, 4, 8)):
        part = MapPrior(window, 3, np.float64)
        part.strengths = STRENGTHS
        before = found.copy()
        total += part.gradient(maps, found)
        row, column, rows, columns = window
        inside = np.zeros(maps.shape, bool)
        inside[:, row : row + rows, column : column + columns] = True
        np.testing.assert_array_equal(found[~inside], before[~inside])
        products += part.squares(maps, change)
    assert total == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(products, whole.squares(maps, change), rtol=1e-12)
