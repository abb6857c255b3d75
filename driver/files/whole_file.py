"""Output files that are complete or absent: write beside the target, then rename."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ptyxrf.driver.files.file_errors import UnwritableFile

#: Seconds without a change after which a process on another host does not write a file any more.
STILL_WRITING = 3600.0

#: Errors of a disk, or of a user's share of it, that is full.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _short(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def hidden_beside(path: Path, ending: str) -> Path:
    """Return a hidden name in the folder of a file; its length is fixed, because names have a limit."""
    return path.parent / f".ptyxrf-{_short(path.name)}{ending}"


def _create_beside(path: Path) -> Path:
    """Create an empty file in the folder of `path` and return its path."""
    writer = f"{_short(socket.gethostname())}-{os.getpid()}"
    temporary = hidden_beside(path, f"-{writer}-{secrets.token_hex(4)}.part")
    # os.open rather than tempfile: the finished file should have the permissions that the umask gives.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary


def remove_remains(path: str | os.PathLike[str]) -> None:
    """Remove what a process that was killed while it wrote a file has left beside it.

    Parameters
    ----------
    path : path-like
        The file. What a process that lives is writing stays.
    """
    target = Path(os.path.realpath(path))
    for remains in target.parent.glob(hidden_beside(target, "-*.part").name):
        if not _being_written(remains):
            remains.unlink(missing_ok=True)


def _being_written(temporary: Path) -> bool:
    """Return whether another process may be writing a temporary file."""
    _, _, host, process, *_ = [*temporary.name.split("-"), "", ""]
    try:
        if host == _short(socket.gethostname()) and process.isdigit():
            return int(process) != os.getpid() and _lives(int(process))
        return time.time() - temporary.stat().st_mtime < STILL_WRITING
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:  # a process of another user
        return True


def _lives(process: int) -> bool:
    """Return whether a process of this host lives; one that was killed may wait for its parent to notice.

    Raises
    ------
    ProcessLookupError
        There is none.
    """
    os.kill(process, 0)
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # it ended, or this system does not tell
        return True
    return state not in ("Z", "X")


def synchronise(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on disk.

    Parameters
    ----------
    path : Path
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out, before a computation starts, whether a file can be written at its end.

    Parameters
    ----------
    path : path-like
        The file to be written. A file that is already there is not touched.

    Raises
    ------
    UnwritableFile
        Naming the path: the folder is missing or not writable, or the path is a folder, a device or a
        file without write permission.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnwritableFile(path, "cannot be written, it is a folder")
        if not stat.S_ISREG(mode):
            raise UnwritableFile(path, "cannot be written, it is not a regular file")
        if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            raise UnwritableFile(path, "cannot be written, the file there is read-only")
    except FileNotFoundError:
        if not target.parent.exists():
            raise UnwritableFile(path, f"cannot be written, there is no folder {target.parent}") from None
    except OSError as error:
        raise UnwritableFile(path, f"cannot be written ({error.strerror})") from error
    # Permission bits say little (root, access lists, read-only mounts, full quotas): try.
    try:
        _create_beside(target).unlink()
    except OSError as error:
        raise UnwritableFile(
            path, f"cannot be written, no file can be made in {target.parent} ({error.strerror})"
        ) from error


def check_space(path: str | os.PathLike[str], needed: int) -> None:
    """Find out before writing whether the disk has room.

    Parameters
    ----------
    path : path-like
        A file that is there, or a folder.
    needed : int
        Bytes that will be written.

    Raises
    ------
    UnwritableFile
        Naming the path, if fewer bytes are free.
    """
    free = shutil.disk_usage(path).free
    if free < needed:
        megabytes = f"{needed / 1e6:.3g} MB needed, {free / 1e6:.3g} MB free"
        raise UnwritableFile(path, f"cannot be written, no space left: {megabytes}")


def reserve(path: Path, size: int) -> None:
    """Take room on the disk for a file before it is written, where the file system can do that.

    Parameters
    ----------
    path : Path
        A file that is there. It is as long as that afterwards, and ends in zeros.
    size : int
        Bytes of the whole file.

    Raises
    ------
    UnwritableFile
        Naming the path, if there is no room for them.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with open(path, "r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise UnwritableFile(path, f"cannot be written ({error.strerror})") from error


@contextmanager
def whole_file(path: str | os.PathLike[str], older: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Write a file whole or not at all.

    The body writes to a temporary name in the folder of the target. When it ends without an error the
    temporary file is flushed to disk and renamed; until then a file that was there before stays as it is.
    After an error the temporary file is removed.

    Parameters
    ----------
    path : path-like
        The file to be written. The target of a symbolic link is replaced, not the link.
    older : path-like, optional
        The name that a file which is there gets; without one it is replaced.

    Yields
    ------
    Path
        Where to write. The body closes the file before it ends.

    Raises
    ------
    UnwritableFile
        As `check_writable`.
    """
    check_writable(path)
    target = Path(os.path.realpath(path))
    temporary = _create_beside(target)
    try:
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        yield temporary
        synchronise(temporary)
        if older is not None:
            with suppress(FileNotFoundError):
                target.replace(older)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, UnwritableFile) and error.path == temporary:
            error.path = path  # the name that users know
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise UnwritableFile(path, f"cannot be written ({error.strerror})") from error
        raise
    # The rename itself is lost in a power cut until the folder is on disk.
    synchronise(target.parent)
