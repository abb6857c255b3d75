"""The stop where the data are fitted to within their noise."""

import naive
import numpy as np
import pytest
from objective_cases import DEFAULTS, make_scan

import ptyxrf
from ptyxrf.driver.objective.objective import Losses, Objective
from ptyxrf.driver.reconstruction.discrepancy import SETTLED_SHARE, NoiseLevel, noise_level, poisson_noise


def cells(**changes):
    settings = {
        "m": 16,
        "per_side": 10,
        "overlap": 0.75,
        "elements": 2,
        "noise": 0.05,
        "photons": 50.0,
        "seed": 4,
    }
    return ptyxrf.simulate("cells", **(settings | changes))


def losses_at_the_truth(scan, method="joint"):
    start = {"elements": scan.truth["elements"], "real_part": scan.truth["object"].real}
    objective = ptyxrf.Objective(scan, method, start=start)
    objective.value_and_gradient(objective.initial)
    return objective


@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_level_is_the_loss_that_the_truth_has(sampling):
    objective = losses_at_the_truth(cells(sampling=sampling))
    level = noise_level(objective)
    assert level.fluorescence == pytest.approx(objective.losses.fluorescence, rel=0.15)
    # the ptychography is asked to fit better than the truth does, but not by more than its unknowns explain
    assert 0.5 < level.ptychography / objective.losses.ptychography < 1


def test_level_is_known_before_the_first_evaluation():
    fresh, evaluated = ptyxrf.Objective(cells()), losses_at_the_truth(cells())
    assert noise_level(fresh).ptychography == pytest.approx(noise_level(evaluated).ptychography)


def test_raw_counts_need_no_scale():
    scan = cells(noise="counting", photons=200.0)
    with_scale = noise_level(ptyxrf.Objective(scan))
    without = noise_level(ptyxrf.Objective(scan.replace(count_scale=None, fluorescence_count_scale=None)))
    assert without.fluorescence == pytest.approx(with_scale.fluorescence)
    assert without.ptychography == pytest.approx(with_scale.ptychography)


def test_unknown_levels():
    assert noise_level(ptyxrf.Objective(cells(), "ptychography")) is None
    assert noise_level(ptyxrf.Objective(cells(noise=0.0))) is None
    with pytest.warns(UserWarning, match="integer"):
        objective = ptyxrf.Objective(cells().replace(count_scale=None, fluorescence_count_scale=None))
    assert noise_level(objective) is None


def test_all_modalities_have_to_reach_it():
    level = NoiseLevel(1.0, 2.0)
    assert level.reached(Losses(0.9, 1.9))
    assert not level.reached(Losses(1.1, 1.9))
    assert not level.reached(Losses(0.9, 2.1))
    assert NoiseLevel(np.nan, 2.0).reached(Losses(np.nan, 1.9))


def test_reconstruction_stops_before_the_noise_enters_the_maps():
    scan = cells(elements=1, noise=0.1)
    settings = {"nonnegative": False, "fluorescence_prior": "none"}
    stopped = ptyxrf.reconstruct(scan, "fluorescence", **settings)
    onward = ptyxrf.reconstruct(scan, "fluorescence", **settings, noise_stop=False)
    assert stopped.reason is ptyxrf.Reason.NOISE
    assert stopped.history[-1].iteration < onward.history[-1].iteration
    key = f"mse_{scan.element_names[0]}_illuminated"
    assert stopped.history[-1].errors[key] < 0.5 * onward.history[-1].errors[key]


def test_noise_of_poisson_counts():
    """The mean deviance of few and of many counts, from samples."""
    rng = np.random.default_rng(1)
    means = np.array([0.03, 0.5, 3.0, 19.0, 300.0])
    n = rng.poisson(means, (200_000, 5)).astype(float)
    deviances = 2 * (means - n + n * np.log(np.where(n > 0, n / means, 1)))
    np.testing.assert_allclose(poisson_noise(means), deviances.mean(axis=0), rtol=0.02)
    assert poisson_noise(np.zeros(1)) == 0


@pytest.mark.parametrize("background", [None, 2.0])
def test_the_true_object_leaves_the_noise(background):
    """In both losses, with a background or without."""
    case = DEFAULTS | {"N_e": 1, "m": 8, "sampling": "grid"}
    scan = make_scan(case, N=60)
    model = naive.model_of(scan, alpha=[1.0])
    z = np.ones(scan.shape)
    expected = 3 * model.intensities(z, scan.probe) + (background or 0.0)
    patterns = np.random.default_rng(2).poisson(expected).astype(float)
    counts = np.random.default_rng(3).poisson(30.0, scan.fluorescence.shape).astype(float)
    scan = scan.replace(
        patterns=patterns, fluorescence=counts, probe=np.sqrt(3) * scan.probe, pattern_background=background
    )
    # the level of amplitudes is that of many counts
    for loss, tolerance in (("amplitude", 0.3), ("poisson", 0.1)):
        objective = Objective(scan, "joint", pattern_loss=loss)
        objective.value_and_gradient(objective.initial)
        level = noise_level(objective)
        unknowns = SETTLED_SHARE * 2 * np.prod(scan.shape) / patterns.size
        found = objective.losses.ptychography * (1 - unknowns)
        assert level is not None and found == pytest.approx(level.ptychography, rel=tolerance), loss
