"""Verdicts and the measures that they follow from, on made-up histories, surfaces and spectra."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import shift as spline_shift

from ptyxrf.driver.analysis.spectrum import Spectrum
from ptyxrf.driver.data.history import IterationRecord
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.experiments import extra_comparisons, landscape, mismatch, noise, rank, sequential, spectrum
from ptyxrf.experiments.claims import (
    LEVELS,
    RISE,
    below,
    errors_at_losses,
    lower_at_the_same_loss,
    rise,
    semi_convergence,
)
from ptyxrf.experiments.methods import METHODS, Comparison
from ptyxrf.experiments.paper_cases import paper_case


def history(losses, errors, name="mse"):
    return [
        IterationRecord(i, loss, ptychography_loss=loss, errors={name: error})
        for i, (loss, error) in enumerate(zip(losses, errors, strict=True))
    ]


class MadeUpRuns:
    """Takes the place of a cache; its reconstructions end with made-up errors."""

    quick = True

    def __init__(self, errors_of):
        self.errors_of, self.calls = errors_of, []

    def run(self, case, method, **settings):
        self.calls.append((case, method, settings))
        errors = self.errors_of(case, method, settings)
        return SimpleNamespace(history=[IterationRecord(0, 1.0, errors=errors)], method=method)

    tuned_run = paper_run = run


# Claims about histories -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "most", "holds"),
    [
        (1.0, 2.0, 1.0, True),
        (2.0, 1.0, 1.0, False),
        (1.0, 1.0, 1.0, True),
        (1.02, 1.0, 1.02, True),
        (1.03, 1.0, 1.02, False),
        (1e-9, 0.0, 1.0, False),
        (np.nan, 1.0, 1.0, False),
        (1.0, np.nan, 1.0, False),
    ],
)
def test_below(ours, theirs, most, holds):
    claim = below("key", "text", ours, theirs, at_most=most)
    assert claim.holds is holds
    assert claim.verdict == ("holds" if holds else "does not hold")


def test_errors_at_losses():
    """The first iteration at or below each level counts, also if the loss rises again."""
    losses, errors = [8.0, 4.0, 6.0, 1.0], [80.0, 40.0, 60.0, 10.0]
    found = errors_at_losses(losses, errors, [9, 8, 7, 4, 3.9, 1, 0.5])
    np.testing.assert_array_equal(found, [80, 80, 40, 40, 10, 10, np.nan])


@pytest.mark.parametrize(("worse", "holds"), [(0, True), (4, True), (5, False), (LEVELS, False)])
def test_lower_at_the_same_loss(worse, holds):
    """The claim holds if the error is lower at 36 of the 40 losses."""
    losses, errors = np.geomspace(1, 1e-4, LEVELS + 1), np.geomspace(1, 0.1, LEVELS + 1)
    factors = np.full(LEVELS + 1, 0.5)
    # the levels equal the losses up to rounding, which matters only at the ends of a run of worse ones
    factors[LEVELS + 1 - worse :] = 2.0
    ours, theirs = history(losses, errors * factors), history(losses, errors)
    assert lower_at_the_same_loss("key", "text", ours, theirs).holds is holds
    assert not lower_at_the_same_loss("key", "text", theirs, theirs).holds


def test_only_losses_that_both_reach_are_compared():
    ours = history([10.0, 1.0, 0.1], [5.0, 1.0, 0.5])
    theirs = history([1.0, 0.1, 1e-6], [2.0, 2.0, 1e-9])
    assert lower_at_the_same_loss("key", "text", ours, theirs).holds
    assert not lower_at_the_same_loss("key", "text", theirs, ours).holds


@pytest.mark.parametrize(
    ("joint", "fluorescence", "holds"),
    [
        ([4, 2, 1], [4, 1, 2], True),  # the joint method does not
        ([4, 1, 1.5], [4, 1, 2], True),  # it does less
        ([4, 1, 2], [4, 1, 2], False),
        ([4, 1, 3], [4, 1, 2], False),
        ([4, 2, 1], [4, 2, 1], False),  # neither does
        ([4, 2, 1], [4, 1, RISE], False),
    ],
)
def test_semi_convergence(joint, fluorescence, holds):
    first, second = (history(range(3, 0, -1), map(float, errors)) for errors in (joint, fluorescence))
    assert semi_convergence("key", "text", first, second, "mse").holds is holds
    assert rise(first, "mse") == joint[-1] / min(joint)


# Claims about scans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("worse", [None, "mse", "mse_aligned", "mse_imaginary"])
def test_claims_of_a_comparison(worse):
    """Each error of the joint method decides one claim."""

    def result(method):
        errors = dict.fromkeys(("mse", "mse_aligned", "mse_imaginary"), 0.5 if method == "joint" else 1.0)
        if method == "joint" and worse:
            errors[worse] = 2.0
        return SimpleNamespace(history=[IterationRecord(0, 1.0, ptychography_loss=1.0, errors=errors)])

    comparison = Comparison("key", paper_case("", n=40, per_side=5), {name: result(name) for name in METHODS})
    verdicts = {claim.key.removeprefix("key: "): claim.holds for claim in comparison.claims()}
    assert verdicts == {
        "mse": worse != "mse",
        "aligned": worse != "mse_aligned",
        "same loss": worse != "mse",
        "imaginary": worse != "mse_imaginary",
        "semi-convergence": False,  # a single iteration cannot rise
    }


@pytest.mark.parametrize(
    ("joint", "holds"),
    [
        ({}, True),
        ({"mse": 1.02, "mse_aligned": 1.02}, True),
        ({"mse": 1.03}, False),
        ({"mse_aligned": 1.03}, False),
        ({"mse_imaginary_illuminated": 0.6}, False),  # fluorescence has 0.5, ptychography 1
        ({"mse_P_illuminated": 0.6}, False),
        ({"mse": np.nan}, False),
    ],
    ids=str,
)
def test_goal(joint, holds):
    """The joint method reaches the goal if it does so in each error and for each seed."""
    case = paper_case("a label", n=40, per_side=5, m=16)

    def errors_of(case, method, settings):
        assert settings == {"max_sweeps": 7.0}
        errors = {"mse": 1.0, "mse_aligned": 1.0, "mse_imaginary_illuminated": 1.0}
        if method != "ptychography":
            errors |= {"mse_imaginary_illuminated": 0.5, "mse_P_illuminated": 0.5}
        if method == "fluorescence":  # its object does not count, whatever its error
            errors |= {"mse": 1e-9, "mse_aligned": 1e-9}
        return errors | (joint if method == "joint" and case.settings["seed"] == 4 else {})

    claim = extra_comparisons.goal_claim(MadeUpRuns(errors_of), "key", case, (3, 4), {"max_sweeps": 7.0})
    assert (claim.key, claim.holds) == ("key: goal", holds)


@pytest.mark.parametrize(("best_noisy", "holds"), [(0.1, True), (1.0, False), (10.0, False)])
def test_best_weight_against_noise(best_noisy, holds):
    """The claim compares the factors with the lowest raw errors."""
    keys = ("noise 0 %", "noise 10 %", "noise 10 % in both")
    compared = [Comparison(key, paper_case(key, n=40, per_side=5), {}) for key in keys]

    def errors_of(case, method, settings):
        best = best_noisy if case.label.endswith(keys[2]) else 1.0
        distance = abs(np.log(settings["alpha_scale"] / best))
        return {"mse": 1 + distance, "mse_aligned": 9 - distance}

    findings = noise.weights(MadeUpRuns(errors_of), compared)
    assert [claim.holds for claim in findings.claims] == [holds]
    assert [row[-1] for row in findings.tables[0].rows[::2]] == ["1", "1", f"{best_noisy:g}"]


def test_wrong_models(monkeypatch):
    """A model is harmless if the aligned joint error exceeds that of ptychography by at most 2 %."""
    monkeypatch.setattr(mismatch, "SENSITIVITY", (1.0, 1.1))
    names = ("mse", "mse_aligned", "mse_imaginary_illuminated")

    def errors_of(case, method, settings):
        harmless = "in the model" in case.label or case.label.startswith("sensitivity 0 %")
        values = dict.fromkeys(names, 1.0)
        if method == "joint":
            values["mse_aligned"] = 1.02 if harmless or settings["alpha"] == "gradnorm" else 1.03
        return values

    findings = mismatch.run(MadeUpRuns(errors_of))
    assert len(findings.claims) == 6
    for claim in findings.claims:
        assert claim.holds == ("in the model" in claim.key or "sensitivity 0 %" in claim.key)


def test_wrong_models_change_the_scan():
    case = paper_case("", n=40, per_side=5, m=16, elements=2)
    shared = mismatch.share_of_second(case, 0.2).scan
    y = shared.truth["elements"].sum(axis=(1, 2)) * shared.attenuation
    assert y[1] / y.sum() == pytest.approx(0.2)
    assert mismatch.without_second(shared).N_e == 1
    assert np.isnan(mismatch.unmeasured_second(shared).fluorescence[1]).all()
    assert mismatch.unmeasured_second(shared).N_e == 2
    np.testing.assert_allclose(mismatch.with_sensitivity(1.3)(shared).sensitivity, 1.3 * shared.sensitivity)


# Extra comparisons ----------------------------------------------------------------------------------------


def test_sampled_scans_have_the_noise_or_the_counts_of_the_grid():
    """A map of s samples at the noise level l has s / l^2 counts."""
    level = 0.03
    case = paper_case("", n=40, per_side=5, m=16, elements=2, fluorescence_noise=level)

    def counts(scan):
        scales = scan.fluorescence_count_scale.reshape(-1, *[1] * (scan.fluorescence.ndim - 1))
        return (scan.fluorescence / scales).reshape(scan.N_e, -1).sum(axis=1)

    grid = counts(case.scan)
    np.testing.assert_allclose(grid, 40 * 40 / level**2, rtol=0.01)
    (_, same_noise), (_, same_counts) = extra_comparisons.scan_sampled(case)
    for sampled in (same_noise, same_counts):
        assert sampled.scan.fluorescence.shape == (2, 25)
        np.testing.assert_array_equal(sampled.scan.patterns, case.scan.patterns)
    np.testing.assert_allclose(counts(same_noise.scan), 25 / level**2, rtol=0.05)
    np.testing.assert_allclose(counts(same_counts.scan), grid, rtol=0.01)
    assert len(extra_comparisons.scan_sampled(case.but(noise=0.0, fluorescence_noise=0.0))) == 1


@pytest.mark.parametrize(("sampling", "elements"), [("grid", 1), ("scan", 3)])
def test_global_phase_from_the_fluorescence(sampling, elements):
    """It is found without the truth."""
    more = {}
    if elements == 3:
        more = {"attenuation": [0.5, 0.3, 1.1], "sensitivity": [1.0, 4.0, 0.3], "background": [0.0, 2.0, 0.5]}
    scan = simulate(
        "cells", m=16, per_side=6, overlap=0.6, elements=elements, sampling=sampling, noise=0.0, **more
    )
    truth = scan.truth["object"]
    for angle in (0.0, 1.234, -2.9, 3.1):
        rotated = extra_comparisons.rotated_to_fluorescence(
            truth * np.exp(1j * angle), scan.replace(truth=None)
        )
        np.testing.assert_allclose(rotated, truth, atol=1e-5)


def test_errors_of_the_metrics():
    errors = {"mse": 1.0, "mse_aligned": 2.0, "mse_imaginary_illuminated": 3.0}
    one, three = (paper_case("", n=40, per_side=3, m=16, elements=count).scan for count in (1, 3))
    maps = {
        f"mse_{name}_illuminated": value for name, value in zip(three.element_names, (4, 5, 9), strict=True)
    }
    expected = {"raw": 1.0, "aligned": 2.0, "y": 3.0, "maps": 6.0}
    assert extra_comparisons.named_errors(errors | maps, three) == expected
    # ptychography has no maps: y determines a single one, but not three
    half = one.replace(attenuation=[0.5])
    assert extra_comparisons.named_errors(errors, half)["maps"] == pytest.approx(3.0 / 0.25)
    assert np.isnan(extra_comparisons.named_errors(errors, three)["maps"])


@pytest.mark.parametrize("moved", [(0, 0), (0.4, 1.3)])
def test_registered_maps(moved):
    """A shift that all maps have in common is removed."""
    rows, columns = np.indices((40, 36))
    truth = np.stack(
        [
            np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * w**2))
            for r, c, w in ((18, 17, 4), (22, 14, 3))
        ]
    )
    area = np.zeros((40, 36), bool)
    area[6:-6, 6:-6] = True
    found = sequential.registered(
        np.stack([spline_shift(map_, moved, order=5) for map_ in truth]), truth, area
    )
    np.testing.assert_allclose(found[:, area], truth[:, area], atol=2e-3)


# Landscapes, spectra and ranks ----------------------------------------------------------------------------

FIRST, SECOND = np.meshgrid(landscape.STEPS, landscape.STEPS, indexing="ij")


@pytest.mark.parametrize(
    ("surface", "part"),
    [
        (3 * FIRST**2 + 0.1 * SECOND**2 + 0.5 * FIRST * SECOND + FIRST - 7, 1.0),
        (FIRST**2 - SECOND**2, 0.0),
        (FIRST**2 + SECOND**2 + 3 * FIRST * SECOND, 0.0),  # a saddle with positive second differences
        (-(FIRST**2) - SECOND**2, 0.0),
        (FIRST**2, 0.0),  # a valley is not strictly convex
        (np.where(FIRST > 1e-9, FIRST**4 + SECOND**2, -(FIRST**4) + SECOND**2), 19 / 39),
    ],
    ids=["tilted bowl", "saddle", "steep saddle", "hill", "valley", "half"],
)
def test_convex_part(surface, part):
    assert landscape.convex_part(surface) == pytest.approx(part, abs=1e-12)
    assert landscape.convex_part(surface.T) == pytest.approx(part, abs=1e-12)


def test_measures_of_a_landscape():
    bowl = 2 + 3 * (FIRST**2 + SECOND**2)
    found = landscape.measure(bowl, FIRST**2 - SECOND**2)
    assert (found["loss at the centre"], found["largest loss"]) == (2, 152)
    assert found["rise at radius 1"] == pytest.approx(3, rel=0.05)
    assert (found["convex part"], found["convex part, +-0.5"]) == (1, 0)
    assert found["distance from a paraboloid"] < 1e-12
    quartic = landscape.measure(FIRST**4 + SECOND**4, bowl)
    assert 0.01 < quartic["distance from a paraboloid"] < 0.2


def test_directions_have_the_norm_of_the_point_in_each_field():
    objective = SimpleNamespace(fields=SimpleNamespace(view=lambda vector: vector.reshape(-1, 2, 2)))
    centre = np.repeat([3.0, 0.5, 0.0, 3.0], 4)
    direction = np.concatenate([np.arange(1.0, 5), -np.ones(4), np.ones(4), np.zeros(4)])
    found = landscape.normalised(objective, direction, centre)
    np.testing.assert_allclose(np.linalg.norm(found.reshape(4, 4), axis=1), [6.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(found[:4] / found[0], direction[:4])


def test_distance_of_spectra():
    exact = np.array([4.0, 1.0, 3.0, 0.0])
    for nodes, distance in (
        ([exact], 0.0),
        ([exact + 0.5], 0.5),
        ([[0.0, 1.0, 3.0, 10.0]], 6 / 4),
        ([[0.0, 1.0], [3.0, 4.0]], 0.0),  # only the mean over random vectors matters
        ([[2.0]], (2 + 1 + 1 + 2) / 4),  # a quadrature may have fewer nodes than eigenvalues
    ):
        nodes = np.array(nodes)
        sampled = Spectrum(nodes, np.full(nodes.shape, 1 / nodes.shape[1]), 4)
        assert spectrum.transport(sampled, exact) == pytest.approx(distance, abs=1e-15)


def test_claims_of_the_spectrum():
    def verdicts(alone, both):
        claims = spectrum.spread_claims("truth", np.sort(alone)[::-1], np.sort(both)[::-1])
        return [claim.holds for claim in claims]  # spread, near zero, gap

    wide = np.linspace(0, 7, 1000)
    gap = np.concatenate([np.linspace(0, 0.02, 990), np.linspace(0.5, 1, 10)])
    assert verdicts(wide, gap) == [True, True, True]
    assert verdicts(gap, wide) == [False, False, False]
    # too many and too few outliers, and a bulk that extends to them
    assert not verdicts(wide, np.concatenate([np.zeros(900), np.ones(100)]))[1]
    assert not verdicts(wide, np.concatenate([np.zeros(9999), np.ones(1)]))[1]
    touching = np.concatenate([np.linspace(0, 0.049, 990), np.linspace(0.06, 1, 10)])
    assert verdicts(wide, touching) == [True, True, False]


def test_numerical_rank():
    sigma = np.array([0.0, 1e-5, 1e-4, 1e-3, 1.0])
    assert [rank.rank_of(sigma, tau) for tau in (1e-4, 1e-6, 2.0)] == [3, 4, 0]
    assert rank.rank_of(sigma) == 3
