"""Where a joint fit is worse than noise explains, it says so, and what to doubt."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

import ptyxrf
from ptyxrf.driver.data.fluorescence_yields import line_absorption
from ptyxrf.driver.data.history import IterationRecord, Reason
from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.objective.links import LinearLink
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.refractive_link import RefractiveLink
from ptyxrf.driver.reconstruction.comparison import WELL_LIT, absorption_of_maps, chi_square, object_shift
from ptyxrf.driver.reconstruction.illumination import illumination
from ptyxrf.driver.reconstruction.link_verdict import judge_link
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.weakening import weakening
from ptyxrf.driver.simulation.simulate import simulate

ATTENUATION, PHASE_SHIFT = np.array([0.05, 0.02]), np.array([0.5, 0.2])


@cache
def example():
    """Return a refractive specimen of two elements with known counts and patterns."""
    scan = simulate("cells", m=24, per_side=9, overlap=0.75, elements=2, seed=2, sampling="grid", photons=2e4)
    return scan.replace(attenuation=ATTENUATION, phase_shift=PHASE_SHIFT, truth=None, count_scale=1.0)


@cache
def evaluated():
    objective = Objective(example(), link="refractive", method="joint")
    objective.value_and_gradient(objective.initial)
    return objective


def lit():
    light = illumination(example())
    return light > WELL_LIT * light.max(), light


# Figures --------------------------------------------------------------------------------------------------


def test_the_shift_of_an_object_that_differs_by_noise_is_one():
    scan, objective = example(), evaluated()
    area, light = lit()
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((2, *scan.shape)) / (2 * np.sqrt(np.maximum(light, 1e-9)))
    z = np.exp(1j * rng.random(scan.shape))
    other = np.where(area, z + noise[0] + 1j * noise[1], 0)
    assert object_shift(objective, z, other, 1.0) == pytest.approx(1, abs=0.1)
    assert object_shift(objective, z, z + 3 * (other - z), 1.0) == pytest.approx(3, abs=0.3)
    assert object_shift(objective, z, other, 4.0) == pytest.approx(0.5, abs=0.05)


def test_what_patterns_leave_open_is_no_shift():
    rows, columns = np.indices(example().shape) / example().shape[0]
    z = np.exp(1j * np.random.default_rng(1).random(example().shape))
    other = 1.1 * np.exp(1j * (2.5 + 0.4 * rows - 0.7 * columns)) * z
    assert object_shift(evaluated(), z, other, 1.0) < 1e-3


def test_a_stretched_object_is_no_shift_where_positions_are_refined():
    n = example().shape[0]
    rows, columns = np.indices(example().shape) / n

    def waves(rows, columns):
        return np.exp(1j * (np.sin(9 * rows) + np.cos(11 * columns + 3 * rows)))

    z = waves(rows, columns)
    other = waves(rows + (0.2 + 0.3 * (columns - 0.5)) / n, columns - 0.25 / n)
    plain, stretched = (
        object_shift(evaluated(), z, other, 1.0, stretched=choice) for choice in (False, True)
    )
    assert stretched < 0.1 * plain


@pytest.mark.parametrize("truth", [(1.0, 1.0), (0.5, 2.0)])
def test_absorption_of_maps(truth):
    maps = np.random.default_rng(3).random((2, *example().shape))
    z = 0.9 * np.exp(-np.tensordot(ATTENUATION * truth, maps, 1) + 1j)
    ratios, changes = absorption_of_maps(evaluated(), z, maps)
    np.testing.assert_allclose(ratios, truth, rtol=1e-6)
    assert np.argmax(changes) == 0 or truth == (1.0, 1.0)


@pytest.mark.filterwarnings("ignore:the fluorescence is not in integer counts")
def test_chi_square_is_one_where_counts_vary_as_the_model_says():
    scan = example()
    maps = np.full((2, *scan.shape), 400.0)
    objective = Objective(scan.replace(fluorescence=maps), method="joint")
    rng = np.random.default_rng(0)
    start = {name: np.zeros(scan.shape) for name in objective.unknowns if name != "elements"}
    flat = objective.scatter(elements=np.ones_like(maps), **start)
    means = objective.predicted_fluorescence(flat)
    counts = rng.poisson(np.maximum(means, 0)).astype(float)
    noisy = Objective(scan.replace(fluorescence=counts, fluorescence_count_scale=[1.0, 1.0]), method="joint")
    np.testing.assert_allclose(chi_square(noisy, flat), 1, atol=0.1)
    few = np.array([0.2, 0.9]) * maps[0].size
    np.testing.assert_allclose(chi_square(noisy, flat, few), [1.25, 10], rtol=0.1)
    unknown = Objective(
        scan.replace(fluorescence=counts + 0.5, fluorescence_count_scale=None), method="joint"
    )
    assert chi_square(unknown, flat) is None


# The verdict ----------------------------------------------------------------------------------------------


def quality(ratio=1.03, chi=(1.0, 1.0), *, good=True, floor=True):
    per = np.ones(3) if floor else None
    return Quality(ratio, per, None, 1.0, 0.1, "It fits.", good, chi_square=np.array(chi))


def results(z, other, joint, before, maps=None, reason=Reason.LOSS):
    maps = np.ones((2, *z.shape)) if maps is None else maps

    def result(z, method, quality):
        probe = np.zeros((1, 4, 4), complex)
        return Result(z, maps, probe, [IterationRecord(0, 1.0)], reason, method, quality=quality)

    return result(z, "joint", joint), result(other, "ptychography", before)


def judged(z=None, joint=None, before=None, link=None, scan=None, **more):
    shape = example().shape
    other = np.exp(1j * np.random.default_rng(1).random(shape))
    objective = evaluated()
    own = SimpleNamespace(
        ranks=objective.ranks, tile=objective.tile, scan=scan or example(), diagonals=objective.diagonals,
        link=link or RefractiveLink(ATTENUATION, PHASE_SHIFT), unknowns=(),
    )  # fmt: skip
    return judge_link(
        own,
        np.zeros(0),
        *results(other if z is None else z, other, joint or quality(), before or quality(), **more),
    )


def test_positions_that_hardly_overlap_leave_the_link_open():
    """An object that is not unique may move; counts of far too large a chi-square still speak."""
    probe = np.zeros_like(example().probe)
    probe[0, 12:15, 12:15] = 1
    scan = example().replace(probe=probe)
    for chi, good in ((1.0, None), (30.0, False)):
        verdict = judged(joint=quality(1.5, (chi, 1.0)), scan=scan)
        assert verdict.link_good is good
    verdict = judged(joint=quality(1.5), scan=scan)
    assert verdict.link.startswith("The link cannot be judged: neighbouring positions overlap by 0 %")
    few = judged(joint=quality(1.5), before=quality(good=None))
    assert few.link == "The link cannot be judged: there are too few data for ptychography alone."


def test_a_right_link():
    found = judged()
    assert found.link_good and found.link.startswith("The link holds: the object is")
    assert found.object_shift < 1e-3
    assert "largest chi-square of the counts is 1 (" in found.link
    assert found.verdict == "It fits."


def test_an_object_far_from_that_of_ptychography():
    _, light = lit()
    far = np.exp(1j * np.random.default_rng(1).random(example().shape)) + 3 / np.sqrt(light + 1) * (
        -1
    ) ** np.indices(example().shape).sum(axis=0)
    found = judged(far)
    assert found.link_good is False and found.object_shift > 2
    assert found.link.startswith("Wrong link: the object is") and found.link.endswith("Trust the fallback.")


@pytest.mark.parametrize("ratio", [1.2, np.nan])
def test_patterns_that_misfit(ratio):
    found = judged(joint=quality(ratio))
    assert found.link_good is False and "its patterns misfit" in found.link


def test_counts_that_misfit_name_their_element():
    found = judged(joint=quality(chi=(1.0, 30.0)), reason=Reason.SWEEPS)
    assert f"the counts of {example().element_names[1]} have a chi-square of 30" in found.link
    assert "ended before it converged" in found.link
    assert judged(joint=quality(chi=(1.0, 30.0)), before=quality(chi=(1.0, 29.0))).link_good


def test_counts_that_misfit_a_little_raise_a_doubt_but_no_alarm():
    found = judged(joint=quality(chi=(1.0, 9.0)))
    assert found.link_good and found.link.startswith("The link holds: ")
    assert "chi-square of the counts is 9" in found.link and "; doubt" in found.link


def test_the_cause():
    wrong = quality(1.5)
    assert "whose vacuum is 1: give phase_shift" in judged(joint=wrong, link=LinearLink(ATTENUATION)).link
    assert "weak contrast: give phase_shift" in judged(joint=wrong, link=LinearLink(ATTENUATION, -1.0)).link
    maps = np.zeros((2, *example().shape))
    maps[1, ::2] = 1.0  # which the object, of modulus 1, does not absorb
    found = judged(joint=wrong, maps=maps)
    assert f"doubt attenuation and sensitivity of {example().element_names[1]}" in found.link
    assert "doubt materials" in judged(joint=wrong, maps=0 * maps).link or "doubt attenuation" in found.link


def test_a_poor_ptychography_says_nothing():
    found = judged(joint=quality(3.0), before=quality(2.5, good=False))
    assert found.link_good is None and found.link.startswith("No verdict on the link")


def test_a_poor_fit_of_the_joint_method_alone_doubts_nothing_else():
    found = judged(joint=quality(2.5, good=False))
    assert found.verdict.endswith(
        "2.5 times what their noise explains, and that of ptychography alone 1.03 times."
    )
    assert judged(joint=quality(2.5, good=False), before=quality(2.5, good=False)).verdict == "It fits."


def test_without_a_floor_only_a_large_misfit_is_a_verdict():
    found = judged(joint=quality(floor=False), before=quality(floor=False))
    assert found.link == "" and found.link_good is None and np.isnan(found.object_shift)
    far = replace(quality(np.nan, good=None, floor=False), relative_misfit=0.2)
    found = judged(joint=far, before=quality(np.nan, good=None, floor=False))
    assert (
        found.link.startswith("Wrong link: its patterns misfit 4 times as much") and found.link_good is False
    )


@pytest.mark.filterwarnings("ignore:link")
def test_a_link_with_a_wrong_constant_is_found():
    """From a scan to the result that is to be trusted."""
    scan = simulate(
        "cells", m=24, per_side=9, overlap=0.75, elements=2, seed=2, sampling="scan", photons=2e4, noise=0.02
    )
    right = reconstruct(scan, sequential_first=True, max_sweeps=60)
    assert right.quality.link_good and right.trusted is right
    wrong = reconstruct(
        scan.replace(attenuation=-20 * scan.attenuation), sequential_first=True, max_sweeps=60
    )
    assert wrong.quality.link_good is False
    assert wrong.trusted is wrong.fallback
    assert "Wrong link" in wrong.ending and "Wrong link" in repr(wrong)
    np.testing.assert_allclose(wrong.fallback.object, right.fallback.object)


# Thick specimens ------------------------------------------------------------------------------------------


def test_a_beam_that_is_weakened_in_the_specimen_is_marked():
    maps = np.random.default_rng(3).random((2, *example().shape))
    maps[1] *= maps[0] > 0.5
    z = np.exp(-0.2 * (maps[0] > 0.5))
    objective = evaluated()
    lost = weakening(objective, z, maps)
    heavy = 0.2 * maps[0][maps[0] > 0.5].sum() / maps[0].sum()
    np.testing.assert_allclose(lost, [heavy, 0.2])  # the mean atom sees half of |z|^2 = exp(-0.4)
    assert (weakening(objective, z, 0 * maps) == 0).all()
    found = judged(z=0.8 * np.exp(1j * np.random.default_rng(1).random(example().shape)))
    np.testing.assert_allclose(found.weakening, -np.log(0.8))
    assert "the specimen is thick: beam and fluorescence of P lose about 22 %" in found.link
    assert "thick" not in judged().link


def test_fluorescence_that_its_own_element_absorbs():
    """A uniform film of iron and gold: half of mu(line) times density for each, beside the weakened beam."""
    geometry = ptyxrf.Geometry.from_keV(12.0, 1.0, 1e-4)
    scan = example().replace(
        attenuation=None, phase_shift=None, element_names=["Fe", "Au_L"], geometry=geometry
    )
    own = SimpleNamespace(
        scan=scan, link=RefractiveLink(*ptyxrf.optical_constants(["Fe", "Au"], geometry.energy)),
        ranks=evaluated().ranks,
    )  # fmt: skip
    films = np.ones((2, *scan.shape)) * np.array([1e-3, 2e-3])[:, None, None]
    lost = weakening(own, np.ones(scan.shape), films)
    absorbed = line_absorption(["Fe", "Au_L"], geometry.energy)
    np.testing.assert_allclose(lost, 0.5 * absorbed @ [1e-3, 2e-3])
    assert absorbed[0, 0] == pytest.approx(7.1, rel=0.03)  # of iron for its own K alpha line, m^2/kg
