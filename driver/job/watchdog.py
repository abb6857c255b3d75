"""A watchdog on each rank, which ends the job when another rank is lost or hangs.

A rank that is stopped, or behind a cut link, blocks all others in their next sum or halo: MPI calls have no
time limit. A second thread of each rank detects two states:

- *No heartbeat.* The ranks form a ring. Twice a second each sends a heartbeat to the next one, also while it
  computes, compiles, plans or writes, because these release the interpreter. A missing heartbeat names the
  rank that is lost.
- *No progress.* All ranks send heartbeats, but this one has waited in a sum or a halo for much longer than
  any rank has worked between two of them. The others do the same work there, so one of them hangs.

The rank that detects it prints a message, warns the others and aborts the job. If a host or a link that is
down prevents MPI from aborting, each warned rank ends itself, and so does a launcher that waits for a lost
host. Heartbeats and warnings need MPI_THREAD_MULTIPLE; without it the second test remains and covers all
waits.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ptyxrf.driver.job.abort import abort_all, end_within, say
from ptyxrf.driver.job.kill_launcher import kill_launcher_after
from ptyxrf.driver.job.world import world
from ptyxrf.parallel.waiting import WAITS, Wait

#: Default of the command: seconds without a heartbeat after which a job ends.
DEFAULT_SECONDS = 600.0

#: Shortest limit; a busy machine may delay heartbeats by less.
SHORTEST_SECONDS = 2.0

#: Exit code of a job that a watchdog ends (EX_SOFTWARE).
ENDED = 70

#: Seconds between two heartbeats.
INTERVAL = 0.5

#: Longest wait in step, as a multiple of the longest work between two sums, if that is above the limit.
PATIENCE = 20.0

#: Multiple of the limit without heartbeats, when a rank that works for all looks like one that is lost.
PATIENCE_WITHOUT_BEATS = 10.0

#: Seconds by which the test of progress follows that of heartbeats, which names the lost rank.
YIELD = 2.0

#: Seconds for the launcher, or the main thread, to report why a message failed.
OTHERS_FIRST = 3.0

#: Seconds for a warning to arrive before MPI ends its receiver.
HEARD = 2 * INTERVAL

#: Seconds for MPI to end the job before each process ends itself.
LAST_RESORT = 5.0

#: Seconds after which a launcher that still runs is killed.
LAUNCHER_GRACE = 8.0

#: Tags of messages; the content of the last heartbeat is FAREWELL.
BEAT, WARNING = 0, 1
FAREWELL = 1

ALL_RANKS = Wait("the other ranks at the end")


class Watchdog:
    """The second thread of a rank. All ranks make theirs at the same time.

    Parameters
    ----------
    comm : communicator
        Of several ranks.
    limit : float
        Seconds without a heartbeat, or in one wait, after which the job ends; 0: never.
    kill_launcher : bool
        End the launcher above this process too, where it stays after the job.
    """

    def __init__(self, comm: Any, limit: float, *, kill_launcher: bool = False) -> None:
        from mpi4py import MPI

        self.limit, self._kill_launcher = limit, kill_launcher
        self._comm = comm.Dup()
        self._rank, size = self._comm.Get_rank(), self._comm.Get_size()
        self._next, self._previous = (self._rank + 1) % size, (self._rank - 1) % size
        self._host = self._comm.sendrecv(platform.node(), dest=self._next, source=self._previous)
        self._beating = MPI.Query_thread() >= MPI.THREAD_MULTIPLE
        self._error: type[Exception] = MPI.Exception
        self._beat = bytearray(1)
        self._sent: Any = None
        self._gone = False  # the previous rank has sent its last heartbeat
        # the time that this thread was awake: a job that was suspended as a whole has lost no rank
        self._awake = 0.0
        self._heard = 0.0
        self._wait, self._wait_began = 0, 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ptyxrf watchdog", daemon=True)
        self._thread.start()

    def stop(self, *, together: bool) -> None:
        """End the thread.

        Parameters
        ----------
        together : bool
            All ranks stop at the same time, after a barrier; otherwise the next rank is told to expect no
            more heartbeats.
        """
        self._stopping.set()
        self._thread.join()
        if not self._beating:
            return
        farewell = self._comm.Isend(bytearray([FAREWELL]), self._next, BEAT)
        if together:
            while not self._gone:
                self._listen(wait=True)
            farewell.Wait()
            if self._sent is not None:
                self._sent.Wait()
            self._comm.Free()

    # ---------------------------------------------------------------- the thread

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._stopping.wait(INTERVAL):
            now = time.monotonic()
            self._awake += min(now - before, 2 * INTERVAL)
            before = now
            try:
                if self._warned():
                    end_without_mpi(kill_launcher=self._kill_launcher)
                    if not self._stopping.wait(LAST_RESORT + 1):
                        os._exit(ENDED)  # the caller handles or blocks SIGALRM
                    return
                trouble = self._lost() or self._stuck()
            except self._error as error:  # a host that goes down may close its connections
                if self._stopping.wait(OTHERS_FIRST):
                    return
                reason = str(error).splitlines()[0]
                trouble = f"rank {self._next} or {self._previous} cannot be reached any more ({reason})"
            if trouble:
                self._end(trouble)

    def _listen(self, *, wait: bool = False) -> None:
        """Receive the heartbeats of the previous rank."""
        received = bytearray(1)
        while not self._gone and (wait or self._comm.Iprobe(self._previous, BEAT)):
            self._comm.Recv(received, self._previous, BEAT)
            self._heard = self._awake
            self._gone = received[0] == FAREWELL

    def _lost(self) -> str:
        """Send a heartbeat, receive those of the previous rank, and return what is wrong with it."""
        if not self._beating:
            return ""
        # one at a time: a stopped rank receives nothing
        if self._sent is None or self._sent.Test():
            self._sent = self._comm.Isend(self._beat, self._next, BEAT)
        self._listen()
        silence = self._awake - self._heard
        if self._gone or not self.limit or silence <= self.limit:
            return ""
        wait = WAITS.current
        doing = "works" if wait is None else f"waits for {wait.what}"
        return (
            f"rank {self._previous} on {self._host} has sent no heartbeat for {silence:.0f} s: it is "
            f"stopped, or its host or network is down (rank {self._rank} {doing})"
        )

    def _stuck(self) -> str:
        """Return what is wrong with the wait of this rank."""
        wait, count = WAITS.current, WAITS.count
        if wait is None or count != self._wait:
            self._wait, self._wait_began = count, self._awake
            return ""
        if not self.limit or (self._beating and not wait.in_step):
            return ""
        limit = (
            max(self.limit, PATIENCE * WAITS.longest) if wait.in_step else PATIENCE_WITHOUT_BEATS * self.limit
        )
        waited = self._awake - self._wait_began
        # ranks wait together: stagger them, so that one reports and ends the others
        if waited <= limit + YIELD + 0.5 * min(self._rank, 20):
            return ""
        me = f"rank {self._rank} on {platform.node()}"
        return f"{me} has waited {waited:.0f} s for {wait.what}: another rank hangs"

    def _warned(self) -> bool:
        """Return whether another rank is ending the job."""
        from mpi4py import MPI

        status = MPI.Status()
        if not self._beating or not self._comm.Iprobe(tag=WARNING, status=status):
            return False
        # by its source: with a host down, MPICH 5.0 does not return from a receive from any source
        self._comm.Recv(bytearray(1), status.source, WARNING)
        return True

    def _warn(self) -> None:
        """Tell the others that the job ends; those that it does not reach detect the loss themselves."""
        warnings = []
        end = time.monotonic() + HEARD
        for rank in range(self._comm.Get_size()):
            if rank != self._rank:
                with suppress(self._error):
                    warnings.append(self._comm.Isend(self._beat, rank, WARNING))
        while time.monotonic() < end:
            for warning in warnings:  # MPI may make progress only when it is called
                with suppress(self._error):
                    warning.Test()
            time.sleep(0.05)

    def _end(self, trouble: str) -> None:
        """Print what is wrong and end all ranks."""
        end_without_mpi(kill_launcher=self._kill_launcher)
        line = f"ptyxrf: error: {trouble}; the job ends (watchdog_seconds = {self.limit:g})"
        say(line)
        if self._beating:
            self._warn()
            abort_all(self._comm, ENDED)
        os._exit(ENDED)  # the launcher ends the others


def end_without_mpi(*, kill_launcher: bool) -> None:
    """Let this process end within `LAST_RESORT` seconds, if MPI has not ended it by then.

    MPI may wait for a host that it cannot reach, and hold the interpreter meanwhile.

    Parameters
    ----------
    kill_launcher : bool
        Kill the launcher too. Only the command asks for it, whose launcher runs nothing else.
    """
    end_within(LAST_RESORT)
    if kill_launcher:
        kill_launcher_after(LAUNCHER_GRACE)


_running: Watchdog | None = None


def start(comm: Any, limit: float, *, kill_launcher: bool = False) -> None:
    """Start the watchdog of this rank, or give the running one another limit.

    Parameters
    ----------
    comm : communicator or None
        None, or one rank: nothing is watched.
    limit : float
        Seconds; 0: never end the job.
    kill_launcher : bool
        See `Watchdog`.
    """
    global _running
    if _running is not None:
        _running.limit = limit
    elif comm is not None and comm.Get_size() > 1:
        _running = Watchdog(comm, limit, kill_launcher=kill_launcher)


def stop(*, together: bool) -> None:
    """Stop the watchdog of this rank, if there is one; see `Watchdog.stop`."""
    global _running
    if _running is not None:
        _running.stop(together=together)
        _running = None


def require_whole_job(comm: Any) -> None:
    """Refuse a communicator of some ranks of a job: MPI and launchers end all of them, where they end one.

    Raises
    ------
    ValueError
    """
    if comm is not None and comm.Get_size() < (size := world().Get_size()):
        raise ValueError(
            "watchdog: expected a communicator of all ranks, because none can be ended without the others, "
            f"got {comm.Get_size()} of {size} ranks"
        )


@contextmanager
def watched(comm: Any, limit: float) -> Iterator[None]:
    """Run a watchdog on all ranks during the body; a watchdog that already runs stays in charge.

    If a rank is lost or hangs, every process of `comm` ends with one message and exit code 70. No other
    process is ended: a launcher may then wait for a host that is down.

    Parameters
    ----------
    comm : communicator or None
        Of all ranks of the job.
    limit : float
        Seconds; 0: no watchdog.

    Raises
    ------
    ValueError
        `comm` leaves out ranks of the job.
    """
    if _running is not None or not limit:
        yield
        return
    require_whole_job(comm)
    start(comm, limit)
    try:
        yield
        if _running is not None:
            with ALL_RANKS:
                comm.Barrier()
    except BaseException:
        stop(together=False)
        raise
    stop(together=True)
