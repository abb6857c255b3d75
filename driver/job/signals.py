"""Signals that ask a running reconstruction for a checkpoint, or to end with one.

SIGUSR1: write a checkpoint after the present iteration and go on. SIGTERM: write one and stop. A handler only
takes note, and stays: batch systems send the same signal several times, from several sides, and SIGCONT
beside it.
"""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CHECKPOINT, STOP = signal.SIGUSR1, signal.SIGTERM

#: What has come to this process and was not answered yet.
_asked: set[signal.Signals] = set()


class Stopped(Exception):
    """A reconstruction was asked to stop, and its checkpoint is written."""


def _note(number: int, frame: FrameType | None) -> None:
    _asked.add(signal.Signals(number))


def asked() -> frozenset[signal.Signals]:
    """Return the signals that have come to this process and were not answered yet."""
    return frozenset(_asked)


def answered(signals: frozenset[signal.Signals]) -> None:
    """Take note that what these signals ask for is done."""
    _asked.difference_update(signals)


@contextmanager
def catching() -> Iterator[None]:
    """Take note of `CHECKPOINT` and `STOP` within the body instead of ending the process.

    The handlers that were there come back at the end. After `Stopped` this process is about to end with a
    code of its own, which a `STOP` that comes late must not change: it is ignored from then on. So are both
    while the interpreter ends, which takes MPI a while: the code of a result that is written stays 0. Only
    the main thread can set handlers; in another one nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    for number in (CHECKPOINT, STOP):
        atexit.register(signal.signal, number, signal.SIG_IGN)
    before = {number: signal.signal(number, _note) for number in (CHECKPOINT, STOP)}
    try:
        yield
    except Stopped:
        before[STOP] = signal.SIG_IGN
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _asked.clear()
