"""HDF5 files that are being written, on disks that may be full.

HDF5 does not get over a write that fails: it keeps what it could not write, tries again whenever a dataset
or the file is closed, prints what Python cannot raise there, and crashes at the end of the process at the
latest (measured with small disks and with limits on the size of files: h5py 3.16, HDF5 2.0). So it never sees
one: a failed write is noted and passed over here, like all that follow, and is an error once the file is
closed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from ptyxrf.driver.files.file_errors import UnwritableFile

#: The format of HDF5 1.10 has checksums on metadata too, and every reader in use understands it.
FORMAT_LIMITS = ("v110", "v110")


class _Disk(io.FileIO):
    """A file whose writes never fail; `failure` is the first one that would have."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it, if nothing has failed yet."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self.failure is None and done < len(view):
                done += super().write(view[done:])
        except OSError as error:
            self.failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size; a longer file may need room, too."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
        return self.tell() if size is None else size

    def readinto(self, buffer: Any) -> int:
        """Read the requested bytes; zeros where writing has failed."""
        view = memoryview(buffer).cast("B")
        done = super().readinto(view) or 0
        view[done:] = bytes(len(view) - done)
        return len(view)


@contextmanager
def open_to_write(path: Path, mode: str) -> Iterator[h5py.File]:
    """Open an HDF5 file to write it.

    Parameters
    ----------
    path : Path
    mode : {"w", "r+"}
        Make it anew, or change one that is there.

    Yields
    ------
    h5py.File

    Raises
    ------
    UnwritableFile
        Naming the path, if the disk has not taken all that was written.
    """
    with _Disk(path, "w+" if mode == "w" else mode) as disk:
        try:
            with h5py.File(disk, mode, libver=FORMAT_LIMITS) as file:
                yield file
        finally:
            if disk.failure is not None:
                # whatever else has gone wrong did so because of this
                problem = f"cannot be written ({disk.failure.strerror})"
                raise UnwritableFile(path, problem) from disk.failure
