"""First maps and what holds them are the same on any number of ranks."""

import numpy as np
import pytest
from cases import CASES, make_scan, random_unknowns, relative

from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.first_maps import first_maps
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.schedule import HELD_ITERATIONS
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.parallel.reduction import Ranks

HELD = HELD_ITERATIONS["quasi-newton"]

#: Element 1 of raster-grid has no data.
NAMES = ("raster-grid", "raster-grid-correlation", "spiral-scan-modes")


def run(scan, name, iterations, comm=None, **more):
    settings = {key: value for key, value in CASES[name][1].items() if key != "margin"}
    return reconstruct(
        scan,
        precision="double",
        inner_limit=6,
        max_iterations=iterations,
        loss_tolerance=0,
        gradient_tolerance=0,
        noise_stop=False,
        fluorescence_first=True,
        comm=comm,
        **settings,
        **more,
    )


def maps_of(scan, comm, **more):
    data = LocalData.read(scan, "fluorescence", np.float64, 0, Ranks(comm))
    return first_maps(data, scan.measured, {}, Settings(precision="double", **more).resolved(scan))


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_those_of_one_rank(comm, from_one_rank, name):
    scan = make_scan(name)
    one, ours = from_one_rank(lambda: maps_of(scan, None)), maps_of(scan, comm)
    assert ours.sweeps == one.sweeps
    tile = Objective(scan, comm=comm).tile
    assert ours.elements.shape == (scan.N_e, *tile.owned.shape)
    assert relative(ours.elements, one.elements[(slice(None), *tile.owned.slices)]) < 1e-6
    assert comm.allgather(ours.sweeps) == [one.sweeps] * comm.Get_size()
    drawn = [any(comm.allgather(bool(element.any()))) for element in ours.elements]
    assert drawn == [name != "raster-grid" or e != 1 for e in range(scan.N_e)]


@pytest.mark.parametrize("name", NAMES)
def test_held_and_free(comm, from_one_rank, name):
    scan = make_scan(name)
    iterations, prior = HELD + 3, {"fluorescence_prior": 2.0}
    one = from_one_rank(lambda: run(scan, name, iterations, **prior))
    ours = run(scan, name, iterations, comm, **prior)
    assert ours.settings["fluorescence_first"] is one.settings["fluorescence_first"] is True
    assert ours.history[0].note == one.history[0].note
    for record, expected in zip(ours.history, one.history, strict=True):
        assert record.loss == pytest.approx(expected.loss, rel=1e-9)
        assert (record.inner_steps, record.sweeps) == (expected.inner_steps, expected.sweeps)
    whole = ours.gather()
    assert relative(whole.object, one.object) < 1e-6
    assert relative(whole.elements, one.elements) < 1e-6

    found = maps_of(scan, comm, **prior).elements
    held = run(scan, name, 3, comm, **prior)
    part = held if comm.Get_size() == 1 else held.part
    np.testing.assert_array_equal(part.elements, found)
    moved = comm.allgather(relative(whole.elements, held.gather().elements) > 1e-6)
    assert all(moved)


def test_ranks_agree_where_maps_are_freed_early(comm, from_one_rank):
    """What has converged within the first eight iterations frees them, in the same iteration on all ranks."""
    scan = make_scan("raster-grid")
    settings = {"precision": "double", "loss_tolerance": 0.9, "max_iterations": 7, "noise_stop": False}
    one = from_one_rank(lambda: reconstruct(scan, **settings))
    ours = reconstruct(scan, comm=comm, **settings)
    losses = [record.fluorescence_loss for record in ours.history]
    assert losses == pytest.approx([record.fluorescence_loss for record in one.history], rel=1e-8)
    assert len(set(losses)) > 1
    assert len({len(losses), *comm.allgather(len(losses))}) == 1


@pytest.mark.parametrize("name", ["raster-grid", "random-scan-probe"])
def test_no_part_in_gradients_and_products(comm, name):
    scan, settings = make_scan(name), CASES[name][1]
    one, ours = Objective(scan, **settings), Objective(scan, **settings, comm=comm)
    one.held = ours.held = frozenset({"elements"})
    point, change = (random_unknowns(scan, one.unknowns, seed) for seed in (1, 2))
    gradients = [each.value_and_gradient(each.scatter(**point))[1] for each in (one, ours)]
    products = [each.hessian_product(each.scatter(**change)) for each in (one, ours)]
    for expected, found in (gradients, products):
        assert not found[ours.nonnegative].any()
        expected, found = one.gather(expected), ours.gather(found)
        assert not found["elements"].any()
        assert relative(found["real_part"], expected["real_part"]) < 1e-10
