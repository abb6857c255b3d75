"""A rank, a file or a disk fails: the whole job ends within seconds, with one message, and leaves nothing."""

import pytest
from drills.faults import CHECKPOINTS, FAULTS, FILES, drill, make_scan
from mpi_launch import MPIEXEC

from ptyxrf.driver.files.tiled_file import parallel_hdf5

pytestmark = pytest.mark.skipif(not MPIEXEC, reason="no mpiexec beside this Python nor on the PATH")

#: Text of the one message; None: only the launcher prints one.
SAID = {
    "exception": "ptyxrf: rank 1: error: TypeError: a slip (victim.py, line ",
    "segfault": None,
    "memory": "ptyxrf: rank 1: error: MemoryError",
    "stuck": "ptyxrf: error: rank 0 on ",
    "kill -9": None,
    "stopped": "ptyxrf: error: rank 1 on ",
    "Ctrl-C": "ptyxrf: interrupted",
    "Ctrl-C in a rank": "ptyxrf: interrupted",
    "full disk": "result.h5: cannot be written (",
    "full disk at once": "result.h5: cannot be written (",
    "full disk of one rank": "result.h5: cannot be written (",
    "full disk, checkpoint": "result.checkpoint.h5: cannot be written (",
    "full disk of one rank, checkpoint": "result.checkpoint.h5: cannot be written (",
    # the watchdog does not run within HDF5
    "stopped, writing": None if parallel_hdf5() else "ptyxrf: error: rank 1 on ",
    "scan shrinks": "scan.h5: not an HDF5 file, or a truncated or unreadable one",
    "scan disappears": "scan.h5: no such file",
}

#: The exit code, if the command sets it; for a killed job launchers return that of any rank.
CODES = {"exception": 1, "memory": 2, "Ctrl-C": 130, "Ctrl-C in a rank": 130, "full disk": 2,
         "full disk at once": 2, "full disk of one rank": 2, "full disk, checkpoint": 2,
         "full disk of one rank, checkpoint": 2, "scan shrinks": 2, "scan disappears": 2}  # fmt: skip

QUICK = ("exception", "kill -9", "stopped", "full disk of one rank, checkpoint")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "scan.h5"
    make_scan(path)
    return path


def test_every_fault_is_tried():
    assert set(SAID) == set(FAULTS)


@pytest.mark.parametrize(
    "fault", [fault if fault in QUICK else pytest.param(fault, marks=pytest.mark.slow) for fault in FAULTS]
)
def test_a_fault_ends_the_job(fault, scan):
    # if ranks write in turn, each may be the one that fails; with MPI-IO on one host the first writes for all
    victim = 1 if "of one rank" in fault and not parallel_hdf5() else None
    outcome = drill(fault, scan, ranks=2, victim=victim, watchdog=5.0)
    assert 0 <= outcome.seconds < 60, outcome.said
    assert outcome.code != 0 and outcome.code == CODES.get(fault, outcome.code), outcome.said
    if SAID[fault] is None:
        assert outcome.ours == [], outcome.said
    else:
        assert len(outcome.ours) == 1 and SAID[fault] in outcome.ours[0], outcome.said
    assert "Traceback" not in outcome.said
    assert (outcome.left, outcome.earlier_is_whole) == ([], True)
    if fault in FILES and "stopped" not in fault:  # a rank that is killed while it writes may leave a file
        assert outcome.parts == []
    if fault not in FILES or fault in CHECKPOINTS:
        assert outcome.checkpoint >= 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stopped", "stuck"])
def test_an_mpi_for_one_thread_at_a_time_is_enough(fault, scan, monkeypatch):
    """Without heartbeats the wait itself is limited."""
    monkeypatch.setenv("MPI4PY_RC_THREAD_LEVEL", "serialized")
    outcome = drill(fault, scan, ranks=2, watchdog=3.0)
    assert 0 <= outcome.seconds < 60 and outcome.code != 0, outcome.said
    assert len(outcome.ours) == 1 and "rank 0 on" in outcome.ours[0] and "waited" in outcome.ours[0]
    assert outcome.left == []
