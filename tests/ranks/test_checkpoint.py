"""A checkpoint of any number of ranks, taken up by any other."""

import functools
import warnings

import numpy as np
import pytest
from cases import make_scan, relative

from ptyxrf.driver.files.checkpoint_file import read_checkpoint
from ptyxrf.driver.reconstruction.checkpoint import older_path
from ptyxrf.driver.reconstruction.reconstruct import reconstruct

#: Every combination on few ranks is enough.
few = functools.partial(pytest.param, marks=pytest.mark.ranks(at_most=3))

#: A probe that is refined from the third iteration on.
DELAYED = 2

#: Case of cases.py, method, solver, when the probe is freed, precision.
RUNS = [
    few("raster-grid", "joint", "quasi-newton", False, "double"),
    ("random-scan-probe", "joint", "quasi-newton", DELAYED, "double"),
    ("spiral-scan-modes", "joint", "newton", True, "double"),
    few("snake-ptychography", "ptychography", "quasi-newton", True, "double"),
    few("snake-ptychography", "ptychography", "newton", DELAYED, "double"),
    few("raster-grid", "fluorescence", "quasi-newton", False, "double"),
    few("raster-grid", "fluorescence", "newton", False, "double"),
    few("random-scan-probe", "joint", "quasi-newton", True, "single"),
    few("raster-grid", "joint", "newton", False, "single"),
]


def example(name):
    """Return a case without its truth, whose errors are not the same on several ranks."""
    return make_scan(name).replace(truth=None)


def run(scan, comm, *, method, solver, precision, refine_probe, **more):
    # few inner steps: rounding grows in them, and with it the difference between numbers of ranks
    settings = {"inner_limit": 2, "max_iterations": 6, "fluorescence_first": False}
    settings |= {"fluorescence_prior": "none"} | more
    return reconstruct(
        scan, method, solver=solver, precision=precision, refine_probe=bool(refine_probe),
        probe_from_iteration=DELAYED if refine_probe is DELAYED else 0, comm=comm,
        loss_tolerance=0, gradient_tolerance=0, noise_stop=False, **settings,
    )  # fmt: skip


def on_fewer(comm, size, function):
    """Run a function with a communicator of the first `size` ranks; return what it gives, or None beyond."""
    part = comm.Split(0 if comm.Get_rank() < size else 1)
    try:
        return function(part) if comm.Get_rank() < size else None
    finally:
        part.Free()
        comm.Barrier()


@pytest.mark.parametrize(("name", "method", "solver", "refine_probe", "precision"), RUNS)
def test_another_number_of_ranks_goes_on(
    comm, from_one_rank, folder, name, method, solver, refine_probe, precision
):
    """Written by all, taken up by fewer, then by one, and by all again."""
    scan, path = example(name), folder / "c.h5"
    settings = {
        "method": method, "solver": solver, "precision": precision, "refine_probe": refine_probe,
    }  # fmt: skip
    expected = from_one_rank(lambda: run(scan, None, **settings))
    writing = {"checkpoint": path, "checkpoint_iterations": 1}
    run(scan, comm, **settings, **writing, max_iterations=2)
    fewer = max(1, comm.Get_size() - 1)
    on_fewer(comm, fewer, lambda part: run(scan, part, **settings, **writing, max_iterations=3, resume=True))
    from_one_rank(lambda: run(scan, None, **settings, **writing, max_iterations=5, resume=True))
    ours = run(scan, comm, **settings, checkpoint=path, resume=True)
    assert ours.settings["resumed_after"] == [2, 3, 5]
    assert len(ours.history) == len(expected.history) == 7
    assert ours.loss == pytest.approx(expected.loss, rel=1e-10 if precision == "double" else 1e-3)
    if precision == "single":
        return
    for record, other in zip(ours.history, expected.history, strict=True):
        assert record.loss == pytest.approx(other.loss, rel=1e-10)
        assert (record.inner_steps, record.sweeps, record.note) == (
            other.inner_steps, other.sweeps, other.note,
        )  # fmt: skip
    whole = ours.gather()
    assert relative(whole.object, expected.object) < 1e-6
    assert relative(whole.probe, expected.probe) < 1e-6
    if method != "ptychography":
        assert relative(whole.elements, expected.elements) < 1e-6


def test_the_file_does_not_tell_how_many_wrote_it(comm, folder):
    """But for rounding: the same datasets, shapes and dtypes, and nothing of a rank."""
    import h5py

    scan = example("random-scan-probe")
    settings = {
        "method": "joint", "solver": "quasi-newton", "precision": "double", "refine_probe": True,
        "max_iterations": 2, "checkpoint_iterations": 2,
    }  # fmt: skip
    run(scan, comm, **settings, checkpoint=folder / "all.h5")
    if comm.Get_rank() == 0:
        run(scan, None, **settings, checkpoint=folder / "one.h5")
        contents = []
        for name in ("all.h5", "one.h5"):
            found = {}
            with h5py.File(folder / name) as file:
                file.visititems(
                    lambda key, item, found=found: (
                        found.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None
                    )
                )
            contents.append(found)
        assert contents[0].keys() == contents[1].keys()
        for key, values in contents[0].items():
            if values.dtype.kind in "fc" and not key.endswith("seconds"):
                np.testing.assert_allclose(values, contents[1][key], rtol=1e-8, atol=1e-8, err_msg=key)
        assert (
            read_checkpoint(folder / "all.h5").facts["digest"]
            == (read_checkpoint(folder / "one.h5").facts["digest"])
        )
    comm.Barrier()


def test_damage_and_strangers_on_every_rank(comm, folder):
    """All ranks go on from the older one, or fail alike."""
    scan, path = example("raster-grid"), folder / "c.h5"
    settings = {"method": "joint", "solver": "newton", "precision": "double", "refine_probe": False}
    expected = run(scan, comm, **settings, checkpoint=path, checkpoint_iterations=3)
    with pytest.raises(ValueError, match=r"c.h5: .* another precision \(there \"double\", here \"single\"\)"):
        run(scan, comm, **settings | {"precision": "single"}, checkpoint=path, resume=True)
    patterns = np.array(scan.patterns)
    patterns[-1, 2, 3] += 1
    with pytest.raises(ValueError, match="one of other data: patterns differs"):
        run(scan.replace(patterns=patterns), comm, **settings, checkpoint=path, resume=True)
    comm.Barrier()

    def damage(file, place):
        if comm.Get_rank() == 0:
            data = bytearray(file.read_bytes())
            data[place] ^= 1
            file.write_bytes(data)
        comm.Barrier()

    # in the numbers of one tile: only the rank that reads them sees that
    damage(path, path.stat().st_size // 2)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ours = run(scan, comm, **settings, checkpoint=path, resume=True)
    assert any("going on from the one before it" in str(warning.message) for warning in said)
    assert ours.settings["resumed_after"] == [3]
    assert ours.loss == pytest.approx(expected.loss, rel=1e-12)
    damage(older_path(path), 5)
    with pytest.raises(ValueError, match="no checkpoint is whole"):
        run(scan, comm, **settings, checkpoint=path, resume=True)
    assert not [file for file in folder.iterdir() if file.name.endswith(".part")]
