"""The number of probe modes, and their orthogonal form."""

import numpy as np
import pytest
from scans import joint_scan

from ptyxrf.driver.reconstruction.probe_modes import orthogonal_modes, with_modes
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.zone_plate import zone_plate_probe


def gram(modes):
    rows = modes.reshape(len(modes), -1)
    return rows.conj() @ rows.T


@pytest.fixture
def modes():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 3, 8, 8))
    return (noise[0] + 1j * noise[1]) * np.array([1.0, 3.0, 2.0])[:, None, None]


def power(modes):
    return np.sum(np.abs(modes) ** 2)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_grown_modes_are_orthogonal_and_keep_the_power(count):
    probe = 3 * zone_plate_probe(32)[None]
    grown = with_modes(probe, count)
    matrix = gram(grown)
    assert grown.shape == (count, 32, 32)
    np.testing.assert_allclose(matrix, np.diag(np.diag(matrix)), atol=1e-9 * abs(matrix[0, 0]))
    assert power(grown) == pytest.approx(power(probe))
    assert power(grown[1:]) <= 0.5001 * power(probe)
    np.testing.assert_allclose(grown[0] / grown[0, 16, 16], probe[0] / probe[0, 16, 16])


def test_new_modes_are_orthogonal_to_all_given(modes):
    grown = with_modes(modes, 5)
    assert np.abs(gram(grown)[:3, 3:]).max() < 1e-9 * power(modes)
    assert power(grown) == pytest.approx(power(modes))
    # given modes that are not independent are no obstacle
    twice = np.concatenate([modes, modes[:1]])
    assert np.abs(gram(with_modes(twice, 5))[:4, 4]).max() < 1e-9 * power(modes)


def test_the_strongest_are_kept(modes):
    kept = with_modes(modes, 2)
    assert power(kept) == pytest.approx(power(modes))
    np.testing.assert_allclose(kept / np.linalg.norm(kept), modes[1:] / np.linalg.norm(modes[1:]))
    assert with_modes(modes, 3) is modes


def test_a_window_has_room_for_so_many():
    with pytest.raises(ValueError, match="modes: expected at most 4 for this probe, got 5"):
        with_modes(np.ones((1, 2, 2), complex) + np.eye(2), 5)


def test_orthogonal_modes_have_the_same_intensities(modes):
    made = orthogonal_modes(modes)
    matrix = gram(made)
    np.testing.assert_allclose(matrix, np.diag(np.diag(matrix)), atol=1e-9 * power(modes))
    assert (np.diff(np.diag(matrix).real) < 0).all()
    z = np.random.default_rng(1).standard_normal((8, 8))
    first, second = (np.sum(np.abs(np.fft.fft2(p * z)) ** 2, axis=0) for p in (made, modes))
    np.testing.assert_allclose(first, second)
    np.testing.assert_allclose(orthogonal_modes(made), made)


def test_modes_is_one_argument():
    scan = joint_scan(12, 4)
    options = {"max_iterations": 3, "refine_probe": True}
    result = reconstruct(scan, "ptychography", modes=3, **options)
    assert result.probe.shape == (3, 12, 12) and result.settings["modes"] == 3
    matrix = gram(result.probe)
    assert np.abs(matrix - np.diag(np.diag(matrix))).max() < 1e-5 * power(result.probe)
    assert reconstruct(scan, "joint", **options).settings["modes"] == scan.K


def test_modes_that_nothing_determines_are_refused():
    scan = joint_scan(12, 4)
    with pytest.raises(ValueError, match="modes: expected at most the 1 of the scan without refine_probe"):
        reconstruct(scan, modes=2)
    with pytest.raises(ValueError, match="modes: expected an integer of at least 1, got 0"):
        reconstruct(scan, modes=0)
    with pytest.raises(ValueError, match="start: expected no probe beside modes 2"):
        reconstruct(scan, modes=2, refine_probe=True, start={"probe": scan.probe})
