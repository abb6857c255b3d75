"""Recorded positions that are wrong, and a beam that flickers: what a reconstruction recovers of them.

The object has structure everywhere: where there is none, patterns do not tell their places.
"""

import functools

import naive
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ptyxrf.driver.data.history import History
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate

M, EDGE = 24, 60


@functools.cache
def true_scan():
    """Return 49 patterns of 1000 photons a pixel, two pixels and more from the edge of the object."""
    rng = np.random.default_rng(9)

    def texture():
        values = gaussian_filter(rng.normal(size=(EDGE, EDGE)), 1.5, mode="wrap")
        return values / values.std()

    specimen = (1 - 0.08 * np.abs(texture())) * np.exp(0.5j * texture())
    return simulate(
        specimen, m=M, per_side=7, overlap=0.8, seed=2, photons=1e3, noise="counting", path="random",
        fractional=True, sampling=None, margin=2,
    )  # fmt: skip


def recorded(displacements):
    """Return the scan with positions that are off by (N, 2) pixels."""
    scan = true_scan()
    return scan.replace(positions=scan.positions + displacements, truth=None)


def run(scan, **settings):
    given = {"max_iterations": 15, "noise_stop": False} | settings
    return reconstruct(scan, "ptychography", **given)


def rms(displacements):
    return float(np.sqrt((displacements**2).sum(axis=1).mean()))


def left(positions, *, linear=True):
    """Return the rms error of positions, less a common shift, and less what is linear."""
    scan = true_scan()
    off = positions - scan.positions
    return rms(naive.without_linear_parts(off, scan.positions) if linear else off - off.mean(axis=0))


@functools.cache
def half_a_pixel():
    """Return positions with errors of up to half a pixel, without and with their refinement."""
    scan = recorded(np.random.default_rng(1).uniform(-0.5, 0.5, (true_scan().N, 2)))
    return scan, run(scan), run(scan, refine_positions="each")


def test_random_errors_of_half_a_pixel():
    """To a tenth of a pixel and less, whatever common and linear part remains."""
    scan, without, found = half_a_pixel()
    assert left(scan.positions) > 0.35
    assert left(found.positions) < 0.06
    assert without.positions is None and found.positions.shape == (scan.N, 2)
    assert found.loss < 0.3 * without.loss
    # the constant and the linear part are those of the record
    moved = found.positions - scan.positions
    assert rms(moved - naive.without_linear_parts(moved, scan.positions)) < 1e-6


def test_both_words_fit_better_than_one():
    scan, _, each = half_a_pixel()
    both = run(scan, refine_positions="both")
    assert left(both.positions) < 0.06
    assert both.loss < each.loss
    assert left(both.positions, linear=False) < 0.05 < 0.1 < left(each.positions, linear=False)


@pytest.mark.parametrize("solver", ["quasi-newton", "newton"])
def test_a_distortion_of_one_percent(solver):
    """The affine part is found to a hundredth of a pixel: a known probe tells it."""
    scan = true_scan()
    lever = scan.positions - scan.positions.mean(axis=0)
    matrix = np.array([[0.010, 0.004], [-0.006, -0.010]])
    wrong = recorded(-lever @ np.linalg.inv(np.eye(2) + matrix).T @ matrix.T)
    assert left(wrong.positions, linear=False) > 0.1
    found = run(wrong, refine_positions="affine", solver=solver)
    assert left(found.positions, linear=False) < 0.015
    moved = found.positions - wrong.positions
    assert rms(naive.without_linear_parts(moved, wrong.positions)) < 1e-9


def test_one_position_that_is_six_pixels_off():
    """The search finds it; its neighbours stay where they are."""
    scan = true_scan()
    off = np.zeros((scan.N, 2))
    middle = int(np.argmin(np.abs(scan.positions - scan.positions.mean(axis=0)).sum(axis=1)))
    off[middle] = 6, -5
    without, found = (run(recorded(off), refine_positions=word) for word in ("none", "each"))
    error = found.positions - scan.positions
    # the common shift is that of the record: a 49th of six pixels
    assert np.abs(error[middle] - off.mean(axis=0)).max() < 0.15
    assert left(found.positions) < 0.06
    assert found.pattern_misfit[middle] < 0.02 * without.pattern_misfit[middle]
    nearby = run(recorded(off), refine_positions="each", position_margin=1)
    assert np.abs((nearby.positions - scan.positions)[middle]).max() > 2  # it cannot go there


def test_intensities_that_fluctuate():
    """By 5 percent, to half a percent; a linear drift belongs to object and probe."""
    scan = true_scan()
    rng = np.random.default_rng(3)
    flux = 1 + 0.05 * rng.normal(size=scan.N)
    patterns = rng.poisson(np.asarray(scan.patterns) * flux[:, None, None]).astype(float)
    wrong = scan.replace(patterns=patterns, truth=None)
    found, without = run(wrong, refine_intensities=True), run(wrong)
    assert without.intensities is None and found.intensities.shape == (scan.N,)
    assert found.intensities.mean() == pytest.approx(scan.exposure.mean(), rel=1e-12)
    ratio = np.log(found.intensities / flux)[:, None]
    assert np.std(naive.without_linear_parts(ratio, scan.positions)) < 0.005
    assert np.std(np.log(flux)) > 0.045
    assert found.loss < 0.8 * without.loss
    known = run(wrong.replace(exposure=flux), refine_intensities=True)
    assert np.std(np.log(known.intensities / flux)) < 0.008


def same_history(first: History, second: History):
    for name in ("loss", "gradient_norm", "step", "sweeps", "products", "gradients"):
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("solver", ["quasi-newton", "newton"])
def test_nothing_changes_where_it_is_not_asked_for(solver):
    """To the last bit and to the sweep, whatever the settings that go with it."""
    scan = recorded(np.zeros((true_scan().N, 2)))
    plain = run(scan, solver=solver, max_iterations=4)
    other = run(
        scan, solver=solver, max_iterations=4, refine_positions="none", refine_intensities=False,
        position_margin=3,
    )  # fmt: skip
    same_history(other.history, plain.history)
    np.testing.assert_array_equal(other.object, plain.object)
    assert other.positions is None and other.intensities is None


@pytest.mark.parametrize("word", ["each", "affine", "both"])
def test_positions_wait_for_their_iteration(word):
    """Till then the losses are those without refinement.

    At whole pixels: the preconditioner of positions that may move takes the probe there.
    """
    scan, _, _ = half_a_pixel()
    scan = scan.replace(positions=np.round(scan.positions))
    settings = {"max_iterations": 5, "precision": "double", "loss_tolerance": 0}
    plain = run(scan, **settings)
    late = run(scan, refine_positions=word, positions_from_iteration=3, **settings)
    np.testing.assert_allclose(late.history["loss"][:4], plain.history["loss"][:4], rtol=1e-12)
    assert late.loss < 0.99 * plain.loss
    still = run(scan, refine_positions=word, positions_from_iteration=5, **settings)
    np.testing.assert_array_equal(still.positions, scan.positions)


def test_positions_of_a_joint_reconstruction():
    """With fluorescence at the positions and a probe that is refined: all come with a result."""
    scan = simulate(
        "cells", m=16, per_side=5, overlap=0.7, elements=2, seed=2, photons=300.0, fractional=True,
        path="random", sampling="scan", margin=2,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    wrong = scan.replace(positions=scan.positions + rng.uniform(-0.5, 0.5, (scan.N, 2)))
    settings = {"noise_stop": False, "max_iterations": 10, "refine_probe": True}
    plain = reconstruct(wrong, **settings)
    found = reconstruct(wrong, refine_positions="both", refine_intensities=True, **settings)
    assert found.loss < 0.9 * plain.loss
    assert found.positions.shape == (scan.N, 2) and found.intensities.shape == (scan.N,)
    assert np.isfinite(found.predicted_fluorescence).all()
    part = found.replaced(pattern_misfit=None)
    assert part.positions is found.positions and part.intensities is found.intensities
