"""Reconstructions on any number of ranks follow the same path."""

import numpy as np
import pytest
from cases import CASES, make_scan, relative

from ptyxrf.driver.data.result import NotGathered, Result
from ptyxrf.driver.reconstruction.reconstruct import reconstruct

#: Rounding grows from step to step of an inner solve. Where the fluorescence on the grid has a say in an
#: unknown probe it grows fastest, by a factor of 10^6 in twenty iterations of 15 steps: fewer steps there,
#: and in single precision everywhere.
FEWER = {"random-grid-probe": 4}


def run(scan, name, precision, comm=None, **more):
    settings = {key: value for key, value in CASES[name][1].items() if key != "margin"}
    limit = FEWER.get(name, 8 if precision == "single" else None)
    # maps of the fluorescence alone are a long solve before these twenty iterations, with its own rounding:
    # test_first_maps compares them
    settings |= {"max_iterations": 20, "inner_limit": limit, "fluorescence_first": False}
    settings |= {"fluorescence_prior": "none"} | more
    if settings.get("solver") != "newton":
        settings["inner_limit"] = 1
    return reconstruct(
        scan,
        precision=precision,
        loss_tolerance=0,
        gradient_tolerance=0,
        noise_stop=False,
        comm=comm,
        **settings,
    )


#: Cases in which a decision that rounding turns (when to end an inner solve, which step) changes the loss
#: after twenty iterations by less than what is asserted.
LONG = ("raster-grid", "spiral-scan-modes", "random-grid-probe", "random-scan-probe", "snake-positive")


@pytest.mark.parametrize("solver", ["newton", "quasi-newton"])
@pytest.mark.parametrize(
    ("name", "precision"),
    [*((name, "double") for name in LONG), ("random-grid-probe", "single"), ("snake-positive", "single")],
)
def test_twenty_iterations(comm, from_one_rank, name, precision, solver):
    """Each with an inner solve, or a quasi-Newton step."""
    scan = make_scan(name)
    one = from_one_rank(lambda: run(scan, name, precision, solver=solver))
    ours = run(scan, name, precision, comm, solver=solver)
    assert isinstance(ours, Result) and ours.is_whole == (comm.Get_size() == 1)
    assert len(ours.history) == len(one.history) == 21
    assert one.loss < 0.1 * one.history[0].loss
    tolerance = 1e-10 if precision == "double" else 1e-3
    assert ours.loss == pytest.approx(one.loss, rel=tolerance)
    if precision == "single":
        return
    for record, expected in zip(ours.history, one.history, strict=True):
        assert record.loss == pytest.approx(expected.loss, rel=1e-10)
        assert (record.inner_steps, record.sweeps) == (expected.inner_steps, expected.sweeps)
    whole = ours.gather()
    assert relative(whole.object, one.object) < 1e-6
    assert relative(whole.elements, one.elements) < 1e-6
    assert relative(whole.probe, one.probe) < 1e-6
    for attribute in ("pattern_misfit", "predicted_fluorescence"):
        if getattr(one, attribute) is not None:
            assert relative(getattr(whole, attribute), getattr(one, attribute)) < 1e-6
    # all bounds hold on every rank
    assert (whole.elements >= 0).all()


def test_a_part_of_a_result(comm):
    """Whole arrays are no attributes before they are gathered; what all ranks have is there."""
    scan = make_scan(LONG[0])
    ours = run(scan, LONG[0], "double", comm, max_iterations=1)
    alone = comm.Get_size() == 1
    for name in ("object", "elements", "predicted_fluorescence", "pattern_misfit"):
        assert hasattr(ours, name) == alone
    if not alone:
        with pytest.raises(NotGathered, match=r"^object: \d+ ranks hold a part each .*gather"):
            _ = ours.object
        assert f"on {comm.Get_size()} ranks" in repr(ours)
        tile, _ = ours.shared
        assert ours.part.object.shape == tile.owned.shape and ours.part.is_whole
    whole = ours.gather()
    assert whole.is_whole and whole.object.shape == scan.shape and whole.probe.shape == scan.probe.shape


def test_without_a_preconditioner(comm, from_one_rank):
    """The probe, which all ranks have, counts once in the products of the steps."""
    name = next(name for name in LONG if "probe" in name)
    scan = make_scan(name)
    few = {"preconditioner": False, "max_iterations": 8}
    one = from_one_rank(lambda: run(scan, name, "double", **few))
    ours = run(scan, name, "double", comm, **few)
    losses = [[record.loss for record in result.history] for result in (ours, one)]
    np.testing.assert_allclose(*losses, rtol=1e-9)


def test_more_ranks_than_positions(comm, from_one_rank):
    """Few iterations: three positions leave unknowns that only rounding decides after some more."""
    scan = make_scan("three-positions")
    one = from_one_rank(lambda: run(scan, "three-positions", "double", max_iterations=6))
    ours = run(scan, "three-positions", "double", comm, max_iterations=6)
    assert ours.loss == pytest.approx(one.loss, rel=1e-10)
    assert relative(ours.gather().elements, one.elements) < 1e-6


def test_the_result_of_one_rank_is_whole(comm):
    alone = comm.Split(comm.Get_rank())
    ours = run(make_scan("snake-ptychography"), "snake-ptychography", "single", alone, max_iterations=2)
    assert ours.gather() is ours
    alone.Free()


def test_one_rank_may_stop_all(comm):
    """A callback may say so on the last rank only; a time budget ends all in the same iteration."""
    scan = make_scan("raster-grid")
    last = comm.Get_size() - 1
    ours = run(
        scan, "raster-grid", "single", comm,
        callback=lambda record, view: comm.Get_rank() == last and record.iteration == 3,
    )  # fmt: skip
    assert ours.reason.name == "CALLBACK"
    assert comm.allgather(ours.history[-1].iteration) == [3] * comm.Get_size()
    ours = run(scan, "raster-grid", "single", comm, max_seconds=0.0)
    assert ours.reason.name == "SECONDS"
    assert len(set(comm.allgather(len(ours.history)))) == 1


def test_bad_data_is_an_error_on_every_rank(comm):
    """A value in one pattern, which one rank reads, is named on all of them."""
    scan = make_scan("raster-grid")
    patterns = np.array(scan.patterns)
    patterns[-1, 4, 5] = np.nan
    mask = np.array(scan.mask)
    mask[-1, 4, 5] = True

    class Lazy:
        shape, dtype = patterns.shape, patterns.dtype

        def __getitem__(self, key):
            return patterns[key]

    bad = scan.replace(patterns=Lazy(), mask=mask)
    with pytest.raises(ValueError, match=rf"got nan in pattern {scan.N - 1} at pixel \(4, 5\)"):
        run(bad, "raster-grid", "single", comm)
    maps = np.array(scan.fluorescence)
    maps[0, 0, 0] = np.inf

    class LazyMaps(Lazy):
        shape, dtype = maps.shape, maps.dtype

        def __getitem__(self, key):
            return maps[key]

    with pytest.raises(ValueError, match="1 infinite values for element 0"):
        run(scan.replace(fluorescence=LazyMaps()), "raster-grid", "single", comm)


def test_patterns_on_disk(comm):
    """Each rank has a file of its own; the answer is that of patterns in memory, to the last bit."""
    scan = make_scan("spiral-scan-modes")
    on_disk, in_memory = (
        reconstruct(scan, "ptychography", memory=memory, max_iterations=1, noise_stop=False, comm=comm)
        for memory in ("disk", "low")
    )
    assert on_disk.history[-1].loss == in_memory.history[-1].loss
    np.testing.assert_array_equal(on_disk.gather().object, in_memory.gather().object)
