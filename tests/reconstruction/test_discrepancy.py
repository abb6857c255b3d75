"""The stop where the data are fitted to within their noise."""

import numpy as np
import pytest

import ptyxrf
from ptyxrf.driver.objective.objective import Losses
from ptyxrf.driver.reconstruction.discrepancy import NoiseLevel, noise_level


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
    stopped = ptyxrf.reconstruct(scan, "fluorescence", nonnegative=False)
    onward = ptyxrf.reconstruct(scan, "fluorescence", nonnegative=False, noise_stop=False)
    assert stopped.reason is ptyxrf.Reason.NOISE
    assert stopped.history[-1].iteration < onward.history[-1].iteration
    key = f"mse_{scan.element_names[0]}_illuminated"
    assert stopped.history[-1].errors[key] < 0.5 * onward.history[-1].errors[key]
