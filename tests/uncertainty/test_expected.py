"""Expected errors: the conditions they stand for, and the errors of repeated simulations."""

import numpy as np
import pytest

from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.driver.uncertainty.expected import expected_errors, strengths_of_fit
from ptyxrf.driver.uncertainty.experiment import choices_of, measured_under
from ptyxrf.driver.uncertainty.settings import Conditions

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def scan():
    """With noise, masked pixels, exposures, backgrounds and fractional positions."""
    mask = np.ones((8, 8), bool)
    mask[0] = False
    made = simulate(
        "cells", m=8, n=20, per_side="fit", step=2, margin=1, fractional=True, sampling="scan", elements=2,
        photons=60.0, noise="counting", sensitivity=(0.03, 0.02), exposure=1.5,
    )  # fmt: skip
    return made.replace(mask=mask, background=[0.5, 0.1], pattern_background=np.full((8, 8), 0.3))


def test_the_scan_without_changes_is_the_scan_without_noise(scan):
    (own,) = choices_of(scan, Conditions())
    clean = measured_under(scan, own)
    assert not own.raster and own.step == pytest.approx(2) and own.dwell == 1
    for name in ("positions", "probe", "exposure", "mask", "pattern_background", "background"):
        np.testing.assert_array_equal(getattr(clean, name), getattr(scan, name))
    # counts of the scan, which has no background of its patterns in them
    expected = clean.patterns - 0.3
    pulls = (scan.patterns - expected) / np.sqrt(expected)
    assert np.mean(pulls**2) == pytest.approx(1, abs=0.1)
    assert not clean.truth.keys() ^ scan.truth.keys()


def test_dose_dwell_and_step_follow_from_each_other(scan):
    choices = choices_of(scan, Conditions(step=(2, 4), dwell=(0.5, 2)))
    assert [(one.step, one.dwell) for one in choices] == [(2, 0.5), (2, 2), (4, 0.5), (4, 2)]
    assert choices[0].dose == pytest.approx(choices[3].dose)
    by_step = choices_of(scan, Conditions(step=4, dose=choices[3].dose))[0]
    by_dwell = choices_of(scan, Conditions(dwell=2, dose=choices[3].dose))[0]
    alone = choices_of(scan, Conditions(dose=choices[0].dose))[0]
    for one in (by_step, by_dwell):
        assert (one.step, one.dwell, one.raster) == (pytest.approx(4), pytest.approx(2), True)
    assert (alone.step, alone.dwell, alone.raster) == (pytest.approx(2), pytest.approx(0.5), False)
    sparse = measured_under(scan, choices[3])
    assert sparse.N == 9 and sparse.shape == scan.shape
    # photons over the area that the positions stand for
    dose = (np.abs(sparse.probe) ** 2).sum() * sparse.exposure.mean() / 4**2
    assert choices[3].dose == pytest.approx(dose)
    np.testing.assert_allclose(sparse.background, [1.0, 0.2])


def test_errors_fall_with_the_root_of_the_dwell_time(scan):
    found = expected_errors(scan, dwell=(1, 4), fluorescence_prior="none", samples=4, pattern_loss="poisson")
    short, long = found.table
    assert found.axes == ("dwell",) and set(short.errors) == {"amplitude", "phase", "P", "S"}
    for name, error in short.errors.items():
        # but for the backgrounds, whose noise grows as well, and the pattern of a solver that stops
        assert error / long.errors[name] == pytest.approx(2, rel=0.02)
    assert long.counts == pytest.approx(4 * short.counts)
    facts = found.facts()
    assert facts["conditions"][1]["dwell"] == 4 and facts["conditions"][1]["errors"] == long.errors


def test_errors_of_a_refractive_specimen_fall_as_the_dose_rises():
    """The true phase is that of the fit, and the strength of the prior does not scatter from dose to dose."""
    scan = simulate(
        "cells", m=8, n=20, per_side="fit", step=2, margin=1, sampling="scan", elements=2, photons=30.0,
        noise="counting", link="refractive",
    )  # fmt: skip
    short, long = expected_errors(scan, dwell=(0.1, 0.4), samples=2).table
    assert short.errors["phase"] / long.errors["phase"] == pytest.approx(2, rel=0.05)
    for name in scan.element_names:
        assert long.errors[name] < short.errors[name]


def test_ptychography_with_a_refined_probe_and_positions(scan):
    found = expected_errors(
        scan, method="ptychography", refine_probe=True, refine_positions="each", samples=0
    )
    assert set(found.table[0].errors) == {"amplitude", "phase", "positions"}
    assert {"probe", "positions"} <= set(found.table[0].deviations.arrays)


def test_without_samples_an_estimate_comes_from_single_pixels(scan):
    rough, sampled = (expected_errors(scan, samples=count).table[0].errors for count in (0, 4))
    assert 0.2 < rough["phase"] / sampled["phase"] < 1.5


def test_fits_of_repeated_simulations_have_the_expected_errors(scan):
    """Noise, and what the prior smooths away."""
    scan = scan.replace(mask=None)
    (expected,) = expected_errors(scan, samples=16).table
    clean = measured_under(scan, expected.choice)
    strengths = tuple(strengths_of_fit(clean, "auto"))
    z, w, squares = clean.truth["object"], clean.truth["elements"], []
    for seed in range(6):
        noise = np.random.default_rng(seed)
        noisy = clean.replace(
            patterns=noise.poisson(clean.patterns).astype(float),
            fluorescence=noise.poisson(clean.fluorescence).astype(float),
        )
        result = reconstruct(
            noisy, "joint", start={"real_part": z.real, "elements": w}, fluorescence_prior=strengths,
            nonnegative=False, sequential_first=False, fluorescence_first=False, noise_stop=False,
            refine_probe=False, precision="double", max_sweeps=60,
        )  # fmt: skip
        squares.append((result.elements - w) ** 2)
    lit = np.isfinite(expected.deviations.elements[0])
    for e, name in enumerate(clean.element_names):
        found = np.sqrt(np.mean(squares, axis=0)[e][lit].mean() / (w[e][lit] ** 2).mean())
        assert expected.errors[name] == pytest.approx(found, rel=0.12)


def test_what_cannot_be_foretold_is_refused(scan):
    with pytest.raises(ValueError, match="scan: expected one with a true object and true maps"):
        expected_errors(scan.replace(truth={}))
    with pytest.raises(ValueError, match="count_scale: expected positive numbers"):
        expected_errors(scan.replace(count_scale=0.0))
    with pytest.raises(ValueError, match="dose: expected none beside step and dwell"):
        expected_errors(scan, step=2, dwell=1, dose=3)
    with pytest.raises(ValueError, match="step: expected at most 10 pixels"):
        expected_errors(scan, step=11)
    with pytest.raises(ValueError, match="step: expected a number above 0"):
        expected_errors(scan, step=(2, -1))
