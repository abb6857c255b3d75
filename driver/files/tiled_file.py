"""Several ranks write one HDF5 file, each its own tiles.

With an h5py that was built on parallel HDF5 all ranks write at once; with the usual one they take turns.
Either way no rank holds more than its tiles, and the file replaces an old one only when it is whole.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.file_errors import UnwritableFile
from ptyxrf.driver.files.guarded_disk import FORMAT_LIMITS, open_to_write
from ptyxrf.driver.files.hdf5_opening import READ_ERRORS, opened
from ptyxrf.driver.files.whole_file import check_space, reserve, synchronise, whole_file
from ptyxrf.driver.job.abort import time_limit
from ptyxrf.parallel.rectangle import Rectangle
from ptyxrf.parallel.reduction import reduced
from ptyxrf.parallel.startup import agreed, from_first_rank
from ptyxrf.parallel.waiting import Wait

#: Tag of the message that says whose turn it is.
TURN = 3

WRITERS = Wait("the ranks that write to the file")

#: Files whose collective writing failed on this rank. They stay open until MPI aborts the process: closing
#: one, as the end of the interpreter would, waits for ranks that will not come, or crashes.
UNCLOSED: list[h5py.File] = []

#: A rank that fails, or is stopped, within HDF5 leaves the others there, where they hold the interpreter so
#: that no watchdog runs: after so many seconds, and one more for so many bytes, a signal ends the process.
LONGEST_WRITE, SLOWEST_DISK = 600.0, 1e6

#: What HDF5 adds to a file beside the values: to each chunk, to each byte of one, and at all (measured: 30
#: bytes, 1/10000, 2 kB).
PER_CHUNK, PER_BYTE, AT_ALL = 128, 1 / 1000, 1 << 16


def parallel_hdf5() -> bool:
    """Return whether this h5py can write one file from several ranks at once."""
    return bool(h5py.get_config().mpi)


@contextmanager
def whole_shared_file(
    comm: Any, path: str | os.PathLike[str], older: str | os.PathLike[str] | None = None
) -> Iterator[Path]:
    """Write a file from all ranks, whole or not at all (see `whole_file`).

    Parameters
    ----------
    comm : communicator or None
    path, older : path-like
        See `whole_file`.

    Yields
    ------
    Path
        The temporary name, on every rank. An error in the body must be one of all ranks.

    Raises
    ------
    UnwritableFile
        On every rank, as `whole_file`.
    """
    first = comm is None or comm.Get_rank() == 0
    target = whole_file(path, older)
    temporary = from_first_rank(comm, target.__enter__)
    try:
        yield temporary
    except BaseException as error:
        if isinstance(error, UnwritableFile) and error.path == temporary:
            error.path = path  # the name that users know
        # a rank that fails alone ends the others wherever they are
        temporary.unlink(missing_ok=True)
        if first:
            target.__exit__(type(error), error, error.__traceback__)
        raise
    from_first_rank(comm, lambda: target.__exit__(None, None, None))


def write_tiles(
    comm: Any,
    path: Path,
    owned: Rectangle,
    tiles: Mapping[str, NDArray[Any]],
    *,
    at_once: bool | None = None,
) -> None:
    """Fill datasets of a file with the tiles of all ranks.

    Parameters
    ----------
    comm : communicator or None
    path : Path
        A file with the datasets, closed on every rank.
    owned : Rectangle
        Where the tiles of this rank belong.
    tiles : mapping
        Name of the dataset -> (..., rows, columns) array; the same names on every rank.
    at_once : bool, optional
        Write in parallel; default: where h5py can.

    Raises
    ------
    UnwritableFile
        On every rank, if one of them cannot write.
    """
    agreed(comm, lambda: _check_shapes(path, owned, tiles))
    needed = sum(tile.nbytes for tile in tiles.values())
    if comm is not None:
        with WRITERS:
            needed = int(reduced(comm, needed, "SUM"))
    from_first_rank(comm, lambda: check_space(path, needed))
    if comm is None:
        _described(path, lambda: _write(path, owned, tiles))
    elif parallel_hdf5() if at_once is None else at_once:
        # neither HDF5 nor MPI gets over a write that fails; this one has its room beforehand
        from_first_rank(comm, lambda: _described(path, lambda: reserve(path, _largest_size(path, tiles))))
        with time_limit(LONGEST_WRITE + needed / SLOWEST_DISK):
            _write_at_once(comm, path, owned, tiles)
    else:
        _write_in_turn(comm, path, owned, tiles)
    if comm is not None:
        with WRITERS:
            comm.Barrier()

    def verify() -> None:
        # a full disk is not always an error for the library: only what can be read is there
        _read_back(path, owned, tiles)
        synchronise(path)  # each node keeps what it wrote in its own memory

    agreed(comm, lambda: _described(path, verify))


def _check_shapes(path: Path, owned: Rectangle, tiles: Mapping[str, NDArray[Any]]) -> None:
    """Refuse tiles of a wrong shape, while all ranks can still raise together."""
    for name, tile in tiles.items():
        if tile.shape[-2:] != owned.shape:
            raise UnwritableFile(
                path, f"cannot be written, expected a tile of {owned.shape}, got {tile.shape[-2:]}", name
            )


def _largest_size(path: Path, names: Iterable[str]) -> int:
    """Return an upper bound of the size of a file after some of its empty datasets are filled."""
    size = path.stat().st_size + AT_ALL
    with opened(path) as file:
        for name in names:
            dataset = file[name]
            # chunks at the edge are as large as the others
            chunk = dataset.chunks or dataset.shape
            count = math.prod(-(-n // length) for n, length in zip(dataset.shape, chunk, strict=True))
            values = math.prod(chunk) * dataset.dtype.itemsize
            size += count * (values + math.ceil(values * PER_BYTE) + PER_CHUNK)
    return size


def _described(path: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except UnwritableFile:
        raise
    except READ_ERRORS as error:
        raise UnwritableFile(path, f"cannot be written ({error})") from error


def _write_at_once(comm: Any, path: Path, owned: Rectangle, tiles: Mapping[str, NDArray[Any]]) -> None:
    def write() -> None:
        # Not a context: after an error on one rank alone the others wait for it within the library, and so
        # would this one in closing the file. It must get out and end the job.
        file = h5py.File(path, "r+", driver="mpio", comm=comm, libver=FORMAT_LIMITS)
        try:
            for name, tile in tiles.items():
                dataset = file[name]
                # chunks that several ranks share are put together by the library: all must take part
                if owned.size > 0:
                    with dataset.collective:
                        dataset[(..., *owned.slices)] = tile
                else:
                    _write_nothing(dataset)
            file.flush()
        except BaseException:
            UNCLOSED.append(file)
            raise
        file.close()

    _described(path, write)


def _read_back(path: Path, owned: Rectangle, tiles: Mapping[str, NDArray[Any]]) -> None:
    """Compare the tiles of a rank with what the file holds."""
    if owned.size == 0:
        return
    with opened(path, libver=FORMAT_LIMITS) as file:
        for name, tile in tiles.items():
            # by their bytes: that is faster, and NaN is itself
            there = file[name][(..., *owned.slices)].view(np.uint8)
            if not np.array_equal(there, np.ascontiguousarray(tile).view(np.uint8)):
                raise ValueError(f"{name}: other values than were written")


def _write_nothing(dataset: h5py.Dataset) -> None:
    """Take part in a collective write with no values; indexing would leave the other ranks waiting."""
    transfer = h5py.h5p.create(h5py.h5p.DATASET_XFER)
    transfer.set_dxpl_mpio(h5py.h5fd.MPIO_COLLECTIVE)
    nowhere, nothing = dataset.id.get_space(), h5py.h5s.create_simple((1,))
    nowhere.select_none()
    nothing.select_none()
    dataset.id.write(nothing, nowhere, np.zeros(1, dataset.dtype), dxpl=transfer)


def _write(path: Path, owned: Rectangle, tiles: Mapping[str, NDArray[Any]]) -> None:
    """Write the tiles of this rank while no other one writes."""
    with open_to_write(path, "r+") as file:
        for name, tile in tiles.items():
            file[name][(..., *owned.slices)] = tile


def _write_in_turn(comm: Any, path: Path, owned: Rectangle, tiles: Mapping[str, NDArray[Any]]) -> None:
    rank, size = comm.Get_rank(), comm.Get_size()
    failure: Exception | None = None
    if rank > 0:
        with WRITERS:
            failure = comm.recv(source=rank - 1, tag=TURN)
    if failure is None and owned.size > 0:
        try:
            _described(path, lambda: _write(path, owned, tiles))
        except UnwritableFile as error:
            failure = error
    if rank < size - 1:
        with WRITERS:
            comm.send(failure, dest=rank + 1, tag=TURN)

    def verdict() -> None:
        if failure is not None:
            raise failure

    agreed(comm, verdict)
