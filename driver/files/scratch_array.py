"""Arrays in a temporary file that has no name: on disk, and in memory as far as there is room."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.file_errors import UnwritableFile
from ptyxrf.driver.files.whole_file import NO_ROOM


def scratch_array(size: int, dtype: Any) -> NDArray[Any]:
    """Return an array (size,) of arbitrary contents in a file of the folder for temporary files (TMPDIR).

    The system keeps its pages while memory is free, and reads ahead where they are read in order. The file
    has no name, and goes with the array whatever ends the process.

    Raises
    ------
    UnwritableFile
        The folder cannot be written, or has too little room.
    """
    count = size * np.dtype(dtype).itemsize
    if count == 0:
        return np.empty(0, dtype)
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(count)
            _take_room(file.fileno(), count)
            pages = mmap.mmap(file.fileno(), count)
    except OSError as error:
        raise UnwritableFile(
            folder,
            f"no room for {count / 1e9:.3g} GB ({error.strerror}): let TMPDIR name another folder",
        ) from error
    pages.madvise(mmap.MADV_SEQUENTIAL)
    return np.frombuffer(pages, dtype)


def _take_room(file: int, count: int) -> None:
    """Take room on the disk, where the file system can: a page that finds none later ends the process."""
    try:
        os.posix_fallocate(file, 0, count)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
