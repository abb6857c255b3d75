"""What Poisson noise leaves of amplitude residuals, against direct sums and draws."""

import numpy as np
import pytest
from scipy.stats import poisson

from ptyxrf.kernels.noise_floor import CLASSES, add_misfit, floor_table, look_up, mean_roots, root_variances

MEANS = np.array([1e-4, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 30.0, 99.0, 101.0, 500.0, 1020.0, 1030.0, 1e5])


def floors_at(means):
    """F and H of the table."""
    out = np.empty((2, len(means)))
    look_up(means, floor_table(), *out)
    return out


def direct(mean, function):
    """The expectation of a function of Poisson counts."""
    n = np.arange(int(mean + 14 * np.sqrt(mean) + 30))
    return float((poisson.pmf(n, mean) * function(n)).sum())


def test_floor_against_direct_sums():
    floors, _ = floors_at(MEANS)
    for mean, floor in zip(MEANS, floors, strict=True):
        expected = direct(mean, lambda n, mean=mean: (np.sqrt(n) - np.sqrt(mean)) ** 2)
        assert floor == pytest.approx(expected, rel=5e-4), mean
    assert 4 * floors[2:7] == pytest.approx([0.55, 1.53, 1.81, 1.65, 1.16], abs=0.01)


def test_the_variance_of_roots_against_direct_sums():
    found = root_variances(MEANS)
    for mean, variance in zip(MEANS, found, strict=True):
        assert variance == pytest.approx(mean - direct(mean, np.sqrt) ** 2, abs=2e-4), mean
    assert found[-1] == pytest.approx(0.25, abs=1e-4)


def test_room_is_the_variance_where_the_mean_root_is_fitted():
    """A fit at E[sqrt(n)] is below the mean count by the variance of sqrt(n)."""
    true = np.array([0.01, 0.1, 1.0, 3.0, 20.0])
    roots = np.array([direct(mean, np.sqrt) for mean in true])
    assert mean_roots(true) == pytest.approx(roots, rel=1e-9)
    _, rooms = floors_at(roots**2)
    assert rooms == pytest.approx(true - roots**2, rel=5e-3)


def test_nothing_is_expected_of_darkness():
    assert floors_at(np.zeros(1))[0] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_over_patterns(dtype):
    rng = np.random.default_rng(1)
    intensities = (10 ** rng.uniform(-3, 3, (4, 50))).astype(dtype)
    scales = rng.uniform(0.5, 2.0, 4)
    means = scales[:, None] * intensities
    good = rng.random((4, 50)) > 0.2
    measured = rng.poisson(means)
    amplitudes = np.where(good, np.sqrt(measured / scales[:, None]), -1.0).astype(dtype)
    positions, pixels, counts = np.zeros((4, 8)), np.zeros((6, 50)), np.zeros((3, 2))
    add_misfit(intensities, amplitudes, scales, CLASSES, floor_table(), positions, pixels, counts)
    floors, rooms = floors_at(means.ravel()).reshape(2, 4, 50)
    squares = (np.sqrt(measured) - np.sqrt(means)) ** 2
    values = [squares, floors, means, measured, np.sqrt(measured * means)]
    close = {"rel": 1e-5 if dtype is np.float32 else 1e-12}
    for column, value in zip(positions.T[:5], values, strict=True):
        assert column == pytest.approx(np.where(good, value, 0).sum(axis=1), **close)
    for row, value in zip(pixels[:3], [squares, floors, np.ones_like(squares)], strict=True):
        assert row == pytest.approx(np.where(good, value, 0).sum(axis=0), **close)
    kinds = np.digitize(means, CLASSES)
    for c in range(3):
        here = good & (kinds == c)
        assert positions[:, 5 + c] == pytest.approx(np.where(here, rooms - floors, 0).sum(axis=1), **close)
        assert pixels[3 + c] == pytest.approx(np.where(here, rooms - floors, 0).sum(axis=0), **close)
        assert counts[c] == pytest.approx([(measured - means)[here].sum(), rooms[here].sum()], rel=1e-4)
