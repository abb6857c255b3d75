"""What this rank waits for at present, recorded so that the watchdog can detect an endless wait.

A rank that waits is inside an MPI call and can say nothing itself; a watchdog beside it reads these notes
(`ptyxrf.driver.job.watchdog`).
"""

from __future__ import annotations

import time


class Waits:
    """The notes of this process; its one thread that communicates writes them, others may read.

    Attributes
    ----------
    current : Wait or None
        What is waited for now.
    count : int
        Waits so far, this one included: tells one wait from the next.
    longest : float
        Longest work, in seconds, that this rank has done between two sums over the ranks: all ranks do much
        the same between them, so it says how long one may have to wait for another.
    """

    def __init__(self) -> None:
        self.current: Wait | None = None
        self.count = 0
        self.longest = 0.0
        self._worked = 0.0
        self._resumed = time.monotonic()

    def begin(self, wait: Wait) -> None:
        """Record that a wait begins."""
        self._worked += time.monotonic() - self._resumed
        if wait.in_step:
            self.longest = max(self.longest, self._worked)
        self.count += 1
        self.current = wait

    def end(self, wait: Wait) -> None:
        """Record that it is over."""
        self.current = None
        self._resumed = time.monotonic()
        if not wait.within_work:
            self._worked = 0.0


#: The notes of this process.
WAITS = Waits()


class Wait:
    """A kind of wait, and the context of the MPI calls that wait so.

    Parameters
    ----------
    what : str
        What is waited for: goes on after "waits for".
    in_step : bool
        All ranks come here after much the same work. Otherwise one may be reading, compiling or planning
        for all, for as long as that takes.
    within_work : bool
        The work goes on afterwards, towards the next sum over the ranks.
    """

    __slots__ = ("in_step", "what", "within_work")

    def __init__(self, what: str, *, in_step: bool = False, within_work: bool = False) -> None:
        self.what, self.in_step, self.within_work = what, in_step, within_work

    def __enter__(self) -> None:
        WAITS.begin(self)

    def __exit__(self, *_: object) -> None:
        WAITS.end(self)
