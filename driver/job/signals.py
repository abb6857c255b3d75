"""Signals that ask a running reconstruction for a checkpoint, or to stop with one.

SIGUSR1: write a checkpoint after the present iteration and continue. SIGTERM: write one and stop. The
handlers only record the signal and stay installed, because batch systems send the same signal several times,
and SIGCONT with it.
"""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CHECKPOINT, STOP = signal.SIGUSR1, signal.SIGTERM

#: Signals that were received and are not answered yet.
_asked: set[signal.Signals] = set()


class Stopped(Exception):
    """A reconstruction was asked to stop; a checkpoint is written where there is anything to keep."""


def _note(number: int, frame: FrameType | None) -> None:
    _asked.add(signal.Signals(number))


def asked() -> frozenset[signal.Signals]:
    """Return the signals that were received and are not answered yet."""
    return frozenset(_asked)


def answered(signals: frozenset[signal.Signals]) -> None:
    """Record that these signals are answered."""
    _asked.difference_update(signals)


def stop_if_asked() -> None:
    """Raise `Stopped` where a signal asks this rank to; the others have to hear of it."""
    if STOP in _asked:
        raise Stopped


@contextmanager
def catching() -> Iterator[None]:
    """Record `CHECKPOINT` and `STOP` during the body instead of ending the process.

    The earlier handlers are restored at the end. After `Stopped` the process is about to end with its own
    exit code, which a late `STOP` must not change: it is ignored from then on. Both are ignored while the
    interpreter shuts down, which takes MPI some time, so that the exit code of a written result stays 0. Only
    the main thread can set handlers; in another thread nothing is done.
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
