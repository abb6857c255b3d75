"""The first iteration of a fit with an unknown probe."""

import numpy as np
import pytest
from scans import joint_scan

from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.settings import BATCH_SWEEPS, Settings
from ptyxrf.driver.simulation.simulate import simulate


@pytest.fixture(scope="module")
def scan():
    made = simulate("cells", m=12, per_side=7, overlap=0.7, photons=100.0, sampling=None)
    return made.replace(probe=made.probe * np.exp(0.3j * np.indices((12, 12))[0] ** 2 / 12))


def run(scan, **settings):
    given = {"precision": "double", "refine_probe": True, "max_iterations": 3, "noise_stop": False}
    return reconstruct(scan, "ptychography", **given | settings)


def test_it_says_what_it_was(scan):
    result = run(scan)
    first, second = result.history[1:3]
    assert first.note == f"{BATCH_SWEEPS} sweeps over batches"
    assert first.inner_steps == BATCH_SWEEPS
    assert first.gradients == 2 + BATCH_SWEEPS  # that of the start, and that of the end
    assert first.loss < result.history[0].loss
    assert second.note == "quasi-Newton"
    assert result.settings["batch_sweeps"] == BATCH_SWEEPS


@pytest.mark.parametrize(
    "settings",
    [{"refine_probe": False}, {"probe_from_iteration": 1}, {"solver": "newton"}, {"batch_sweeps": 0}],
)
def test_where_there_is_none(scan, settings):
    result = run(scan, **settings)
    assert not any("batches" in record.note for record in result.history)
    assert result.settings["batch_sweeps"] == 0


@pytest.mark.parametrize("most", [3, 4, 6, 7.5])
def test_a_budget_ends_it(scan, most):
    result = run(scan, max_sweeps=most)
    assert result.history[-1].sweeps <= most
    assert result.loss <= result.history[0].loss


def test_a_higher_loss_is_rejected(scan):
    """Near the minimum of noisy data, batches contradict each other."""
    found = run(scan, max_iterations=60, loss_tolerance=1e-10, patience=1, scale_from="probe")
    start = {"real_part": found.object.real, "imaginary_part": found.object.imag, "probe": found.probe}
    again = run(scan, start=start, max_iterations=1, loss_tolerance=0, gradient_tolerance=0)
    assert again.history[1].note == f"{BATCH_SWEEPS} sweeps over batches, rejected"
    assert again.loss == again.history[0].loss
    ratio = again.probe / found.probe  # the scale is that of the vacuum of this object, too
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-10)


def test_a_joint_fit_begins_with_it():
    result = reconstruct(
        joint_scan(12, 4), refine_probe=True, max_iterations=1, fluorescence_prior=2.0, noise_stop=False
    )
    assert "over batches" in result.fallback.history[1].note
    assert "batches" not in result.history[1].note


def test_a_probe_that_is_held_has_none():
    with pytest.raises(ValueError, match="batch_sweeps: expected 0 where the probe is held"):
        Settings(refine_probe=True, probe_from_iteration=2, batch_sweeps=3)
