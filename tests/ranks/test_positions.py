"""Positions that move the corners of their patches, over tiles and halos, are those of one rank."""

from functools import cache

import numpy as np
import pytest
from cases import CASES, make_scan, random_unknowns, relative

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.parallel.reduction import Ranks

NAMES = ["random-scan-positions", "random-grid-positions"]

#: Pixels by which recorded positions are off; margins are that wide, or wider.
OFF = 3


def badly_recorded(name):
    """Return a case whose recorded positions are up to three pixels off, and the displacements back."""
    scan = make_scan(name).replace(truth=None)
    steps = np.random.default_rng(2).integers(-OFF, OFF + 1, (scan.N, 2))
    last = np.array(scan.shape) - scan.m
    recorded = np.clip(scan.positions + steps, 0, last - 1e-9)
    recorded = np.where(np.abs(recorded - scan.positions) <= OFF, recorded, scan.positions)
    return scan.replace(positions=recorded), scan.positions - recorded


def settings_of(name):
    return CASES[name][1]


def settled(objective, vector, search=False):
    """Return the point to go on from after the corners have followed, and whether any has."""
    objective.value_and_gradient(vector)
    before = objective.terms.corners.copy()
    moved = objective.beam.followed(vector, search=search)
    changed = objective.ranks.any(not np.array_equal(before, objective.terms.corners))
    return vector if moved is None else moved, changed


def same(ours, one, mine, theirs, tolerance=1e-12):
    whole, expected = ours.gather(mine), one.gather(theirs)
    for name in expected:
        assert relative(whole[name], expected[name]) < tolerance, name


@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_corners_follow(comm, name, search):
    """The objective there is that of one rank; so are the corners, and what a search finds."""
    scan, back = badly_recorded(name)
    objectives = [Objective(scan, **settings_of(name), comm=which) for which in (comm, None)]
    unknowns = random_unknowns(scan, objectives[0].unknowns, 1) | {"displacement": back}
    results = []
    for objective in objectives:
        vector, changed = settled(objective, objective.scatter(**unknowns), search)
        assert changed
        results.append((vector, *objective.value_and_gradient(vector)))
    (ours, one), ((mine, value, gradient), (theirs, expected, other)) = objectives, results
    same(ours, one, mine, theirs, 1e-15)
    assert value == pytest.approx(expected, rel=1e-12)
    same(ours, one, gradient, other)
    direction = random_unknowns(scan, ours.unknowns, 2)
    product, other = (o.hessian_product(o.scatter(**direction)) for o in objectives)
    same(ours, one, product, other)
    same(ours, one, ours.precondition(gradient), one.precondition(results[1][2]), 1e-11)
    steps, other = (o.beam.memory()["corner_steps"] for o in objectives)
    np.testing.assert_array_equal(steps, other)
    assert np.abs(steps).max() >= 2
    assert np.abs(steps).max() <= settings_of(name)["position_margin"]


@pytest.mark.parametrize("name", NAMES)
def test_followed_corners_are_those_of_a_scan_recorded_there(comm, name):
    """Value and gradient are those of a scan with these positions, on one rank and without refinement."""
    scan, back = badly_recorded(name)
    settings = settings_of(name)
    ours = Objective(scan, **settings, comm=comm)
    unknowns = random_unknowns(scan, ours.unknowns, 1) | {"displacement": back}
    for zero in ("distortion", "log_amplitude"):
        if zero in unknowns:
            unknowns[zero] = 0 * unknowns[zero]
    vector, _ = settled(ours, ours.scatter(**unknowns))
    value, gradient = ours.value_and_gradient(vector)
    positions = ours.beam.positions(vector)
    corners = np.zeros((scan.N, 2))
    first = ours.tile.covered.row_start, ours.tile.covered.column_start
    corners[ours.tile.positions] = ours.terms.corners + first
    corners = Ranks(comm).sum(corners)
    np.testing.assert_array_equal(corners, np.floor(positions))
    there = scan.replace(positions=positions)
    plain = settings | {"refine_positions": "none", "refine_intensities": False}
    one = Objective(there, **plain, alpha=ours.alpha)
    expected, other = one.value_and_gradient(one.scatter(**{n: unknowns[n] for n in one.unknowns}))
    assert value == pytest.approx(expected, rel=1e-12)
    found = ours.gather(gradient)
    for key, values in one.gather(other).items():
        assert relative(found[key], values) < 1e-11, key


def without_linear_part(scan, corner, size):
    """Return displacements (N, 2) of the four positions nearest to a corner alone, none of them linear."""
    nearest = np.argsort(np.abs(scan.positions - corner).sum(axis=1))[:4]
    columns = np.column_stack([np.ones(4), scan.positions[nearest]])
    null = np.linalg.svd(columns.T)[2][-1]
    displacements = np.zeros((scan.N, 2))
    displacements[nearest, 0] = size * null / np.abs(null).max()
    return displacements


def test_one_rank_may_be_far_and_another_have_to_move(comm):
    """All corners follow where any is far: also where that one stays, at the end of its margin."""
    scan, settings = make_scan(NAMES[0]), settings_of(NAMES[0]) | {"position_margin": 1}
    far = without_linear_part(scan, np.zeros(2), 3.0)
    near = without_linear_part(scan, np.array(scan.shape) - scan.m, 0.49)
    steps = []
    for which in (comm, None):
        objective = Objective(scan, **settings, comm=which)
        zero = objective.gather(objective.initial)
        for displacement in (far, far + near):
            vector = objective.scatter(**zero | {"displacement": displacement})
            objective.value_and_gradient(vector)
            moved = objective.beam.followed(vector, search=False)
            steps.append(objective.beam.memory()["corner_steps"])
            assert moved is not None
    np.testing.assert_array_equal(steps[0], steps[2])
    np.testing.assert_array_equal(steps[1], steps[3])
    assert (steps[1] != steps[0]).any()


def test_without_a_margin(comm):
    """The preconditioner takes slopes of the object beyond the patch, the same on all tiles."""
    scan, settings = make_scan(NAMES[0]), settings_of(NAMES[0]) | {"position_margin": 0}
    ours, one = (Objective(scan, **settings, comm=which) for which in (comm, None))
    unknowns = random_unknowns(scan, one.unknowns, 1)
    steps = []
    for objective in (ours, one):
        vector = objective.scatter(**unknowns)
        steps.append(objective.precondition(objective.value_and_gradient(vector)[1]))
        assert objective.beam.followed(vector, search=True) is None
    same(ours, one, *steps)


def run(scan, name, start, comm, **more):
    given = {
        "precision": "double", "max_iterations": 5, "inner_limit": 2, "fluorescence_first": False,
        "loss_tolerance": 0, "gradient_tolerance": 0, "noise_stop": False, "fluorescence_prior": "none",
    }  # fmt: skip
    return reconstruct(scan, start=start, comm=comm, **settings_of(name) | given | more)


@pytest.fixture(scope="module")
def one_rank(comm, from_one_rank):
    """Return the result of a case and a solver on the first rank, which finds it once; the others wait."""

    def find(name, solver):
        scan, back = badly_recorded(name)
        return from_one_rank(lambda: run(scan, name, {"displacement": back}, None, solver=solver))

    return cache(find)


def assert_alike(ours, expected):
    assert len(ours.history) == len(expected.history)
    for record, other in zip(ours.history, expected.history, strict=True):
        assert record.loss == pytest.approx(other.loss, rel=1e-10)
        assert (record.inner_steps, record.sweeps) == (other.inner_steps, other.sweeps)
    whole = ours.gather()
    for attribute in ("object", "elements", "probe", "positions", "intensities", "pattern_misfit"):
        if getattr(expected, attribute) is not None:
            assert relative(getattr(whole, attribute), getattr(expected, attribute)) < 1e-6, attribute


@pytest.mark.parametrize("solver", ["quasi-newton", "newton"])
@pytest.mark.parametrize("name", NAMES)
def test_reconstructions(comm, one_rank, name, solver):
    """Corners move after the first iteration, stuck positions are searched after the third."""
    scan, back = badly_recorded(name)
    one, ours = one_rank(name, solver), run(scan, name, {"displacement": back}, comm, solver=solver)
    assert_alike(ours, one)
    assert np.abs(one.positions - scan.positions).max() > 2
    assert one.loss < one.history[0].loss


@pytest.mark.parametrize("solver", ["quasi-newton", "newton"])
@pytest.mark.parametrize("name", NAMES)
def test_another_number_of_ranks_goes_on(comm, one_rank, from_one_rank, folder, name, solver):
    """Written by all after the corners have moved, taken up by one, and by all again."""
    scan, back = badly_recorded(name)
    start, path = {"displacement": back}, folder / "c.h5"
    writing = {"solver": solver, "checkpoint": path, "checkpoint_iterations": 1}
    run(scan, name, start, comm, **writing, max_iterations=2)
    comm.Barrier()
    from_one_rank(lambda: run(scan, name, start, None, **writing, max_iterations=4, resume=True))
    ours = run(scan, name, start, comm, solver=solver, checkpoint=path, resume=True)
    assert ours.settings["resumed_after"] == [2, 4]
    assert_alike(ours, one_rank(name, solver))
