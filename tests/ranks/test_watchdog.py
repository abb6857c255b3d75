"""The watchdog starts and stops with what it watches; what it does is in tests/cluster/test_faults.py."""

import threading
import time

import pytest
from mpi4py import MPI

from ptyxrf.driver.job import watchdog
from ptyxrf.driver.job.watchdog import Watchdog, watched
from ptyxrf.parallel.startup import agreed, first_on_each_node, from_first_rank

#: What takes seconds is tried once, on so many ranks.
ENOUGH = 2


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


@pytest.mark.parametrize("meet", [agreed, from_first_rank, first_on_each_node])
def test_waiting_leaves_the_interpreter_to_others(comm, meet):
    """Also where one rank works and the others wait: a silent watchdog would be missed by another."""
    if comm.Get_size() != ENOUGH:
        return
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


def test_who_has_left_is_not_missed(comm):
    """A rank that leaves with an error says farewell to the one after it."""
    if comm.Get_size() != ENOUGH:
        return
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


def test_a_job_that_was_suspended_has_lost_nothing(comm, monkeypatch):
    """Hours may pass while all ranks are stopped: only the time that the watchdog is awake counts."""
    if comm.Get_size() != ENOUGH:
        return
    began, seconds = time.monotonic(), time.monotonic

    def clock():
        now = seconds()
        return now if now < began + 1.2 else now + 7200.0

    monkeypatch.setattr(watchdog.time, "monotonic", clock)
    troubles = []
    monkeypatch.setattr(Watchdog, "_end", lambda self, trouble: troubles.append(trouble))
    with watched(comm, 60.0):
        time.sleep(2.5)
    assert troubles == []


def test_a_warning_reaches_all_others(comm, monkeypatch):
    """Those that MPI_Abort may not reach: each of them ends by itself."""
    if comm.Get_size() == 1:
        return
    ends = []
    monkeypatch.setattr(watchdog, "end_without_mpi", lambda: ends.append(threading.current_thread().name))
    with watched(comm, 60.0):
        warns = comm.Get_rank() == comm.Get_size() - 1
        if warns:
            watchdog._running._warn()
        time.sleep(2 * watchdog.HEARD)
        assert ends == ([] if warns else ["ptyxrf watchdog"])


def test_an_error_of_mpi_is_trouble(comm, monkeypatch):
    """A host that closes its connections makes messages to it fail."""
    if comm.Get_size() == 1:
        return

    def fail(self):
        raise MPI.Exception(MPI.ERR_OTHER)

    troubles = []
    monkeypatch.setattr(Watchdog, "_lost", fail)
    monkeypatch.setattr(watchdog, "OTHERS_FIRST", 0.1)
    monkeypatch.setattr(Watchdog, "_end", lambda self, trouble: troubles.append(trouble))
    with watched(comm, 60.0):
        time.sleep(4 * watchdog.INTERVAL)
    previous = (comm.Get_rank() - 1) % comm.Get_size()
    assert troubles and all(f" or {previous} cannot be reached any more (" in said for said in troubles)
