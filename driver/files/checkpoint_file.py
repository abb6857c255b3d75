"""The file of a checkpoint: a single one for any number of ranks.

Vectors are fields on the whole grid, written and read in tiles, so that another number of ranks can resume
the run. HDF5's checksums protect the fields; every other dataset also has a SHA-256 digest in the file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.digest import digest_of
from ptyxrf.driver.data.history import History
from ptyxrf.driver.data.lazy_arrays import blocks_of_rows
from ptyxrf.driver.files.chunks import read_values
from ptyxrf.driver.files.cxi import ENTRY
from ptyxrf.driver.files.file_errors import FileError, UnwritableFile
from ptyxrf.driver.files.hdf5_reader import READ_ERRORS, Hdf5Reader, reading
from ptyxrf.driver.files.hdf5_writer import creating
from ptyxrf.driver.files.history_record import read_history, write_history
from ptyxrf.driver.files.tiled_file import whole_shared_file, write_tiles
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed, from_first_rank
from ptyxrf.parallel.tile import Tile

#: Version of the layout, of the facts, and of the solvers' memory.
FORMAT = 3

CHECKPOINT = f"{ENTRY}/checkpoint_1"
FACTS, CHECKSUMS = f"{CHECKPOINT}/facts", f"{CHECKPOINT}/checksums"
FIELDS, ARRAYS = f"{CHECKPOINT}/fields", f"{CHECKPOINT}/arrays"


class OtherFormat(FileError):
    """A checkpoint has the format of another version of this package."""


@dataclass
class Content:
    """What a checkpoint holds.

    Attributes
    ----------
    facts : dict
        What JSON can hold: settings, digest of the data, numbers of the solver.
    history : History
    arrays : dict of str to array
        Small ones, the same on every rank.
    fields : dict of str to (C, rows, columns) array
        On the owned pixels.
    """

    facts: dict[str, Any]
    history: History
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    fields: dict[str, NDArray[Any]] = field(default_factory=dict)


def write_checkpoint(
    path: str | os.PathLike[str],
    older: str | os.PathLike[str] | None,
    content: Content,
    tile: Tile,
    ranks: Ranks,
) -> None:
    """Write a checkpoint, whole or not at all; all ranks take part.

    Parameters
    ----------
    path : path-like
        The file.
    older : path-like or None
        The name that a checkpoint which is there gets; None: it is replaced.
    content : Content
    tile : Tile
    ranks : Ranks

    Raises
    ------
    UnwritableFile
        On every rank, if one of them cannot write.
    """
    tiles = {f"{FIELDS}/{name}": values for name, values in content.fields.items()}

    def make(temporary: Path) -> None:
        with creating(temporary, "checkpoint", "history_1") as writer:
            writer.group(CHECKPOINT, "NXcollection")
            write_history(writer, content.history)
            for name, values in content.arrays.items():
                writer.array(f"{ARRAYS}/{name}", values)
            writer.text(FACTS, json.dumps(content.facts))
            digests: dict[str, str | None] = {
                name: digest_of(dataset[()]) for name, dataset in _datasets(writer.file).items()
            }
            for name, values in tiles.items():
                writer.create(name, (len(values), *tile.grid), values.dtype)
            writer.text(CHECKSUMS, json.dumps(digests | dict.fromkeys(tiles)))

    with whole_shared_file(ranks.comm, path, older) as temporary:
        from_first_rank(ranks.comm, lambda: make(temporary))
        write_tiles(ranks.comm, temporary, tile.owned, tiles)


def read_checkpoint(path: str | os.PathLike[str]) -> Content:
    """Read everything but the fields, and check it against its digests.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Content
        Without fields.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        The file is not a checkpoint, or is damaged.
    OtherFormat
        Another version of this package wrote the file.
    """
    with reading(path) as reader:
        if not is_checkpoint(reader):
            raise reader.error(CHECKPOINT, "no such group: the file is not a checkpoint")
        facts = json.loads(reader.text(FACTS))
        if facts["format"] != FORMAT:
            found = f"format {facts['format']}, known is {FORMAT}"
            raise OtherFormat(path, f"written by another version of ptyxrf ({found})")
        checksums = _checksums(reader)
        datasets = _datasets(reader.file)
        for name in sorted({*datasets, *checksums} - {CHECKSUMS}):
            if name not in checksums or name not in datasets:
                raise reader.error(name, "expected the datasets that were written, and no others: damaged")
            if not name.startswith(FIELDS) and digest_of(reader.array(name)) != checksums[name]:
                raise _damaged(reader, name)
        names = [name for name in datasets if name.startswith(ARRAYS)]
        arrays = {name.removeprefix(f"{ARRAYS}/"): reader.array(name) for name in names}
        return Content(facts, read_history(reader, facts["stage"]), arrays)


def read_fields(
    path: str | os.PathLike[str], group: str, count: int, tile: Tile, ranks: Ranks
) -> dict[str, NDArray[Any]]:
    """Read this rank's part of some fields of a checkpoint; all ranks take part.

    Parameters
    ----------
    path : path-like
        Of a file that `read_checkpoint` has read.
    group : str
        Beginning of the names of the fields, up to a slash.
    count : int
        Number C of fields of a vector.
    tile : Tile
    ranks : Ranks

    Returns
    -------
    dict of str to (C, rows, columns) array
        On the owned pixels, by the rest of the name.

    Raises
    ------
    DamagedFile
        On every rank: a field cannot be read, or has another shape.
    """

    def read() -> dict[str, NDArray[Any]]:
        with reading(path) as reader:
            names = [name for name in _field_names(reader) if name.startswith(f"{FIELDS}/{group}/")]
            return {
                name.removeprefix(f"{FIELDS}/{group}/"): _part(reader, name, count, tile) for name in names
            }

    return agreed(ranks.comm, read)


def check_fields(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Read all fields of a checkpoint to see that they are whole; return rows and columns of the grid.

    Raises
    ------
    DamagedFile
        As `read_fields`.
    """
    with reading(path) as reader:
        grid = (0, 0)
        for name in _field_names(reader):
            dataset = _field(reader, name)
            grid = dataset.shape[1:]
            for block in blocks_of_rows(dataset.shape):
                _require_finite(reader, name, _read(reader, name, dataset, block))
    return grid


def is_checkpoint_file(path: str | os.PathLike[str]) -> bool:
    """Return whether there is a file, and it is a checkpoint."""
    try:
        with reading(path) as reader:
            return is_checkpoint(reader)
    except (*READ_ERRORS, FileNotFoundError):
        return False


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Refuse to replace a file by a checkpoint if it is one that can be read, of another kind.

    Raises
    ------
    UnwritableFile
    """
    if h5py.is_hdf5(path) and not is_checkpoint_file(path):
        raise UnwritableFile(path, "is not a checkpoint, and cannot be replaced by one")


def is_checkpoint(reader: Hdf5Reader) -> bool:
    """Return whether an open file is a checkpoint."""
    return reader.own and reader.has(CHECKPOINT)


def _field_names(reader: Hdf5Reader) -> list[str]:
    return [name for name in _checksums(reader) if name.startswith(FIELDS)]


def _checksums(reader: Hdf5Reader) -> dict[str, str | None]:
    checksums = json.loads(reader.text(CHECKSUMS))
    if not isinstance(checksums, dict) or FACTS not in checksums:
        raise _damaged(reader, CHECKSUMS)
    return checksums


def _part(reader: Hdf5Reader, name: str, count: int, tile: Tile) -> NDArray[Any]:
    dataset = _field(reader, name)
    if dataset.shape != (count, *tile.grid):
        raise reader.error(name, f"expected fields of shape {(count, *tile.grid)}, got {dataset.shape}")
    values = _read(reader, name, dataset, (slice(None), *tile.owned.slices))
    _require_finite(reader, name, values)
    return values


def _read(reader: Hdf5Reader, name: str, dataset: h5py.Dataset, key: Any) -> NDArray[Any]:
    try:
        return np.asarray(read_values(dataset, key))
    except READ_ERRORS as error:
        raise reader.error(name, f"cannot be read, the file is damaged or truncated ({error})") from error


def _require_finite(reader: Hdf5Reader, name: str, values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise reader.error(name, "expected finite numbers: the file is damaged")


def _field(reader: Hdf5Reader, name: str) -> h5py.Dataset:
    """Return the dataset of fields, if it can be one."""
    dataset = reader.dataset(name)
    if dataset.ndim != 3 or dataset.dtype.kind != "f" or dataset.dtype.itemsize < 4:
        expected = "real numbers in 3 dimensions, of single or double precision"
        raise reader.error(name, f"expected {expected}, got {dataset.dtype} of shape {dataset.shape}")
    reader.check_size(name, dataset)
    return dataset


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return all datasets of a file by their paths."""
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[f"/{name}"] = item

    file.visititems(note)
    return found


def _damaged(reader: Hdf5Reader, name: str) -> ValueError:
    return reader.error(name, "does not fit its checksum, the file is damaged")
