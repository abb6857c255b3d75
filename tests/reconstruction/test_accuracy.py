"""Errors against the truth: the alignment before the comparison, and the area that is compared."""

import naive
import numpy as np
import pytest

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.reconstruction.accuracy import measure_errors
from ptyxrf.driver.reconstruction.alignment import align
from ptyxrf.driver.reconstruction.illumination import illuminated_area, illumination

SHAPE = (40, 37)


def specimen(seed=0):
    """A smooth complex object that fades to nothing at the border, so that it can be shifted around."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    z = np.zeros(SHAPE, complex)
    for _ in range(25):
        centre, width = rng.uniform(11, 26, 2), rng.uniform(1.5, 4)
        bump = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * width**2))
        z += bump * np.exp(1j * rng.uniform(-1, 1))
    return z


def ramp(per_field):
    rows, columns = np.indices(SHAPE)
    return np.exp(2j * np.pi * (per_field[0] * rows / SHAPE[0] + per_field[1] * columns / SHAPE[1]))


def moved(z, by):
    """Fourier shift by matrices."""
    left, right = (naive.shift_matrix(n, b) for n, b in zip(z.shape, by, strict=True))
    return left @ z @ right.T


def distance(value, truth, area):
    return np.sqrt((np.abs(value - truth)[area] ** 2).sum() / (np.abs(truth[area]) ** 2).sum())


@pytest.fixture
def area():
    inside = np.zeros(SHAPE, bool)
    inside[5:-5, 5:-5] = True
    return inside


@pytest.mark.parametrize("phase", [0.0, 0.3, 2.5, -3.1])
@pytest.mark.parametrize("blind", [False, True])
def test_phase(area, phase, blind):
    truth = specimen()
    aligned = align(truth * np.exp(1j * phase), truth, area, blind=blind)
    assert distance(aligned, truth, area) < (1e-3 if blind else 1e-13)


def test_a_known_probe_fixes_the_scale(area):
    """Without a free probe the modulus is an error, not a null direction."""
    truth = specimen()
    assert distance(align(1.3 * truth, truth, area), truth, area) == pytest.approx(0.3)
    assert distance(align(1.3 * truth, truth, area, blind=True), truth, area) < 1e-3
    tilted = align(truth * ramp((1, 0)), truth, area)
    assert distance(tilted, truth, area) > 0.1


@pytest.mark.parametrize("tilt", [(1, 0), (0, -2), (3, 1), (0.4, -0.3), (-1.6, 2.2)])
def test_ramp(area, tilt):
    truth = specimen()
    aligned = align(truth * ramp(tilt), truth, area, blind=True)
    assert distance(aligned, truth, area) < 0.01


@pytest.mark.parametrize("by", [(1, 0), (0, -2), (-2, 3), (0.5, 0.25), (-1.3, 0.8)])
def test_shift(area, by):
    truth = specimen()
    aligned = align(moved(truth, by), truth, area, blind=True)
    assert distance(aligned, truth, area) < 0.01


def test_everything_at_once(area):
    truth = specimen()
    value = 0.4 * np.exp(2j) * moved(truth, (1.4, -0.6)) * ramp((0.7, -1.2))
    aligned = align(value, truth, area, blind=True)
    assert distance(value, truth, area) > 0.5
    assert distance(aligned, truth, area) < 0.02


def test_noise_is_not_removed(area):
    truth = specimen()
    noise = 0.1 * naive.random_complex(np.random.default_rng(1), SHAPE)
    for blind in (False, True):
        left = distance(align(truth + noise, truth, area, blind=blind), truth, area)
        expected = distance(truth + noise, truth, area)
        assert 0.8 * expected < left < 1.2 * expected


def test_what_is_outside_does_not_count(area):
    truth = specimen()
    value = truth * np.exp(0.7j)
    value[~area] = 1e3
    assert distance(align(value, truth, area), truth, area) < 1e-13


@pytest.mark.parametrize("blind", [False, True])
def test_nothing_to_align(area, blind):
    """An object of zeros has neither phase nor shift."""
    zeros = np.zeros(SHAPE)
    assert not align(zeros, specimen(), area, blind=blind).any()
    assert np.isfinite(align(np.ones(SHAPE), np.ones(SHAPE), area, blind=blind)).all()


def small_scan(**extra):
    rng = np.random.default_rng(4)
    m, shape = 6, (12, 13)
    positions = np.array([[0, 0], [3, 2], [6, 7], [1, 5]])
    probe = naive.random_complex(rng, (2, m, m)) * np.exp(-0.4 * np.hypot(*(np.indices((m, m)) - 2.5)) ** 2)
    z, w = naive.random_complex(rng, shape), rng.random((2, *shape))
    return Scan(
        np.ones((4, m, m)), positions, probe, shape=shape, fluorescence=np.ones((2, *shape)),
        element_names=["Fe", "Cu"], truth={"object": z, "elements": w}, **extra,
    )  # fmt: skip


def test_illuminated_area():
    """sum_j |P_j|^2 > 1e-3 of its maximum."""
    scan = small_scan()
    light = np.zeros(scan.shape)
    for corner in scan.corners:
        naive.add_patch(light, corner, (np.abs(scan.probe) ** 2).sum(axis=0))
    np.testing.assert_allclose(illumination(scan), light, rtol=1e-13)
    expected = light > 1e-3 * light.max()
    assert 0 < expected.sum() < (light > 0).sum()
    np.testing.assert_array_equal(illuminated_area(scan), expected)
    np.testing.assert_array_equal(illuminated_area(scan, 7 * scan.probe), expected)
    other = illuminated_area(scan, np.ones_like(scan.probe))
    np.testing.assert_array_equal(other, light > 0)


def test_measured_errors():
    scan = small_scan()
    rng = np.random.default_rng(5)
    truth, area = scan.truth["object"], illuminated_area(scan)
    z = truth + 0.1 * naive.random_complex(rng, scan.shape)
    w = scan.truth["elements"] + 0.1 * rng.normal(size=(2, *scan.shape))
    errors = measure_errors(z, w, scan)
    d = z - truth
    phase = np.vdot(z[area], truth[area])
    assert errors["mse"] == pytest.approx((np.abs(d) ** 2).mean())
    assert errors["mse_aligned"] == pytest.approx((np.abs(z * phase / abs(phase) - truth)[area] ** 2).mean())
    assert errors["mse_real"] == pytest.approx((d.real**2).mean())
    assert errors["mse_imaginary"] == pytest.approx((d.imag**2).mean())
    assert errors["mse_imaginary_illuminated"] == pytest.approx((d.imag[area] ** 2).mean())
    for e, name in enumerate(scan.element_names):
        square = (w[e] - scan.truth["elements"][e]) ** 2
        assert errors[f"mse_{name}"] == pytest.approx(square.mean())
        assert errors[f"mse_{name}_illuminated"] == pytest.approx(square[area].mean())
    exact = measure_errors(1j * truth, w[:0], scan)
    assert exact["mse_aligned"] < 1e-28
    assert exact["mse"] == pytest.approx(2 * (np.abs(truth) ** 2).mean())
    assert "mse_Fe" not in exact


@pytest.mark.parametrize("names", [["imaginary", "illuminated"], ["imaginary", "imaginary_illuminated"]])
def test_errors_of_elements_that_are_called_like_others(names):
    scan = small_scan()
    z, w = 0.9 * scan.truth["object"], 0.8 * scan.truth["elements"]
    plain, named = measure_errors(z, w, scan), measure_errors(z, w, scan.replace(element_names=names))
    assert list(named.values()) == list(plain.values())
    assert all(
        named[name] == value for name, value in plain.items() if name in ("mse_imaginary", "mse_illuminated")
    )


def test_no_truth_no_errors():
    scan = small_scan().replace(truth=None)
    assert measure_errors(np.ones(scan.shape), np.zeros((0, *scan.shape)), scan) == {}
