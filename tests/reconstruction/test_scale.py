"""What fixes the scale between object and a refined probe."""

import functools

import numpy as np
import pytest

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.simulation.plain_model import exit_waves
from ptyxrf.driver.simulation.simulate import simulate

BLIND = {"method": "ptychography", "refine_probe": True, "max_iterations": 12, "precision": "double"}


@functools.cache
def example() -> Scan:
    """Return a scan of absorbing grains that cover a fifth of the vacuum."""
    frame = simulate("cells", m=16, per_side=7, overlap=0.7, noise=0.0)
    rng = np.random.default_rng(3)
    z = np.ones(frame.shape, complex)
    for row, column in rng.integers(0, min(frame.shape), (12, 2)):
        z[row : row + 5, column : column + 5] = 0.7 * np.exp(0.8j)
    waves = exit_waves(frame.probe, frame.positions, z, np.ones(frame.N))
    patterns = np.concatenate(
        [(np.abs(np.fft.fft2(wave, norm="ortho")) ** 2).sum(axis=1) for _, _, wave in waves]
    )
    return Scan(
        np.fft.fftshift(patterns, axes=(1, 2)), frame.positions, frame.probe, shape=frame.shape, count_scale=0
    )


def power(probe):
    return np.vdot(probe, probe).real


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_vacuum_transmits_one_by_default(factor):
    scan = example()
    result = reconstruct(scan.replace(probe=factor * scan.probe), rescale_probe=False, **BLIND)
    assert result.settings["scale_from"] == "vacuum"
    assert power(result.probe) == pytest.approx(power(scan.probe), rel=0.02)
    middle = np.abs(result.object[8:-8, 8:-8])
    assert np.quantile(middle, 0.7) == pytest.approx(1, abs=0.02)


def test_the_probe_may_keep_its_power():
    scan = example()
    given = scan.replace(probe=1.5 * scan.probe)
    result = reconstruct(given, rescale_probe=False, scale_from="probe", **BLIND)
    assert power(result.probe) == pytest.approx(power(given.probe), rel=1e-12)
    assert np.quantile(np.abs(result.object[8:-8, 8:-8]), 0.7) == pytest.approx(1 / 1.5, abs=0.02)


def test_a_known_probe_is_not_scaled():
    scan = example()
    result = reconstruct(scan, "ptychography", max_iterations=2)
    assert result.settings["object_factor"] == 1
    np.testing.assert_array_equal(result.probe, scan.probe.astype(result.probe.dtype))


def test_maps_depend_on_the_scale():
    with pytest.raises(ValueError, match="scale_from: expected 'probe' for method 'joint'"):
        Settings(method="joint", scale_from="vacuum")
