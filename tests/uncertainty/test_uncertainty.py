"""Error bars against the inverse of a dense Hessian, and what they refuse."""

import numpy as np
import pytest

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.driver.uncertainty.fitted import fit_of, loss_unit
from ptyxrf.driver.uncertainty.noise import PerturbedGradient
from ptyxrf.driver.uncertainty.open_directions import OpenDirections, change_of_object
from ptyxrf.driver.uncertainty.settings import Sampling
from ptyxrf.driver.uncertainty.uncertainty import uncertainty

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

FIT = {"sequential_first": False, "fluorescence_first": False, "noise_stop": False, "precision": "double"}


def small_scan(sampling="grid", **more):
    settings = {"elements": 2, "photons": 50.0, "noise": "counting", "seed": 1, "sensitivity": 0.01} | more
    return simulate("cells", m=8, per_side=5, overlap=0.75, sampling=sampling, **settings)


@pytest.fixture(scope="module")
def joint():
    scan = small_scan()
    return scan, reconstruct(scan, "joint", fluorescence_prior=3.0, nonnegative=False, **FIT)


@pytest.fixture(scope="module")
def patterns():
    scan = small_scan("none")
    return scan, reconstruct(scan, "ptychography", **FIT)


def test_the_noise_of_data_and_prior_has_the_covariance_of_the_hessian(joint):
    result, scan = joint[1], joint[0]
    fit = fit_of(result, scan, Sampling(), None)
    perturbed = PerturbedGradient(fit.objective, fit.vector, 0)
    draws = np.stack([perturbed(sample) for sample in range(200)])
    point = fit.objective.at(fit.vector)
    for seed, name in enumerate(("real_part", "elements")):
        direction = np.zeros_like(fit.vector)
        where = fit.objective.fields.channels[name]
        view = fit.objective.fields.view(direction)[where]
        view[...] = np.random.default_rng(seed).normal(size=view.shape)
        expected = loss_unit(fit.objective) * direction @ (point.hessian @ direction)
        assert ((draws @ direction) ** 2).mean() == pytest.approx(expected, rel=5 * np.sqrt(2 / 200))


def test_deviations_are_those_of_the_inverse_hessian(joint):
    scan, result = joint
    found = uncertainty(result, scan, samples=48, tolerance=1e-6, max_products=2000)
    fit = fit_of(result, scan, Sampling(), None)
    point = fit.objective.at(fit.vector)
    hessian = np.stack([point.hessian @ one for one in np.eye(len(fit.vector))])
    inverse = np.linalg.inv(hessian) * loss_unit(fit.objective)
    exact = fit.objective.fields.view(np.sqrt(np.diag(inverse)))[fit.objective.fields.elements]
    lit = np.isfinite(found.elements[0])
    assert lit.any()
    ratios = (found.elements / exact)[:, lit]
    assert np.sqrt((ratios**2).mean(axis=1)) == pytest.approx([1, 1], rel=0.06)
    assert np.std(ratios) == pytest.approx(found.sampling_error, rel=0.3)
    assert found.unsolved < 1e-3


def test_a_derived_number_has_the_error_of_its_gradient_and_students_interval(joint):
    scan, result = joint
    found = uncertainty(result, scan, samples=8)
    mass = found.of(lambda view: view.elements[0].sum())
    fit = fit_of(result, scan, Sampling(), None)
    draws = np.array([fit.objective.elements_of(draw)[0].sum() for draw in found.draws])
    assert mass.value == pytest.approx(fit.objective.elements_of(fit.vector)[0].sum())
    assert mass.deviation == pytest.approx(np.sqrt((draws**2).mean()))
    assert (mass.high - mass.value) / mass.deviation == pytest.approx(2.306, abs=1e-3)  # 8 degrees of freedom
    profile = found.of(lambda view: np.abs(view.object[5]), level=0.5)
    assert profile.low.shape == profile.deviation.shape == result.object[5].shape
    with pytest.raises(ValueError, match="level: expected a probability"):
        found.of(lambda view: 0.0, level=1.0)


def test_random_numbers_follow_from_the_seed(patterns):
    scan, result = patterns
    first, again, other = (uncertainty(result, scan, samples=2, seed=s).phase for s in (1, 1, 2))
    assert np.array_equal(first, again, equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)


def test_without_samples_the_blocks_of_the_preconditioner_give_the_order_of_magnitude(patterns):
    scan, result = patterns
    rough, exact = (uncertainty(result, scan, samples=count) for count in (0, 16))
    assert "estimates, from the curvature of each pixel" in rough.meaning
    assert "estimates" not in exact.meaning
    assert 0.3 < np.nanmedian(rough.phase / exact.phase) < 1
    with pytest.raises(ValueError, match="samples: expected some"):
        rough.of(lambda view: view.object.real.sum())


def test_single_precision_gives_the_same_size():
    """The random numbers are others."""
    scan = small_scan("none")
    result = reconstruct(scan, "ptychography", refine_probe=True, **FIT)
    single, double = (uncertainty(result, scan, samples=2, precision=one) for one in ("single", "double"))
    assert "2 samples of amplitude, phase, probe" in repr(single)
    lit = np.isfinite(double.phase)
    assert np.median(single.phase[lit] / double.phase[lit]) == pytest.approx(1, abs=0.3)


def test_a_fit_that_has_stopped_early_is_finished_first(patterns):
    scan, _ = patterns
    early = reconstruct(scan, "ptychography", max_sweeps=5, **FIT)
    with pytest.warns(UserWarning, match="stopped before its minimum"):
        found = uncertainty(early, scan, samples=2)
    assert found.iterations > 0


def test_maps_at_their_bound_have_no_deviation_and_the_meaning_says_so():
    scan = small_scan("scan")
    result = reconstruct(scan, "joint", fluorescence_prior=1.0, **FIT)
    found = uncertainty(result, scan, samples=4)
    fit = fit_of(result, scan, Sampling(), None)
    held = ~fit.objective.fields.view(fit.free)[fit.objective.fields.elements]
    assert held.any()
    lit = np.isfinite(found.elements)
    assert (found.elements[held & lit] == 0).all()
    assert (found.elements[~held & lit] > 0).all()
    assert "Maps are not negative" in found.meaning
    assert "Gaussian prior" in found.meaning


@pytest.mark.parametrize(
    "settings", [{}, {"refine_probe": True}, {"refine_probe": True, "modes": 2}], ids=["", "probe", "modes"]
)
def test_the_hessian_does_not_see_the_open_directions(patterns, settings):
    scan = patterns[0]
    if "modes" in settings:
        probe = np.concatenate([scan.probe, 0.3 * np.roll(scan.probe, 2, axis=-1)])
        scan, settings = scan.replace(probe=probe, truth={}), {"refine_probe": True}
    objective = Objective(scan, "ptychography", curvature="gauss-newton", **settings)
    vector = objective.initial + 0.1 * np.random.default_rng(0).normal(size=objective.size)
    opened, point = OpenDirections(objective, vector), objective.at(vector)
    shifts = 2 * bool(settings)  # which a sampled object knows to within its interpolation
    exact = opened._of_object[: len(opened._of_object) - shifts] + opened._of_probe
    assert len(exact) == (1 if not settings else 4 + len(scan.probe) ** 2)
    for direction in exact:
        assert np.abs(point.hessian @ direction).max() < 1e-9 * np.abs(point.gradient).max() + 1e-9
    mixed = sum(opened._of_object) + sum(opened._of_probe) if opened._of_probe else sum(opened._of_object)
    left = opened.without(mixed)
    assert np.abs(change_of_object(objective, vector, left)).max() < 1e-8 * np.abs(mixed).max()


def test_what_has_no_error_bars_is_refused(patterns):
    scan, result = patterns
    with pytest.raises(ValueError, match="count_scale: expected positive numbers"):
        uncertainty(result, scan.replace(count_scale=np.zeros(scan.N)))
    with pytest.raises(ValueError, match="scan: expected that of the result"):
        uncertainty(result, small_scan("none", margin=3))
    with pytest.raises(ValueError, match="scan: expected a Scan"):
        uncertainty(result, "scan.h5")
    with pytest.raises(ValueError, match="samples: expected"):
        uncertainty(result, scan, samples=-1)


@pytest.mark.parametrize(
    "scan_settings, settings",
    [
        (
            {"sampling": "scan", "link": "refractive", "elements": 1},
            {"method": "joint", "matrix": "C5H8O2", "refine_positions": "both", "refine_intensities": True},
        ),
        (
            {"sampling": "none"},
            {"method": "ptychography", "refine_pattern_background": True, "refine_probe": True, "modes": 2},
        ),
    ],
    ids=["refractive", "background"],
)
def test_the_objective_of_a_result_has_its_loss(scan_settings, settings):
    scan = small_scan(**scan_settings, **({"sensitivity": 1e3} if "link" in scan_settings else {}))
    result = reconstruct(scan, max_iterations=2, fluorescence_prior="none", **FIT | settings)
    fit = fit_of(result, scan, Sampling(finish_iterations=0), None)
    assert fit.objective.at(fit.start).value == pytest.approx(result.loss, rel=1e-6)


def test_a_run_that_was_ended_goes_on_from_its_samples(joint, tmp_path):
    scan, result = joint
    kept = {"checkpoint": tmp_path / "samples.h5", "max_products": 30}

    def end(done, samples, products):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        uncertainty(result, scan, samples=4, progress=end, **kept)
    calls = []
    resumed = uncertainty(
        result, scan, samples=4, progress=lambda *done: calls.append(done[0]), resume=True, **kept
    )
    through = uncertainty(result, scan, samples=4, max_products=30)
    assert calls == [3, 4]
    assert resumed.facts == through.facts
    for name, values in through.arrays.items():
        assert np.array_equal(values, resumed.arrays[name], equal_nan=True)
    # fewer are those that there are
    fewer = uncertainty(result, scan, samples=2, resume=True, **kept)
    assert all(np.array_equal(*pair) for pair in zip(fewer.draws, through.draws, strict=False))
    for other in ({"seed": 1}, {"tolerance": 1e-3}):
        with pytest.raises(ValueError, match="expected samples of this scan, result and settings"):
            uncertainty(result, scan, samples=4, resume=True, **kept | other)
    with pytest.raises(ValueError, match="expected samples of this scan"):
        uncertainty(result.replaced(elements=2 * result.elements), scan, samples=4, resume=True, **kept)
    with pytest.raises(ValueError, match="resume: expected the path of a checkpoint"):
        uncertainty(result, scan, resume=True)
