"""Errors that carry the file, and the dataset, that they are about."""

from __future__ import annotations

import errno
import os

#: Errors of file systems without locks.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


class FileError(ValueError):
    """A file cannot be used.

    Parameters
    ----------
    path : path-like
        The file.
    problem : str
        What is wrong.
    dataset : str, optional
        The dataset or group that is concerned.

    Attributes
    ----------
    path, problem, dataset
        As given. The message is made of them when it is shown.
    """

    def __init__(self, path: str | os.PathLike[str], problem: str, dataset: str | None = None) -> None:
        super().__init__(path, problem, dataset)
        self.path, self.problem, self.dataset = path, problem, dataset

    def __str__(self) -> str:
        where = f"{self.path}: {self.dataset}" if self.dataset else f"{self.path}"
        return f"{where}: {self.problem}"


class DamagedFile(FileError):
    """A file cannot be read: it is damaged or truncated, or it does not hold what was expected."""


class UnwritableFile(FileError):
    """A file cannot be written."""


def require_file(path: str | os.PathLike[str], what: str = "a file") -> None:
    """Refuse what is there but is no file: opening a pipe would wait for who writes to it.

    Parameters
    ----------
    path : path-like
    what : str
        What is expected.

    Raises
    ------
    DamagedFile
        It is a folder, a pipe or a device.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        there = "a folder" if os.path.isdir(path) else "a pipe or a device"
        raise DamagedFile(path, f"expected {what}, got {there}")
