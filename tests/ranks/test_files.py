"""Ranks read their own patterns and write one file."""

import os
import time
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from cases import CASES, make_scan

from ptyxrf.driver.files import tiled_file
from ptyxrf.driver.files.pattern_file import PatternFile
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.files.scan_file import read_scan, write_scan
from ptyxrf.driver.files.stored_array import StoredArray
from ptyxrf.driver.files.tiled_file import parallel_hdf5, write_tiles
from ptyxrf.driver.pictures.result_picture import write_report
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.parallel.rectangle import Rectangle
from ptyxrf.parallel.startup import from_first_rank


@pytest.fixture
def folder(comm, tmp_path_factory):
    """Return one folder for all ranks."""
    return comm.bcast(tmp_path_factory.mktemp("files") if comm.Get_rank() == 0 else None)


def stored(comm, folder, name):
    """Write the scan of a case and read it as the command does."""

    def make():
        write_scan(folder / "scan.h5", make_scan(name))
        return read_scan(folder / "scan.h5", check=False)

    return from_first_rank(comm, make)


def short(scan, name, comm=None):
    settings = {key: value for key, value in CASES[name][1].items() if key != "margin"}
    settings |= {"precision": "double", "max_iterations": 2, "sequential_first": False}
    settings |= {"fluorescence_first": False, "fluorescence_prior": "none"}
    return reconstruct(scan, comm=comm, **settings)


@pytest.mark.parametrize("name", ["raster-grid", "spiral-scan-modes", "snake-ptychography"])
def test_each_rank_reads_its_own_patterns(comm, from_one_rank, folder, name, monkeypatch):
    scan = stored(comm, folder, name)
    read, values = [], [0]
    read_patterns, read_values = PatternFile._read, StoredArray.__getitem__

    def remember_patterns(self, indices):
        if self.name.endswith("/detector_1/data"):
            read.append(indices)
        return read_patterns(self, indices)

    def remember_values(self, key):
        result = read_values(self, key)
        values[0] += np.size(result)
        return result

    monkeypatch.setattr(PatternFile, "_read", remember_patterns)
    monkeypatch.setattr(StoredArray, "__getitem__", remember_values)
    ours = short(scan, name, comm)
    mine = np.concatenate([np.zeros(0, int), *read])
    everything = np.concatenate(comm.allgather(mine))
    np.testing.assert_array_equal(np.sort(everything), np.arange(scan.N))
    if not ours.is_whole:
        np.testing.assert_array_equal(np.sort(mine), np.sort(ours.shared[0].positions))
        # maps (once more for the fluorescence alone) and true arrays: no more than the owned pixels
        fields = (2 * scan.N_e if scan.sampling == "grid" else 0) + 1 + scan.N_e
        at_positions = 2 * scan.N_e * scan.N if scan.sampling == "scan" else 0
        assert values[0] <= fields * ours.shared[0].owned.size + at_positions
    monkeypatch.undo()
    one = from_one_rank(lambda: short(read_scan(folder / "scan.h5"), name))
    assert ours.loss == pytest.approx(one.loss, rel=1e-11)


@pytest.mark.parametrize(
    "name",
    [
        "raster-grid",
        "spiral-scan-modes",
        "snake-ptychography",
        "three-positions",
        "random-scan-refractive",
    ],
)
def test_one_result_file(comm, folder, name):
    scan = stored(comm, folder, name)
    ours = short(scan, name, comm)
    write_result(folder / "ours.h5", ours, scan)
    write_report(folder / "ours.png", ours, scan)
    whole = ours.gather()
    if comm.Get_rank() == 0:
        write_result(folder / "one.h5", whole, scan)
        back = read_result(folder / "ours.h5")
        names = ("object", "elements", "probe", "pattern_misfit", "predicted_fluorescence", "matrix")
        assert (whole.matrix is not None) == ("refractive" in name)
        for attribute in names:
            value, expected = getattr(back, attribute), getattr(whole, attribute)
            assert (value is None) == (expected is None), attribute
            if expected is not None:
                assert value.dtype == expected.dtype
                np.testing.assert_array_equal(value, expected)
        same_files(folder / "ours.h5", folder / "one.h5")
        assert (folder / "ours.png").stat().st_size > 10_000
    comm.Barrier()
    assert not [path for path in os.listdir(folder) if path.endswith(".part")]


def same_files(first, second):
    """Two files have the same datasets, attributes and filters."""
    with h5py.File(first) as one, h5py.File(second) as other:
        names, others = [], []
        one.visit(names.append)
        other.visit(others.append)
        assert names == others
        for name in names:
            assert dict(one[name].attrs).keys() == dict(other[name].attrs).keys()
            if isinstance(one[name], h5py.Dataset):
                assert one[name].dtype == other[name].dtype
                assert (one[name].fletcher32, one[name].chunks) == (
                    other[name].fletcher32,
                    other[name].chunks,
                )
                np.testing.assert_array_equal(one[name][()], other[name][()])


def test_ranks_without_pixels_take_part(comm, folder, monkeypatch):
    """Both ways of writing; chunks are shared by several ranks."""
    size, rank = comm.Get_size(), comm.Get_rank()
    owned = Rectangle(5 * rank, 5 * rank + 5, 0, 7) if rank < 3 else Rectangle(0, 0, 0, 7)
    rows = 5 * min(size, 3)
    ways = [False, True] if parallel_hdf5() else [False]
    taken, reserve = [], tiled_file.reserve
    monkeypatch.setattr(tiled_file, "reserve", lambda path, size: taken.append(size) or reserve(path, size))
    for at_once in ways:
        path = folder / f"{at_once}.h5"

        def make(path=path):
            with h5py.File(path, "w", libver=("v110", "v110")) as file:
                file.create_dataset("map", (2, rows, 7), "f4", chunks=(1, 4, 4), fletcher32=True)

        from_first_rank(comm, make)
        write_tiles(comm, path, owned, {"map": np.full((2, *owned.shape), rank + 1, "f4")}, at_once=at_once)
        comm.Barrier()
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["map"][0, :, 0], np.repeat(np.arange(min(size, 3)) + 1, 5))
        if at_once and rank == 0:
            # the room that was taken for it suffices, and what was too much is given back
            assert taken[0] - 100_000 < path.stat().st_size < taken[0] - 10_000
        comm.Barrier()


@pytest.mark.ranks(at_least=2)
def test_the_old_file_stays_when_a_rank_fails(comm, folder):
    name = "raster-grid"
    scan = stored(comm, folder, name)
    ours = short(scan, name, comm)
    write_result(folder / "result.h5", ours, scan)
    before = from_first_rank(comm, lambda: (folder / "result.h5").read_bytes())
    if comm.Get_rank() == comm.Get_size() - 1:
        # its tile does not fit, as after a change of the file behind our back
        part, shared = ours.part, ours.shared
        wrong = np.zeros((1, 1, 1, 3), complex)
        ours = part.replaced(object=wrong)
        ours.shared = shared
    with pytest.raises(ValueError, match="cannot be written"):
        write_result(folder / "result.h5", ours, scan)
    comm.Barrier()
    assert (folder / "result.h5").read_bytes() == before
    assert not [path for path in os.listdir(folder) if path.endswith(".part")]
    comm.Barrier()


@pytest.mark.ranks(at_least=2)
@pytest.mark.parametrize("reason", ["no space", "lost"])
def test_what_does_not_reach_the_disk_is_noticed(comm, folder, monkeypatch, reason):
    """A full disk, told beforehand or found out when the file is read back: the old file stays."""
    name = "raster-grid"
    scan = stored(comm, folder, name)
    ours = short(scan, name, comm)
    write_result(folder / "result.h5", ours, scan)
    before = from_first_rank(comm, lambda: (folder / "result.h5").read_bytes())
    if reason == "no space":
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
        message = r"result\.h5: cannot be written, no space left: .* MB needed, 0.001 MB free"
    else:
        monkeypatch.setattr(h5py.Dataset, "__setitem__", lambda *words: None)
        message = r"result\.h5: cannot be written .*image_1/data: other values than were written"
    with pytest.raises(ValueError, match=message):
        write_result(folder / "result.h5", ours, scan)
    comm.Barrier()
    assert (folder / "result.h5").read_bytes() == before
    assert not [path for path in os.listdir(folder) if path.endswith(".part")]
    comm.Barrier()


def test_no_folder_is_an_error_on_every_rank(comm, folder):
    scan = stored(comm, folder, "snake-ptychography")
    ours = short(scan, "snake-ptychography", comm)
    with pytest.raises(ValueError, match=r"absent/r\.h5: cannot be written, there is no folder"):
        write_result(folder / "absent" / "r.h5", ours, scan)
    began = time.monotonic()
    comm.Barrier()
    assert time.monotonic() - began < 30
