"""Sensitivities that ptychography tells: the estimate, a whole reconstruction, its file, wrong settings."""

from functools import cache

import numpy as np
import pytest

import ptyxrf
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.sensitivity import refine_sensitivity
from ptyxrf.driver.simulation.simulate import simulate

ATTENUATION, PHASE_SHIFT = np.array([0.05, 0.02]), np.array([0.5, 0.2])
SETTINGS = {"precision": "double", "max_iterations": 6, "refine_sensitivity": True}


@cache
def example(**changes):
    scan = simulate("cells", m=16, per_side=9, overlap=0.7, elements=2, seed=2, sampling="scan", photons=1e4)
    constants = {"attenuation": ATTENUATION, "phase_shift": PHASE_SHIFT, "sensitivity": [2.0, 3.0]}
    return scan.replace(truth=None, count_scale=1.0, **constants | changes)


def refined(z, maps, **changes):
    objective = Objective(example(**changes), method="fluorescence")
    objective.value_and_gradient(objective.initial)
    return refine_sensitivity(objective, z, maps)


def absorbing(maps, *factors):
    """An object of another constant factor that absorbs so many times what the maps stand for."""
    return 0.9 * np.exp(-np.tensordot(ATTENUATION * factors, maps, 1) + 1j)


def test_the_object_tells_the_factor_of_each_map():
    maps = np.random.default_rng(3).random((2, *example().shape))
    found = refined(absorbing(maps, 0.7, 1.4), maps)
    np.testing.assert_allclose(found.factors, [1 / 0.7, 1 / 1.4], rtol=1e-4)
    np.testing.assert_allclose(found.values, found.factors * [2.0, 3.0])
    assert (found.prior_errors == 0.3).all() and (found.errors < 2e-3).all()
    assert found.texts(["Fe", "Cu"])[0].startswith("Fe: 1.43 times that of the scan, known to ")


def coarse(values, side):
    """Values that are constant on squares."""
    rows, columns = (np.arange(n) // side for n in values.shape[-2:])
    return values[..., rows[:, None], columns]


def test_errors_of_blurred_maps_that_are_right_on_average():
    """Structure that the maps lack makes no bias, and what it has in common over a probe is counted once."""
    rng = np.random.default_rng(4)
    shape, factor = example().shape, np.array([0.7, 1.2])
    deviations = []
    for _ in range(40):
        maps = np.kron(rng.random((2, *(-(-n // 8) for n in shape))), np.ones((8, 8)))[
            :, : shape[0], : shape[1]
        ]
        lacking = np.kron(rng.normal(size=[-(-n // 4) for n in shape]), np.ones((4, 4)))
        z = absorbing(maps, *factor) * np.exp(0.02 * lacking[: shape[0], : shape[1]])
        found = refined(z, maps)
        deviations.append((np.log(found.factors) + np.log(factor)) / found.errors)
    assert (np.abs(np.mean(deviations, axis=0)) < 0.6).all()
    assert (np.std(deviations, axis=0) < 1.8).all() and (np.std(deviations, axis=0) > 0.5).all()


def test_what_the_patterns_do_not_tell_stays():
    maps = np.random.default_rng(3).random((2, *example().shape))
    found = refined(absorbing(maps, 0.7, 0.7), maps, attenuation=(0.05, 0.0))
    assert found.values[1] == 3.0 and found.errors[1] == 0.3
    assert found.values[0] != 2.0 and found.errors[0] < 0.3
    alike = refined(absorbing(np.stack([maps[0]] * 2), 0.7, 0.7), np.stack([maps[0]] * 2))
    assert (alike.errors > 0.05).all()
    sure = refined(absorbing(maps, 0.7, 1.0), maps, sensitivity_error=(2e-8, 0.6))
    np.testing.assert_allclose(sure.prior_errors, [1e-8, 0.2])
    assert sure.values[0] == pytest.approx(2.0, rel=1e-6)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A refractive scan whose calibration is 30 % low, and its reconstruction."""
    folder = tmp_path_factory.mktemp("sensitivity")
    scan = simulate(
        "cells", m=16, per_side=12, overlap=0.7, elements=1, seed=2, sampling="scan", link="refractive",
        photons=3e4, noise="counting",
    )  # fmt: skip
    low = scan.replace(sensitivity=0.7 * scan.sensitivity)
    path = folder / "c.h5"
    return low, reconstruct(low, checkpoint=path, checkpoint_iterations=4, **SETTINGS), path


def test_a_low_calibration_is_told(fitted):
    scan, result, _ = fitted
    (factor,), (error,) = result.sensitivity.factors, result.sensitivity.errors
    assert factor == pytest.approx(1 / 0.7, rel=0.1) and error < 0.15
    true = scan.truth["elements"].sum()
    assert result.fallback.elements.sum() == pytest.approx(true / 0.7, rel=0.15)
    assert result.elements.sum() == pytest.approx(true, rel=0.15)
    # the counts are those that were measured
    assert result.predicted_fluorescence.sum() == pytest.approx(scan.fluorescence.sum(), rel=0.02)
    assert result.fallback.sensitivity is None
    assert f"sensitivities times {factor:.3g}" in result.history[0].note


def test_resumed(fitted):
    scan, result, path = fitted
    again = reconstruct(scan, checkpoint=path, resume=True, **SETTINGS)
    assert again.settings["resumed_after"] == [4]
    np.testing.assert_array_equal(again.elements, result.elements)
    np.testing.assert_array_equal(again.predicted_fluorescence, result.predicted_fluorescence)
    np.testing.assert_array_equal(again.sensitivity.values, result.sensitivity.values)


def test_the_file(fitted, tmp_path):
    scan, result, _ = fitted
    ptyxrf.write_result(tmp_path / "r.h5", result, scan)
    back = ptyxrf.read_result(tmp_path / "r.h5").sensitivity
    for name, values in vars(result.sensitivity).items():
        np.testing.assert_array_equal(getattr(back, name), values)
    ptyxrf.write_scan(tmp_path / "s.h5", scan.replace(sensitivity_error=0.1 * scan.sensitivity))
    known = ptyxrf.read_scan(tmp_path / "s.h5")
    np.testing.assert_array_equal(known.sensitivity_error, 0.1 * scan.sensitivity)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "ptychography"}, "expected method 'joint' with sequential_first"),
        ({"sequential_first": False}, "expected method 'joint' with sequential_first"),
        ({"link": "linear"}, "expected the refractive link beside it, got link 'linear'"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=f"^refine_sensitivity: {message}"):
        reconstruct(example(), **SETTINGS | settings)


def test_wrong_errors():
    with pytest.raises(ValueError, match=r"^sensitivity_error: expected finite positive numbers"):
        example().replace(sensitivity_error=0.0)
