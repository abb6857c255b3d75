"""How a process and its job end: the last line, all ranks at once, limits on time, interrupts."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds for the last line to reach the launcher: some forward nothing once a rank has aborted.
FORWARDING = 0.25

#: Seconds after which an interrupt that Python dropped is raised again.
AGAIN = 0.05

#: When this process is to end, by the monotonic clock. Its one timer is set to the earliest of these times,
#: by the main thread and that of the watchdog.
_limits: list[float] = []
_timer = threading.Lock()


def say(message: str) -> None:
    """Write a line on standard error, in one piece: other ranks may write too."""
    sys.stderr.write(message.rstrip("\n") + "\n")
    sys.stderr.flush()


def abort_all(comm: Any, status: int, message: str = "") -> None:
    """Say why, and end all ranks, with an exit status if the launcher passes it on."""
    if message:
        say(message)
        time.sleep(FORWARDING)
    comm.Abort(status)


def end_within(seconds: float) -> None:
    """Let SIGALRM end this process after a while, whatever holds the interpreter then."""
    with _timer:
        _limits.append(time.monotonic() + seconds)
        _set_timer()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let SIGALRM end this process if the body takes longer, whatever holds the interpreter then."""
    end = time.monotonic() + seconds
    with _timer:
        _limits.append(end)
        _set_timer()
    try:
        yield
    finally:
        with _timer:
            _limits.remove(end)
            _set_timer()


def _set_timer() -> None:
    left = max(min(_limits) - time.monotonic(), 1e-3) if _limits else 0.0
    signal.setitimer(signal.ITIMER_REAL, left)


@contextmanager
def no_interrupt_is_lost() -> Iterator[None]:
    """Raise KeyboardInterrupt again where it came within code whose exceptions Python drops.

    Such code is that of destructors, of weak references and of calls from C. Python would show a traceback
    and go on.
    """
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is KeyboardInterrupt:
            main = threading.main_thread().ident  # whose system calls the signal interrupts
            threading.Timer(AGAIN, signal.pthread_kill, [main, signal.SIGINT]).start()
        else:
            before(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
