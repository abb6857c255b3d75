"""One verdict for all ranks."""

import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from cases import make_scan
from mpi4py import MPI

from ptyxrf.driver.files import wisdom_file
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.compilation import compile_kernels
from ptyxrf.kernels.fftw.transforms import PatternFourier
from ptyxrf.parallel.gather import gather_positions, gather_tiles
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.shared_plans import share_plans
from ptyxrf.parallel.startup import agreed, first_on_each_node, from_first_rank, on_each_node
from ptyxrf.parallel.tile import Tile, whole_plane


def test_agreed(comm):
    assert agreed(comm, comm.Get_rank) == comm.Get_rank()
    last = comm.Get_size() - 1

    def fail_on_the_last():
        if comm.Get_rank() == last:
            raise ValueError(f"scan: wrong on rank {last}")

    with pytest.raises(ValueError, match=rf"^scan: wrong on rank {last}$"):
        agreed(comm, fail_on_the_last)

    def fail_everywhere():
        raise ValueError(f"scan: wrong on rank {comm.Get_rank()}")

    with pytest.raises(ValueError, match="wrong on rank 0"):
        agreed(comm, fail_everywhere)

    def fail_with_what_cannot_be_pickled():
        error = OSError(5, "no luck", "scan.h5")
        error.lock = threading.Lock()
        raise error if comm.Get_rank() == 0 else KeyError(threading.Lock())

    with pytest.raises((OSError, RuntimeError), match="no luck"):
        agreed(comm, fail_with_what_cannot_be_pickled)


def test_from_first_rank(comm):
    assert from_first_rank(comm, comm.Get_rank) == 0

    def fail():
        raise ValueError(f"seen by rank {comm.Get_rank()}")

    with pytest.raises(ValueError, match="seen by rank 0"):
        from_first_rank(comm, fail)


def test_the_first_of_a_node_goes_ahead(comm, tmp_path_factory):
    """The first rank of a node is done when the others begin."""
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    first = node.Get_rank() == 0
    mark = node.bcast(tmp_path_factory.mktemp("node") / "done" if first else None)
    seen = []

    def work():
        seen.append(first or mark.read_text() == "done")
        if first:
            mark.write_text("done")

    first_on_each_node(comm, work)
    node.Free()
    assert seen == [True]
    compile_kernels(make_scan("raster-grid", m=16), Model(precision="single"), comm)


def test_ranks_of_a_node_are_counted(comm):
    rank, size = on_each_node(comm, lambda *numbers: numbers)
    assert 0 <= rank < size <= comm.Get_size()

    def fail_on_the_last(rank, size):
        if rank == size - 1:
            raise ValueError("scan: wrong")

    with pytest.raises(ValueError, match="wrong"):
        on_each_node(comm, fail_on_the_last)


def test_plans_are_shared(comm):
    """One rank searches for each kind, all get the same, and transforms still transform."""
    fourier = PatternFourier(2, 12, np.dtype(np.complex64))
    asked = []

    def plan(search):
        asked.append(search)
        # so many positions that a search pays
        fourier.plan(10**6 if search else None)

    news = share_plans(comm, "patterns", plan)
    assert asked == [comm.Get_rank() == 0]
    assert news == (comm.Get_rank() == 0)
    assert not share_plans(comm, "patterns", plan)  # known by now
    fields = fourier.buffer()
    rng = np.random.default_rng(0)
    fields[...] = rng.standard_normal(fields.shape)
    expected = np.fft.fft2(fields)
    fourier.forward(fields, fields)
    np.testing.assert_allclose(fields, expected, rtol=1e-4, atol=1e-4)
    # to the last bit: all run the same algorithm
    assert len(set(comm.allgather(fields.tobytes()))) == 1


def test_each_kind_is_planned_once(comm):
    """By the first rank that has it; a rank that needs none takes part."""
    rank = comm.Get_rank()
    asked = []
    share_plans(comm, None if rank == 0 else rank % 2, asked.append)
    assert asked == ([] if rank == 0 else [rank in (1, 2)])


def test_the_first_rank_reads_and_writes_wisdom(comm, monkeypatch):
    """The others neither read nor write; a start with a copy of the file finds what is in it."""
    rank = comm.Get_rank()
    folder = comm.bcast(tempfile.mkdtemp() if rank == 0 else None)
    monkeypatch.setenv("PTYXRF_WISDOM", f"{folder}/first" if rank == 0 else f"{folder}/other-{rank}")
    reads = []
    read = wisdom_file.read_wisdom
    monkeypatch.setattr(wisdom_file, "read_wisdom", lambda path: reads.append(path) or read(path))
    fourier = PatternFourier(1, 14, np.dtype(np.complex64))
    wisdom_file.prepare_plans(comm, "patterns", lambda search: fourier.plan(10**6 if search else None))
    comm.Barrier()
    try:
        assert [path.suffix for path in Path(folder).rglob("*.*")] == [".json"]
        assert bool(reads) == (rank == 0)
        comm.Barrier()
        if rank == 0:
            shutil.copytree(f"{folder}/first", f"{folder}/copy")
            monkeypatch.setenv("PTYXRF_WISDOM", f"{folder}/copy")
        monkeypatch.setattr(wisdom_file, "save_wisdom", pytest.fail)
        wisdom_file.prepare_plans(comm, "patterns", lambda search: fourier.plan(10**6 if search else None))
    finally:
        comm.Barrier()
        if rank == 0:
            shutil.rmtree(folder)


def test_a_failing_planner_fails_on_all(comm):
    def fail(search):
        raise ValueError("no plan")

    with pytest.raises(ValueError, match="no plan"):
        share_plans(comm, "patterns", fail)


def test_reductions(comm):
    ranks = Ranks(comm)
    rank, size = comm.Get_rank(), comm.Get_size()
    np.testing.assert_array_equal(ranks.sum(np.array([1.0, rank])), [size, size * (size - 1) / 2])
    np.testing.assert_array_equal(ranks.largest(rank, -rank), [size - 1, 0])
    assert ranks.any(rank == size - 1)
    assert not ranks.any(False)


def test_gathering(comm):
    rank, size = comm.Get_rank(), comm.Get_size()
    count = 2 * size + 3
    mine = np.arange(rank, count, size)[::-1]
    tile = whole_plane((1, 1), 1)
    tile = Tile(tile.grid, tile.owned, tile.covered, mine)
    both = np.stack([mine, -mine]).astype(np.float32)
    whole = gather_positions(comm, tile, both)
    np.testing.assert_array_equal(whole, [np.arange(count), -np.arange(count)])
    if size == 1:
        field = np.ones((1, 1, 1))
        assert gather_tiles(comm, tile, field) is not field
