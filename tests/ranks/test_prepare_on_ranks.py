import numpy as np
import pytest
import raw_sets

import ptyxrf


@pytest.fixture
def folder(comm, tmp_path_factory):
    """A folder that all ranks share."""
    return comm.bcast(tmp_path_factory.mktemp("raw") if comm.Get_rank() == 0 else None)


def test_ranks_prepare_one_file(comm, folder):
    """All ranks learn what the first has found, and read the file that it has written."""
    truth = raw_sets.made_truth(per_side=5)
    raw = folder / "raw.npz"
    if comm.Get_rank() == 0:
        raw_sets.npz_without_units(raw, truth)
    comm.Barrier()
    how = {"size": raw_sets.M, "orientation": "given", "probe": "mean-pattern"}
    done = ptyxrf.prepare(raw, folder / "scan.h5", **how, comm=comm)
    assert len(set(comm.allgather(tuple(done.lines)))) == 1
    scan = ptyxrf.read_scan(done.path)
    good = scan.mask
    assert np.array_equal(np.asarray(scan.patterns)[:, good], truth.patterns[:, good])


def test_ranks_agree_on_what_is_missing(comm, folder):
    with pytest.raises(FileNotFoundError, match="absent") as failure:
        ptyxrf.prepare(folder / "absent.h5", folder / "scan.h5", comm=comm)
    assert len(set(comm.allgather(str(failure.value)))) == 1
