"""The watchdog starts and stops with what it watches; what it does is in tests/cluster/test_faults.py."""

import threading
import time

import pytest
from mpi4py import MPI
from scans import joint_scan

from ptyxrf.driver.job import watchdog
from ptyxrf.driver.job.watchdog import watched
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.parallel.startup import agreed, first_on_each_node, from_first_rank

#: What takes seconds is tried once.
two_ranks = pytest.mark.ranks(at_least=2, at_most=2)


def running():
    return [thread for thread in threading.enumerate() if thread.name == "ptyxrf watchdog"]


def test_it_watches_while_it_should(comm):
    several = comm.Get_size() > 1
    with watched(comm, 60.0):
        assert len(running()) == several
        with watched(comm, 5.0):  # somebody watches already
            assert len(running()) == several
        assert len(running()) == several
    assert running() == []
    with watched(comm, 0.0):
        assert running() == []
    with watched(None, 60.0):
        assert running() == []


@two_ranks
@pytest.mark.parametrize("meet", [agreed, from_first_rank, first_on_each_node])
def test_waiting_leaves_the_interpreter_to_others(comm, meet):
    """Also where one rank works and the others wait: a silent watchdog would be missed by another."""
    gaps, done = [], threading.Event()

    def tick():
        last = time.monotonic()
        while not done.wait(0.02):
            gaps.append(time.monotonic() - last)
            last += gaps[-1]

    ticking = threading.Thread(target=tick)
    ticking.start()
    comm.Barrier()
    meet(comm, lambda: time.sleep(3.0) if comm.Get_rank() == 0 else None)
    done.set()
    ticking.join()
    assert max(gaps) < 2.0


def test_an_error_stops_it(comm):
    with pytest.raises(ValueError, match="all alike"), watched(comm, 60.0):
        raise ValueError("all alike")
    assert running() == []
    comm.Barrier()


def test_a_reconstruction_is_watched_where_that_is_asked_for(comm):
    seen = []
    few = {"comm": comm, "max_iterations": 1, "method": "ptychography"}
    reconstruct(joint_scan(), callback=lambda *_: seen.append(len(running())), watchdog_seconds=60, **few)
    assert set(seen) == {int(comm.Get_size() > 1)}
    assert running() == []
    with pytest.raises(ValueError, match=r"watchdog_seconds: expected .* got 0\.5"):
        reconstruct(joint_scan(), watchdog_seconds=0.5, **few)
    if comm.Get_size() > 1:
        with pytest.raises(ValueError, match="watchdog_seconds: expected the same on every rank"):
            reconstruct(joint_scan(), watchdog_seconds=60.0 + comm.Get_rank(), **few)


@pytest.mark.ranks(at_least=2)
def test_ranks_that_were_not_handed_over_are_not_ended(comm):
    own = comm.Split(comm.Get_rank() % 2)
    with pytest.raises(ValueError, match="expected a communicator of all ranks"), watched(own, 60.0):
        pass
    with pytest.raises(ValueError, match="expected a communicator of all ranks"):
        reconstruct(joint_scan(), comm=own, watchdog_seconds=60.0)
    assert running() == []


@two_ranks
def test_a_rank_that_has_left_is_not_missed(comm):
    """A rank that leaves with an error says farewell to the one after it."""
    last = comm.Get_rank() == comm.Get_size() - 1
    try:
        with watched(comm, watchdog.SHORTEST_SECONDS):
            if last:
                raise KeyError
            time.sleep(watchdog.SHORTEST_SECONDS + 1.5)
            raise KeyError
    except KeyError:
        pass
    comm.Barrier()


@pytest.fixture
def released():
    """Until this is set, a watchdog that has ended its rank stays where it is."""
    return threading.Event()


@pytest.fixture
def endings(monkeypatch, released):
    """Let the watchdog only note in a list what it would do to end its rank."""
    done = []

    def end(code):
        done.append(code)
        released.wait()

    monkeypatch.setattr(watchdog, "say", done.append)

    def ended(*, kill_launcher):
        assert not kill_launcher
        done.append(threading.current_thread().name)

    monkeypatch.setattr(watchdog, "end_without_mpi", ended)
    monkeypatch.setattr(watchdog, "abort_all", lambda comm, code: None)
    monkeypatch.setattr(watchdog.os, "_exit", end)
    return done


@two_ranks
def test_a_job_that_was_suspended_has_lost_nothing(comm, monkeypatch, endings):
    """Hours may pass while all ranks are stopped: only the time that the watchdog is awake counts."""
    began, seconds = time.monotonic(), time.monotonic

    def clock():
        now = seconds()
        return now if now < began + 1.2 else now + 7200.0

    monkeypatch.setattr(watchdog.time, "monotonic", clock)
    with watched(comm, 60.0):
        time.sleep(2.5)
    assert endings == []


class Unreachable:
    """A communicator whose neighbours have closed their connections, as a host does that goes down."""

    def __init__(self, comm):
        self._comm = comm

    def __getattr__(self, name):
        return getattr(self._comm, name)

    def Dup(self):
        return Unreachable(self._comm.Dup())

    def Iprobe(self, *words, **named):
        raise MPI.Exception(MPI.ERR_OTHER)


@pytest.mark.ranks(at_least=2)
def test_an_error_of_mpi_ends_this_rank_and_warns_all_others(comm, monkeypatch, endings, released):
    """MPI_Abort may not reach the others: each of them ends by itself."""
    monkeypatch.setattr(watchdog, "OTHERS_FIRST", 0.1)
    rank, size = comm.Get_rank(), comm.Get_size()
    last = rank == size - 1
    with watched(Unreachable(comm) if last else comm, 60.0):
        time.sleep(4 * watchdog.INTERVAL + 2 * watchdog.HEARD)
        released.set()
    if last:
        [thread, said, code] = endings
        assert f" or {rank - 1} cannot be reached any more (" in said and code == watchdog.ENDED
    else:
        [thread] = endings
    assert thread == "ptyxrf watchdog"
