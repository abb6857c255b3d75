"""The joint reconstruction starts from the maps of the fluorescence alone, and holds them for a while."""

import re
from functools import cache

import numpy as np
import pytest

from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction import stage as stage_module
from ptyxrf.driver.reconstruction.first_maps import FEW_SWEEPS, MOST_SWEEPS, first_maps
from ptyxrf.driver.reconstruction.illumination import covers
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.schedule import HELD_BUDGET, HELD_ITERATIONS
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.parallel.reduction import Ranks

HELD = HELD_ITERATIONS["quasi-newton"]

NOTE = re.compile(r"^start, maps of the fluorescence alone \(([0-9.]+) sweeps over it\)(, strengths.*)?$")
#: Nothing but the number of iterations ends a reconstruction.
ON = {
    "fluorescence_first": True,
    "loss_tolerance": 0,
    "gradient_tolerance": 0,
    "noise_stop": False,
    "fluorescence_prior": "none",
    "precision": "double",
}


@cache
def example(sampling="grid", **more):
    settings = {"m": 16, "per_side": 6, "overlap": 0.6, "elements": 2, "seed": 2} | more
    return simulate("cells", sampling=sampling, **settings)


def without_data(scan, element):
    maps = np.array(scan.fluorescence)
    maps[element] = np.nan
    return scan.replace(fluorescence=maps)


def maps_of(scan, start=None, precision="double", nonnegative=True):
    settings = Settings(precision=precision, nonnegative=nonnegative)
    data = LocalData.read(scan, "fluorescence", np.float64, 0, Ranks())
    return first_maps(data, scan.measured, start or {}, settings)


# When -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"sequential_first": False}, True),
        ({"sequential_first": True, "fluorescence_first": True}, False),
        ({"start": {"real_part": 0.5}}, True),
        ({"start": {"elements": 0.1}}, False),
        ({"start": {"elements": 0.1}, "fluorescence_first": True}, True),
        ({"fluorescence_first": False}, False),
        ({"fluorescence_first": np.bool_(True)}, True),
        ({"solver": "paper"}, False),
        ({"solver": "paper", "fluorescence_first": True}, True),
        ({"alpha": 0.0}, False),
        ({"alpha": 0.0, "fluorescence_first": True}, False),
        ({"method": "ptychography"}, False),
        ({"method": "ptychography", "fluorescence_first": True}, False),
        ({"method": "fluorescence", "fluorescence_prior": "none"}, False),
        ({"method": "fluorescence", "fluorescence_prior": "none", "fluorescence_first": True}, False),
    ],
    ids=str,
)
def test_when_it_is_done(options, expected):
    result = reconstruct(example(), max_iterations=1, **options)
    assert result.settings["fluorescence_first"] is expected
    assert bool(NOTE.match(result.history[0].note)) is expected
    assert not any("alone" in record.note for record in result.history[1:])


def test_counts_at_the_positions_are_a_start_where_their_light_covers_the_object():
    few, many = (
        simulate("cells", n=48, m=16, per_side=per_side, sampling="scan", seed=1) for per_side in (4, 10)
    )
    assert not covers(few) and covers(many)
    for scan, expected in ((few, False), (many, True)):
        result = reconstruct(scan, max_iterations=1, sequential_first=False)
        assert result.settings["fluorescence_first"] is expected


@pytest.mark.parametrize("method", ["ptychography", "fluorescence"])
def test_other_methods_know_nothing_of_it(method):
    first, second = (
        reconstruct(example(), method, max_iterations=4, fluorescence_first=choice)
        for choice in (True, False)
    )
    assert [record.loss for record in first.history] == [record.loss for record in second.history]
    np.testing.assert_array_equal(first.object, second.object)
    np.testing.assert_array_equal(first.elements, second.elements)


@pytest.mark.parametrize("value", [1, 0, "yes", 0.5, [True]])
def test_what_is_no_answer(value):
    with pytest.raises(ValueError, match=r"^fluorescence_first: expected true or false, got"):
        reconstruct(example(), fluorescence_first=value)


# What the first maps are ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["grid", "scan"])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_first_maps(sampling, precision):
    """They are finite, of the precision asked for, not negative, and nearer to the truth than nothing."""
    scan = example(sampling)
    found = maps_of(scan, precision=precision)
    assert found.elements.dtype == (np.float32 if precision == "single" else np.float64)
    assert found.elements.shape == (2, *scan.shape)
    assert found.elements.flags.c_contiguous
    assert (found.elements >= 0).all()
    assert 0 < found.sweeps <= MOST_SWEEPS + 1
    truth = scan.truth["elements"]
    for one, other in zip(found.elements, truth, strict=True):
        assert ((one - other) ** 2).mean() < 0.5 * (other**2).mean()


def test_first_maps_end_at_the_noise():
    """Noise ends them; without it they go on until nothing is gained; where it is unknown they end soon."""
    noisy, clean = example(), example(noise=0.0)
    unknown = noisy.replace(fluorescence_count_scale=None)
    sweeps = [maps_of(scan).sweeps for scan in (noisy, unknown, clean)]
    assert sweeps[0] < sweeps[2] <= MOST_SWEEPS + 1
    assert sweeps[1] <= FEW_SWEEPS + 1 < sweeps[2]
    # whole numbers are counts, whose noise is known
    counts = example(noise="counting", photons=100.0)
    known = maps_of(counts.replace(fluorescence_count_scale=None))
    assert known.sweeps == maps_of(counts).sweeps


def test_first_maps_may_be_negative():
    scan = example("scan")
    lowered = scan.replace(background=[2 * float(scan.fluorescence[0].mean()), 0.0])
    assert (maps_of(lowered).elements >= 0).all()
    assert (maps_of(lowered, nonnegative=False).elements[0] < 0).any()
    free = reconstruct(lowered, nonnegative=False, max_iterations=1, **ON)
    assert (free.elements[0] < 0).any()


# Held and free --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_maps_are_held_and_then_free(sampling):
    """Eight iterations leave them as they are, bit by bit; the ninth moves them."""
    scan = example(sampling)
    found = maps_of(scan)
    for iterations in (0, 3, HELD):
        result = reconstruct(scan, max_iterations=iterations, **ON)
        assert result.history[-1].iteration == iterations
        np.testing.assert_array_equal(result.elements, found.elements)
        if iterations:
            assert (result.object.real != 1).any()
    after = reconstruct(scan, max_iterations=HELD + 1, **ON)
    assert not np.array_equal(after.elements, found.elements)
    assert after.history[-1].fluorescence_loss != after.history[-2].fluorescence_loss
    held = [record.fluorescence_loss for record in after.history[:-1]]
    assert held == [held[0]] * (HELD + 1)
    losses = [record.loss for record in after.history]
    assert losses == sorted(losses, reverse=True)
    assert NOTE.match(after.history[0].note)[1] == f"{found.sweeps:g}"


def test_maps_are_held_in_single_precision_too():
    found = maps_of(example(), precision="single")
    result = reconstruct(example(), max_iterations=3, **ON | {"precision": "single"})
    assert result.elements.dtype == np.float32
    np.testing.assert_array_equal(result.elements, found.elements)


def test_maps_are_free_at_once_where_the_rest_has_converged():
    """A loose tolerance ends the descent of x early; that frees the maps and ends nothing."""
    scan = example()
    found = maps_of(scan)
    loose = ON | {"loss_tolerance": 1e6}
    result = reconstruct(scan, max_iterations=HELD, **loose)
    assert not np.array_equal(result.elements, found.elements)
    assert result.history[-1].loss < result.history[0].loss


def test_maps_are_free_after_a_quarter_of_the_sweeps():
    scan = example()
    found = maps_of(scan)
    budget = 40
    result = reconstruct(scan, max_sweeps=budget, **ON)
    assert not np.array_equal(result.elements, found.elements)
    losses = [record.fluorescence_loss for record in result.history]
    held = losses.index(next(loss for loss in losses if loss != losses[0]))
    assert 1 < held < HELD
    # the iteration that first moves them begins beyond the quarter
    assert result.history[held - 1].sweeps > HELD_BUDGET * budget >= result.history[held - 2].sweeps


@pytest.mark.parametrize(("first", "held"), [(0, 0), (2, 2), (3, 3), (HELD + 4, HELD)])
def test_maps_are_held_only_beside_a_probe_that_is_still(first, held):
    """Maps of a wrong probe would hold it back: both are free from the same iteration on."""
    scan = example()
    found = maps_of(scan)
    options = ON | {"rescale_probe": False, "refine_probe": True, "probe_from_iteration": first}
    before = reconstruct(scan, max_iterations=held, **options)
    np.testing.assert_array_equal(before.elements, found.elements)
    # a probe goes through the units of the solver and back
    np.testing.assert_allclose(before.probe, scan.probe, rtol=1e-12)
    after = reconstruct(scan, max_iterations=held + 1, **options)
    assert not np.array_equal(after.elements, found.elements)
    still = first > held
    assert np.allclose(after.probe, scan.probe, rtol=1e-12, atol=0) is still


def test_the_noise_does_not_stop_what_holds_maps():
    """Held maps are fitted to their noise from the beginning: that says nothing of the whole yet."""
    scan = example()
    result = reconstruct(scan, precision="double", fluorescence_first=True)
    assert result.history[-1].iteration > HELD
    assert result.settings["noise_stop"]


def test_a_budget_of_seconds_counts_the_first_maps():
    result = reconstruct(example(), max_seconds=0.0, fluorescence_first=True)
    assert len(result.history) == 1
    assert result.history[0].seconds > 0
    assert NOTE.match(result.history[0].note)


def test_sweeps_count_the_joint_work_only():
    """The history's sweeps begin at those of the start; the callback sees the joint iterations alone."""
    records = []
    result = reconstruct(
        example(), max_iterations=2, callback=lambda record, view: records.append(record), **ON
    )
    assert [record.loss for record in result.history] == [record.loss for record in records]
    assert [record.iteration for record in records] == [0, 1, 2]
    assert result.history[0].sweeps == 1


# Elements without data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["grid", "scan"])
@pytest.mark.parametrize("start", [None, {"real_part": 0.7}], ids=str)
def test_elements_without_data_begin_where_they_would(sampling, start):
    scan = without_data(example(sampling), 1)
    found = maps_of(scan, start)
    assert found.elements[0].any()
    assert not found.elements[1].any()
    result = reconstruct(scan, start=start, max_iterations=3, **ON)
    np.testing.assert_array_equal(result.elements, found.elements)
    after = reconstruct(scan, start=start, max_iterations=HELD + 2, **ON)
    assert np.isfinite(after.elements).all()
    assert after.elements[1].any()


def test_elements_without_data_keep_the_start_that_is_given():
    scan = without_data(example(), 0)
    start = {"elements": np.stack([np.full(scan.shape, 0.25), np.full(scan.shape, 0.5)])}
    result = reconstruct(scan, start=start, max_iterations=2, **ON)
    np.testing.assert_array_equal(result.elements[0], 0.25)
    assert not np.array_equal(result.elements[1], start["elements"][1])


def test_a_scan_without_any_data_is_refused_as_before():
    scan = without_data(without_data(example(), 0), 1)
    with pytest.raises(ValueError, match="fluorescence data"):
        reconstruct(scan)


# The objective --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["grid", "scan"])
@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("curvature", ["positive", "full", "gauss-newton"])
def test_held_maps_have_no_part_in_gradients_and_products(sampling, refine, curvature):
    """The rest of both is what it is without holding."""
    rng = np.random.default_rng(1)
    objective = Objective(example(sampling), curvature=curvature, refine_probe=refine)
    fields = {name: 0.5 + rng.random(example(sampling).shape) for name in ("real_part",)}
    fields["elements"] = rng.random((2, *example(sampling).shape))
    if refine:
        fields["probe"] = example(sampling).probe
    vector = objective.scatter(**fields)
    direction = rng.standard_normal(objective.size)
    value, gradient = objective.value_and_gradient(vector)
    product = objective.hessian_product(direction)
    objective.held = frozenset({"elements"})
    held_value, held_gradient = objective.value_and_gradient(vector)
    held_product = objective.hessian_product(direction)
    assert held_value == value
    elements = objective.nonnegative
    assert gradient[elements].any() and product[elements].any()
    for held, free in ((held_gradient, gradient), (held_product, product)):
        assert not held[elements].any()
        rest = np.delete(np.arange(objective.size), np.r_[elements])
        np.testing.assert_allclose(held[rest], free[rest], rtol=1e-12, atol=1e-12 * np.abs(free).max())
        assert held[rest].any()
    # the step of a solver stays where they are
    objective.precondition(held_gradient)
    assert not objective.precondition(held_gradient)[elements].any()
    objective.held = frozenset()
    np.testing.assert_array_equal(objective.value_and_gradient(vector)[1], gradient)


# What it is for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_lower_errors_at_low_overlap(seed):
    """6 % overlap, where the patterns would draw flat maps into a minimum of their own."""
    scan = simulate("cells", m=32, per_side=4, overlap=0.06, elements=1, seed=seed, noise=0.03)
    errors = {
        first: reconstruct(
            scan, start={"real_part": 0.5}, fluorescence_first=first, fluorescence_prior="none"
        )
        .history[-1]
        .errors
        for first in (True, False)
    }
    for name in ("mse_imaginary_illuminated", "mse_aligned"):
        assert errors[True][name] < 0.8 * errors[False][name]


def test_paper_solver_is_untouched(monkeypatch):
    """Neither the paper's solver nor a given start ever asks for first maps."""

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(stage_module, "first_maps", never)
    reconstruct(example(), solver="paper", max_iterations=1)
    reconstruct(example(), start={"elements": 0.1}, max_iterations=1, fluorescence_prior="none")
    with pytest.raises(AssertionError):
        reconstruct(example(), max_iterations=1, sequential_first=False)
