"""A watchdog on each rank: it ends the whole job when another rank is gone without anybody saying so.

A rank that is stopped, or behind a cut link, takes all others with it: they wait for it in their next sum
or halo, without end, for no MPI call has a time limit. A second thread of each rank notices two things:

- *No sign of life.* The ranks form a ring, and twice a second each tells the next one that it is there. This
  goes on while a rank computes, compiles, plans or writes (all of which leave the interpreter to other
  threads), however long that takes, and names the rank that is lost.
- *No progress.* All ranks live, but this one has waited in a sum or a halo for far longer than any rank has
  worked between two of them: there the others do the same work, so one of them hangs.

Whoever notices says so, warns the others and ends all ranks. A host or a link that is down may keep MPI from
doing so: every rank that was warned then ends by itself, and so does a launcher that waits for a lost host.
Beats and warnings need an MPI that lets several threads call it at once (MPI_THREAD_MULTIPLE); without it the
second test remains, and covers all waits.
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
from ptyxrf.parallel.waiting import WAITS, Wait

#: Seconds without a sign of life after which the command ends a job, where nobody says otherwise.
DEFAULT_SECONDS = 600.0

#: The shortest limit that can be told from a busy machine.
SHORTEST_SECONDS = 2.0

#: Exit code of a job that is ended so (EX_SOFTWARE).
ENDED = 70

#: Seconds between two beats.
INTERVAL = 0.5

#: A wait in step may last so many times the longest work between two sums, if that is more than the limit.
PATIENCE = 20.0

#: Without beats a rank that works for all cannot be told from one that is lost: it gets so many limits.
PATIENCE_WITHOUT_BEATS = 10.0

#: Seconds by which a wait without end comes after a silence: who is lost says more than who waits.
YIELD = 2.0

#: Seconds that the launcher, or what computes on this rank, has to say why a message failed.
OTHERS_FIRST = 3.0

#: Seconds that a warning has on its way, before MPI ends its reader.
HEARD = 2 * INTERVAL

#: Seconds that MPI has to end the job; then each process ends itself.
LAST_RESORT = 5.0

#: Seconds after which a launcher that is still there is ended, too.
LAUNCHER_GRACE = 8.0

#: Kinds of message; the content of a beat tells the last one, a farewell.
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
        Seconds without a sign of life, or in one wait, after which the job ends; 0: never.
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
        self._gone = False  # the one before has said farewell
        # the time that this thread itself was awake: a job that was suspended as a whole has lost nothing
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
            All ranks do so at the same time, after a meeting; otherwise the next one is told not to listen
            any more.
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
        """Take what the one before has sent."""
        received = bytearray(1)
        while not self._gone and (wait or self._comm.Iprobe(self._previous, BEAT)):
            self._comm.Recv(received, self._previous, BEAT)
            self._heard = self._awake
            self._gone = received[0] == FAREWELL

    def _lost(self) -> str:
        """Send a beat, listen for the other's, and return what is wrong with it."""
        if not self._beating:
            return ""
        # one at a time: who is stopped takes nothing
        if self._sent is None or self._sent.Test():
            self._sent = self._comm.Isend(self._beat, self._next, BEAT)
        self._listen()
        silence = self._awake - self._heard
        if self._gone or not self.limit or silence <= self.limit:
            return ""
        wait = WAITS.current
        doing = "works" if wait is None else f"waits for {wait.what}"
        return (
            f"rank {self._previous} on {self._host} has given no sign of life for {silence:.0f} s: it is "
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
        # ranks wait together: one of them speaks first and ends the others
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
        # by its source: with a host down, MPICH 5.0 does not come back from taking it from any
        self._comm.Recv(bytearray(1), status.source, WARNING)
        return True

    def _warn(self) -> None:
        """Tell each of the others that the job ends; whom that does not reach notices by itself."""
        warnings = []
        end = time.monotonic() + HEARD
        for rank in range(self._comm.Get_size()):
            if rank != self._rank:
                with suppress(self._error):
                    warnings.append(self._comm.Isend(self._beat, rank, WARNING))
        while time.monotonic() < end:
            for warning in warnings:  # MPI may make headway only when it is called
                with suppress(self._error):
                    warning.Test()
            time.sleep(0.05)

    def _end(self, trouble: str) -> None:
        """Say what is wrong and end all ranks."""
        end_without_mpi(kill_launcher=self._kill_launcher)
        line = f"ptyxrf: error: {trouble}; the job ends (watchdog_seconds = {self.limit:g})"
        say(line)
        if self._beating:
            self._warn()
            abort_all(self._comm, ENDED)
        os._exit(ENDED)  # the launcher ends the others


def end_without_mpi(*, kill_launcher: bool) -> None:
    """Let this process end soon if MPI has not ended it until then.

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
        None, or one rank: there is nobody to watch.
    limit : float
        Seconds; 0: watch for nothing.
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


@contextmanager
def watched(comm: Any, limit: float) -> Iterator[None]:
    """Watch over the ranks while they do something together; under a running watchdog, leave it to that.

    Where a rank is lost or hangs, every process of `comm` ends with one message and exit code 70. No process
    that is not in `comm` is ended: the launcher is left alone, which may then wait for a host that is down.

    Parameters
    ----------
    comm : communicator or None
    limit : float
        Seconds; 0: no watchdog.
    """
    if _running is not None or not limit:
        yield
        return
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
