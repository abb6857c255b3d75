import numpy as np
import pytest

from ptyxrf.driver.simulation.noise import poisson_noise


def test_level_zero_leaves_the_data():
    clean = np.random.default_rng(0).normal(size=(3, 4, 5))  # negative values are no harm without noise
    noisy, eta = poisson_noise(clean, 0, np.random.default_rng(1))
    np.testing.assert_array_equal(noisy, clean)
    np.testing.assert_array_equal(eta, np.zeros(3))
    assert noisy is not clean


@pytest.mark.parametrize("level", [0.03, 0.1, 0.5])
def test_scale_is_the_formula_of_each_pattern(level):
    clean = np.random.default_rng(0).uniform(0, 1, (4, 8, 8)) * np.array([1, 10, 1e-12, 1e12])[:, None, None]
    noisy, eta = poisson_noise(clean, level, np.random.default_rng(1))
    np.testing.assert_allclose(np.sqrt(eta / clean.mean(axis=(1, 2))), level)
    counts = noisy / eta[:, None, None]
    np.testing.assert_allclose(counts, np.round(counts), rtol=1e-12, atol=1e-9)
    assert (counts >= 0).all()


def test_mean_and_variance():
    level = 0.1
    clean = np.stack([np.full((300, 300), 5.0), np.full((300, 300), 40.0)])
    noisy, eta = poisson_noise(clean, level, np.random.default_rng(7))
    for j, value in enumerate((5.0, 40.0)):
        n = noisy[j].size
        # var(d) = eta d0 = level^2 d0^2; bounds of five standard errors
        assert noisy[j].mean() == pytest.approx(value, abs=5 * level * value / np.sqrt(n))
        assert noisy[j].var() == pytest.approx(eta[j] * value, rel=5 * np.sqrt(2 / n) * 1.01)
        assert noisy[j].std() / noisy[j].mean() == pytest.approx(level, rel=0.02)


def test_variance_follows_the_pixel_not_the_pattern():
    clean = np.tile([1.0, 99.0], (1, 20000, 1))
    noisy, eta = poisson_noise(clean, 0.2, np.random.default_rng(3))
    assert eta[0] == pytest.approx(0.04 * 50)
    np.testing.assert_allclose(noisy[0].var(axis=0), eta[0] * np.array([1.0, 99.0]), rtol=0.06)


def test_counting():
    clean = np.full((2, 200, 200), 9.0)
    noisy, eta = poisson_noise(clean, "counting", np.random.default_rng(3))
    np.testing.assert_array_equal(eta, np.ones(2))
    np.testing.assert_array_equal(noisy, np.round(noisy))
    assert noisy.var() == pytest.approx(9, rel=0.03)


def test_zero_patterns_stay_zero():
    clean = np.stack([np.zeros((3, 3)), np.ones((3, 3))])
    noisy, eta = poisson_noise(clean, 0.1, np.random.default_rng(0))
    assert not noisy[0].any()
    assert eta[0] == 0
    assert noisy[1].any()


def test_consecutive_calls_draw_what_one_does():
    clean = np.random.default_rng(0).uniform(0, 5, (6, 7, 7))
    together, _ = poisson_noise(clean, 0.1, np.random.default_rng(2))
    generator = np.random.default_rng(2)
    apart = [poisson_noise(clean[i : i + 2], 0.1, generator)[0] for i in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(apart), together)


@pytest.mark.parametrize("level", [-0.1, np.nan, np.inf, "poisson", 1j, None])
def test_refuses_a_level(level):
    with pytest.raises(ValueError, match="level: expected"):
        poisson_noise(np.ones((1, 2)), level, np.random.default_rng(0))


@pytest.mark.parametrize("value", [-1e-9, np.nan, np.inf])
def test_refuses_data(value):
    clean = np.ones((2, 3, 3))
    clean[1, 2, 0] = value
    with pytest.raises(ValueError, match=r"clean: .* at \(1, 2, 0\)"):
        poisson_noise(clean, 0.1, np.random.default_rng(0))


def test_refuses_more_counts_than_there_are_integers():
    with pytest.raises(ValueError, match="level: expected at most"):
        poisson_noise(np.ones((1, 2)), 1e-10, np.random.default_rng(0))


def test_refuses_one_number_per_pattern():
    with pytest.raises(ValueError, match="clean: expected shape"):
        poisson_noise(np.ones(3), 0.1, np.random.default_rng(0))
