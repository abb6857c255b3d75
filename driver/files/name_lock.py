"""One run at a time for one output: a lock of the operating system, which ends with its process."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from ptyxrf.driver.files.file_errors import NO_LOCKS, UnwritableFile
from ptyxrf.driver.files.whole_file import check_writable, hidden_beside
from ptyxrf.parallel.startup import from_first_rank

#: Seconds that a run waits for another one to end: ranks outlive a launcher that was killed, and a file
#: server keeps the locks of a node that crashed for its lease (90 s by default with NFS 4).
PATIENCE_HERE, PATIENCE_ELSEWHERE = 10.0, 120.0


@contextmanager
def locked(
    path: str | os.PathLike[str], comm: Any = None, *, patience: float | None = None
) -> Iterator[None]:
    """Let no other process write a file while the body runs; the first rank holds the lock for all.

    The lock is taken on a hidden file beside the output, so that it holds while the output is replaced. It is
    the operating system's (``flock``), on NFS the server's: it cannot outlive its process, nor be taken from
    one that lives. The hidden file is removed at the end; one that a killed process left is taken over.

    Parameters
    ----------
    path : path-like
        The output. The target of a symbolic link is locked, not the link.
    comm : communicator or None
        All ranks take part.
    patience : float, optional
        Seconds to wait for another process; by default as long as one that was killed may need to vanish.

    Raises
    ------
    UnwritableFile
        On every rank: another process holds the lock, or its file cannot be made.

    Warns
    -----
    UserWarning
        The file system has no locks: nothing is locked.
    """
    with ExitStack() as held:
        from_first_rank(comm, lambda: held.enter_context(_locked(path, patience)))
        yield


@contextmanager
def _locked(path: str | os.PathLike[str], patience: float | None) -> Iterator[None]:
    lock = hidden_beside(Path(os.path.realpath(path)), ".lock")
    handle = _wait_for(lock, path, patience)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{socket.gethostname()} {os.getpid()}".encode(), 0)
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)  # while it is locked: nobody else can hold a lock on this file
        os.close(handle)


def _wait_for(lock: Path, path: str | os.PathLike[str], patience: float | None) -> int:
    """Return the locked file, as a descriptor."""
    began = time.monotonic()
    while (handle := _taken(lock, path)) is None:
        host, process = _holder(lock)
        here = host == socket.gethostname()
        limit = patience if patience is not None else PATIENCE_HERE if here else PATIENCE_ELSEWHERE
        if time.monotonic() - began >= limit:
            gone = "" if here else f" (if that has crashed, delete {lock.name}, its lock, beside the output)"
            raise UnwritableFile(
                path, f"is the output of a run that has not ended: process {process} on {host}{gone}"
            )
        time.sleep(0.1)
    return handle


def _taken(lock: Path, path: str | os.PathLike[str]) -> int | None:
    """Return the file as a descriptor if nobody else has locked it."""
    try:
        handle = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        check_writable(path)  # which says what is wrong in the words of users
        raise UnwritableFile(path, f"cannot be locked ({error.strerror}: {lock})") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == os.stat(lock).st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        if error.errno in NO_LOCKS:
            _tell_no_locks(lock.parent)
            return handle
        if error.errno != errno.EACCES:
            os.close(handle)
            raise UnwritableFile(path, f"cannot be locked ({error.strerror})") from error
    os.close(handle)  # another process holds it, or has just removed the file
    return None


@cache
def _tell_no_locks(folder: Path) -> None:
    """Warn, once for all outputs of a run."""
    warnings.warn(
        f"{folder}: the file system has no locks: start no second run with an output of this one",
        stacklevel=7,
    )


def _holder(lock: Path) -> tuple[str, str]:
    """Return the host and the process that hold a lock, as far as they are known."""
    with suppress(OSError):
        words = lock.read_bytes()[:300].decode("ascii", "replace").split()
        if len(words) == 2 and all(word.isprintable() for word in words):
            return words[0], words[1]
    return "an unknown host", "unknown"
