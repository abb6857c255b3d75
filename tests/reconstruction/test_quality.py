"""A fit that judges itself: its misfit over what noise explains, and the verdict."""

import numpy as np
import pytest

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.distortion import along_positions
from ptyxrf.driver.reconstruction.quality import measure_quality, sum_misfit
from ptyxrf.driver.reconstruction.reconstruct import DoubtfulFit, reconstruct
from ptyxrf.driver.reconstruction.verdict import DISTORTED, Misfit, verdict_of
from ptyxrf.driver.simulation.simulate import simulate


def example(photons=30.0, noise="counting", seed=1, per_side=12, **more):
    """Ptychography with many more data than unknowns."""
    scan = simulate(
        "cells", n=40, m=16, per_side=per_side, elements=1, photons=photons, noise=noise, seed=seed, **more
    )
    return scan.replace(fluorescence=None)


def truth(scan):
    z = scan.truth["object"]
    return {"real_part": z.real, "imaginary_part": z.imag}


def at_truth(scan, **settings):
    objective = Objective(scan, "ptychography", start=truth(scan), **settings)
    objective.value_and_gradient(objective.initial)
    return objective, objective.initial


@pytest.mark.parametrize("photons", [0.3, 3.0, 300.0])
@pytest.mark.parametrize("engine", ["vector", "library"])
def test_the_truth_has_the_floor(photons, engine):
    objective, vector = at_truth(example(photons), engine=engine)
    sums = sum_misfit(objective, vector, np.ones(objective.scan.N))
    assert sums.positions[0].sum() == pytest.approx(sums.positions[1].sum(), rel=0.03)
    assert sums.pixels[:2].sum(axis=(1, 2)) == pytest.approx(sums.positions[:2].sum(axis=1), rel=1e-9)
    assert sums.positions[3].sum() == pytest.approx(objective.scan.patterns.sum(), rel=1e-9)


@pytest.mark.parametrize("photons", [0.3, 3.0, 300.0])
def test_a_fit_from_the_truth_is_good(photons):
    scan = example(photons)
    result = reconstruct(scan, "ptychography", start=truth(scan), max_iterations=30)
    quality = result.quality
    assert quality.misfit_over_floor == pytest.approx(1, abs=0.06)
    assert quality.good is True and quality.verdict.startswith("Good fit: the misfit of the patterns is ")
    assert quality.per_position.shape == (scan.N,) and quality.per_pixel.shape == (scan.m, scan.m)
    assert (result.history["ptychography_floor"] == quality.noise_floor).all()
    assert result.loss == pytest.approx(quality.misfit_over_floor * quality.noise_floor, rel=1e-6)
    assert quality.verdict in repr(result)


def test_a_count_scale_changes_nothing_but_the_units():
    scan = example(30.0)
    scaled = scan.replace(patterns=scan.patterns * 0.25, probe=scan.probe * 0.5, count_scale=0.25)
    one, other = (measure_quality(*at_truth(s), converged=True) for s in (scan, scaled))
    assert other.misfit_over_floor == pytest.approx(one.misfit_over_floor, rel=1e-9)
    assert other.noise_floor == pytest.approx(0.25 * one.noise_floor, rel=1e-9)
    assert other.per_pixel == pytest.approx(one.per_pixel, rel=1e-9, nan_ok=True)


def test_count_scales_that_differ():
    scan = example(noise=0.2)
    assert np.ptp(scan.count_scale) > 0
    quality = measure_quality(*at_truth(scan), converged=True)
    share = 1 / (1 - quality_share(scan))
    assert quality.misfit_over_floor == pytest.approx(share, rel=0.03)


def quality_share(scan):
    """Unknowns over data where the probe is known."""
    objective, _ = at_truth(scan)
    light = objective.diagonals.illumination()
    return 2 * np.count_nonzero(light > 1e-3 * light.max()) / scan.patterns.size


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("memory", ["cached", "low"])
def test_masked_pixels_do_not_count(memory, precision):
    scan, rng = example(), np.random.default_rng(2)
    mask = rng.random((scan.N, scan.m, scan.m)) > 0.3
    mask[:, 3, 5] = False
    spoilt = np.where(mask, scan.patterns, 1e6)
    settings = {"memory": memory, "precision": precision}
    objective, vector = at_truth(scan.replace(patterns=spoilt, mask=mask), **settings)
    sums = sum_misfit(objective, vector, np.ones(scan.N))
    whole = sum_misfit(*at_truth(scan, **settings), np.ones(scan.N))
    assert np.array_equal(sums.pixels[2], mask.sum(axis=0))
    assert sums.positions[0].sum() == pytest.approx(0.7 * whole.positions[0].sum(), rel=0.02)
    quality = measure_quality(objective, vector, converged=True)
    assert np.isnan(quality.per_pixel[3, 5]) and quality.good


def test_the_measurement_leaves_the_point_alone():
    objective, vector = at_truth(example(), refine_probe=True)
    direction = np.random.default_rng(0).standard_normal(vector.shape)
    objective.value_and_gradient(vector)
    expected = objective.hessian_product(direction)
    work = objective.work.sweeps
    objective.value_and_gradient(vector)
    measure_quality(objective, vector, converged=True)
    assert np.array_equal(objective.hessian_product(direction), expected)
    assert objective.work.sweeps == work + 2


# what is wrong ----------------------------------------------------------------------------------------------


def poor(scan, converged=True):
    quality = measure_quality(*at_truth(scan), converged=converged)
    assert quality.good is False and quality.verdict.count(".") >= 1
    return quality


def test_wrong_positions_are_poor():
    scan, rng = example(300.0), np.random.default_rng(3)
    moved = np.clip(scan.positions + rng.normal(0, 1, scan.positions.shape), 0, 40 - scan.m)
    wrong = scan.replace(positions=moved)
    result = reconstruct(wrong, "ptychography", refine_probe=True, max_sweeps=60)
    assert result.quality.good is False and "positions" in result.quality.verdict
    assert result.quality.verdict in result.ending and result.ending.startswith(result.reason.value)


def test_a_distortion_of_all_positions_is_found():
    scan = simulate(
        "cells", n=64, m=24, per_side=10, photons=3000.0, noise="counting", fractional=True, seed=1
    )
    scan = scan.replace(fluorescence=None)
    middle = scan.positions.mean(axis=0)
    wrong = scan.replace(positions=middle + 0.98 * (scan.positions - middle))
    settings = {"refine_probe": True, "noise_stop": False}
    with pytest.warns(DoubtfulFit):
        distorted = reconstruct(wrong, "ptychography", **settings).quality.distortion
    assert distorted > DISTORTED > 4 * reconstruct(scan, "ptychography", **settings).quality.distortion
    refined = reconstruct(wrong, "ptychography", refine_positions="affine", max_sweeps=20, **settings)
    assert refined.quality.distortion is None


def test_a_distortion_is_told_where_the_misfit_is_small():
    positions = np.tile([[1.0], [1.0], [4.0], [4.0], [4.0]], (1, 900))
    pixels = np.full((3, 8, 8), 900 / 64)
    for distortion, good in ((None, True), (1.0, True), (DISTORTED + 1, False)):
        verdict, found = verdict_of(Misfit(positions, pixels, 0.01, True, distortion))
        assert found is good and ("stretched" in verdict) is not good


def test_slopes_along_positions_have_the_direction_of_the_gradient():
    """Their lengths differ where the object is not smooth: they know its slope from neighbouring pixels."""
    scan = example(300.0)
    scan = scan.replace(positions=0.99 * scan.positions + 0.1)
    objective = Objective(scan, "ptychography", start=truth(scan), refine_positions="affine")
    _, gradient = objective.value_and_gradient(objective.initial)
    exact = objective.gather(gradient)["distortion"]
    slopes, curvatures = along_positions(objective)
    found = slopes.T @ (scan.positions - scan.positions.mean(axis=0))[objective.tile.positions]
    assert (exact * found).sum() > 0.97 * np.linalg.norm(exact) * np.linalg.norm(found)
    whole = objective.diagonals.positions(objective.beam.z)[:, :2] * scan.N / objective.mean_count
    assert curvatures == pytest.approx(whole, rel=0.3)  # of which differ the edges of the patches


def test_wrong_intensities_are_named():
    scan = example(300.0)
    exposure = 1 + 0.1 * np.random.default_rng(4).standard_normal(scan.N)
    quality = poor(scan.replace(exposure=exposure))
    assert "doubt the intensities of the patterns" in quality.verdict


def test_a_few_wrong_patterns_are_counted():
    scan = example(30.0)
    patterns = scan.patterns.copy()
    patterns[[3, 50]] = patterns[[3, 50]].transpose(0, 2, 1)[:, ::-1]
    quality = poor(scan.replace(patterns=patterns))
    assert "2 patterns misfit far more" in quality.verdict
    assert set(np.argsort(quality.per_position)[-2:]) == {3, 50}


def test_dead_and_hot_pixels_are_counted():
    scan = example(30.0)
    patterns = scan.patterns.copy()
    patterns[:, 8, 8] = 0  # bright
    patterns[:, 0, 1] += np.random.default_rng(5).poisson(40, scan.N)
    quality = poor(scan.replace(patterns=patterns))
    assert "2 detector pixels misfit far more" in quality.verdict
    worst = np.argsort(np.nan_to_num(quality.per_pixel).ravel())[-2:]
    assert set(worst) == {8 * 16 + 8, 1}


def test_what_is_not_finite_is_poor():
    objective, vector = at_truth(example())
    vector[3] = np.nan
    quality = measure_quality(objective, vector, converged=True)
    assert quality.good is False and "not finite" in quality.verdict


def test_an_unfinished_run_is_told_to_go_on():
    objective = Objective(example(300.0), "ptychography")
    for converged in (False, True):
        quality = measure_quality(objective, objective.initial, converged=converged)
        assert quality.good is False
        assert ("the run ended before it converged" in quality.verdict) != converged


# where there is no floor ------------------------------------------------------------------------------------


def test_noiseless_data_have_no_floor():
    quality = reconstruct(example(noise=0), "ptychography", max_iterations=5).quality
    assert np.isnan(quality.misfit_over_floor) and quality.noise_floor == 0
    assert (quality.good, quality.per_position, quality.per_pixel) == (None, None, None)
    assert "no noise to compare with" in quality.verdict
    assert 0 < quality.relative_misfit < 1


def test_unknown_noise_is_not_judged():
    scan = example(30.0)
    patterns = scan.patterns * 0.3
    quality = reconstruct(
        scan.replace(patterns=patterns, count_scale=None), "ptychography", max_iterations=2
    ).quality
    assert quality.good is None and np.isnan(quality.noise_floor)
    assert "no count scale" in quality.verdict
    # whole numbers are raw counts
    raw = measure_quality(*at_truth(scan.replace(count_scale=None)), converged=True)
    assert raw.good and raw.misfit_over_floor == pytest.approx(1, abs=0.1)


def test_too_few_data_are_not_judged():
    scan = example(30.0, path="raster")
    few = [0, 6, 72, 78]
    scan = scan.replace(
        patterns=scan.patterns[few],
        positions=scan.positions[few],
        exposure=None,
        count_scale=None,
        truth=None,
    )
    quality = reconstruct(scan, "ptychography", max_iterations=20).quality
    assert quality.good is None and "too few data" in quality.verdict


def test_fluorescence_alone_has_no_patterns():
    scan = simulate("cells", n=40, m=16, per_side=6, elements=1)
    result = reconstruct(scan, "fluorescence", max_iterations=2)
    assert result.quality is None and result.ending == result.reason.value
