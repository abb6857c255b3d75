"""Writing CXI files: checksummed arrays, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.cxi import CXI_VERSION, ENTRY, FORMAT, ILLUMINATION, INSTRUMENT, SOURCE, placed
from ptyxrf.driver.files.guarded_disk import open_to_write
from ptyxrf.driver.files.whole_file import whole_file

#: Edge of a chunk of an image: tiles of a distributed run touch few chunks that they do not fill.
IMAGE_CHUNK = 256


#: Longest value that is kept in a header (HDF5 has headers of 64 kB).
COMPACT_BYTES = 60_000


class Hdf5Writer:
    """A CXI file being written.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    root : str
        Group that takes the place of the entry in the names of everything that is written.

    Attributes
    ----------
    file : h5py.File
        The file.
    """

    def __init__(self, file: h5py.File, root: str = ENTRY) -> None:
        self.file, self._root = file, root
        self._optional: list[str] = []

    def within(self, root: str) -> Hdf5Writer:
        """Return a writer of the same file whose entry is another group."""
        inner = Hdf5Writer(self.file, root)
        inner._optional = self._optional
        return inner

    def at(self, name: str) -> str:
        """Return the place in the file of a name below the entry."""
        return placed(name, self._root)

    def group(self, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
        """Create a group with its NeXus class and attributes."""
        group = self.file.require_group(self.at(name))
        group.attrs["NX_class"] = nx_class
        for key, value in attributes.items():
            group.attrs[key] = value
        return group

    def create(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any,
        *,
        chunks: tuple[int, ...] | None = None,
        compress: bool = False,
        resizable: bool = False,
        **attributes: Any,
    ) -> h5py.Dataset:
        """Create a dataset with checksums, to be filled at once or in tiles.

        Parameters
        ----------
        name : str
            Full path in the file.
        shape : sequence of int
            Empty datasets have no chunks and so no checksums.
        dtype : dtype
            Kept as it is.
        chunks : tuple of int, optional
            Default: images in squares, other arrays as h5py guesses.
        compress : bool
            gzip with shuffle, at the level that costs least; otherwise gzip at level 0, which only adds a
            checksum. Fletcher's is 0 for zeros: without the second one, blocks that were never written to
            disk read as good.
        resizable : bool
            The first axis may be made shorter.
        **attributes
            HDF5 attributes of the dataset.

        Returns
        -------
        h5py.Dataset
            Open for assignment.
        """
        options: dict[str, Any] = {}
        if shape and 0 not in shape:
            if chunks is None and len(shape) >= 2:
                leading = (1,) * (len(shape) - 2)
                chunks = (*leading, min(shape[-2], IMAGE_CHUNK), min(shape[-1], IMAGE_CHUNK))
            options = {"fletcher32": True, "chunks": chunks or True}
            options |= {"compression": "gzip", "compression_opts": int(compress), "shuffle": compress}
        if resizable:
            options["maxshape"] = tuple(shape)
        dataset = self.file.create_dataset(self.at(name), shape=tuple(shape), dtype=dtype, **options)
        for key, value in attributes.items():
            dataset.attrs[key] = value
        return dataset

    def array(self, name: str, values: Any, **options: Any) -> h5py.Dataset:
        """Write an array with checksums; options as `create`."""
        values = np.asarray(values)
        dataset = self.create(name, values.shape, values.dtype, **options)
        dataset[...] = values
        return dataset

    def optional(self, name: str, values: Any, **options: Any) -> None:
        """Write an array that need not be there (None: skip); it is noted, so a loss shows on reading."""
        if values is not None:
            self.array(name, values, **options)
            self.note_optional(name)

    def note_optional(self, name: str) -> None:
        """Note a dataset that need not be in such a file but is in this one."""
        self._optional.append(self.at(name))

    def scalar(self, name: str, value: Any, **attributes: Any) -> h5py.Dataset:
        """Write one value; what fits lies in the header of the dataset, which has a checksum."""
        value = np.asarray(value)
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if value.nbytes < COMPACT_BYTES:
            properties.set_layout(h5py.h5d.COMPACT)
        # The high-level call goes back to the contiguous layout.
        dataset = h5py.Dataset(
            h5py.h5d.create(
                self.file.id,
                self.at(name).encode(),
                h5py.h5t.py_create(value.dtype, logical=True),
                h5py.h5s.create(h5py.h5s.SCALAR),
                properties,
            )
        )
        dataset[()] = value
        for key, attribute in attributes.items():
            dataset.attrs[key] = attribute
        return dataset

    def text(self, name: str, value: str) -> h5py.Dataset:
        """Write a string: UTF-8 of fixed length, so that it lies in the dataset and not in a heap."""
        encoded = value.encode(errors="backslashreplace")
        return self.scalar(name, np.array(encoded, dtype=h5py.string_dtype("utf-8", max(len(encoded), 1))))

    def texts(self, name: str, values: Sequence[str]) -> h5py.Dataset:
        """Write a list of strings of fixed length, with checksums."""
        encoded = [value.encode(errors="backslashreplace") for value in values]
        dtype = h5py.string_dtype("utf-8", max([1, *(len(value) for value in encoded)]))
        dataset = self.create(name, (len(encoded),), dtype)
        dataset[...] = np.array(encoded, dtype=dtype)
        return dataset

    def link(self, name: str, target: str) -> None:
        """Make `name` another path of `target`."""
        self.file[self.at(name)] = h5py.SoftLink(self.at(target))

    def probe(self, probe: NDArray[Any], **attributes: Any) -> None:
        """Write the illumination where CXI has it, and a group that viewers show as a picture."""
        self.array(ILLUMINATION, probe, interpretation="image", **attributes)
        self.group(f"{ENTRY}/probe_1", "NXdata", signal="data", title="probe")
        self.link(f"{ENTRY}/probe_1/data", ILLUMINATION)

    def close(self) -> None:
        """Note the optional datasets; call it last."""
        # of fixed length, so that they lie in the header, which has a checksum, and not in a heap
        self.file[ENTRY].attrs["optional_datasets"] = np.array(
            [name.encode() for name in self._optional], "S"
        )


@contextmanager
def writing(path: str | os.PathLike[str], title: str, default: str) -> Iterator[Hdf5Writer]:
    """Write a CXI file, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; one that is there is replaced at the end.
    title : str
        Title of the entry.
    default : str
        Group of the entry that viewers open first.

    Yields
    ------
    Hdf5Writer
        For the body to fill.

    Raises
    ------
    UnwritableFile
        If the path cannot be written.
    """
    with whole_file(path) as temporary, creating(temporary, title, default) as writer:
        yield writer


@contextmanager
def creating(path: Path, title: str, default: str) -> Iterator[Hdf5Writer]:
    """Make a CXI file under a temporary name; parameters as for `writing`."""
    with open_to_write(path, "w") as file:
        file.attrs["NX_class"] = "NXroot"
        file.attrs["default"] = "entry_1"
        file.attrs["creator"] = "ptyxrf"
        file.attrs["ptyxrf_format"] = FORMAT
        writer = Hdf5Writer(file)
        writer.scalar("cxi_version", CXI_VERSION)
        writer.scalar("number_of_entries", 1)
        writer.group(ENTRY, "NXentry", default=default)
        writer.text(f"{ENTRY}/title", title)
        writer.text(f"{ENTRY}/program_name", "ptyxrf")
        writer.group(INSTRUMENT, "NXinstrument")
        writer.group(SOURCE, "NXsource")
        yield writer
        writer.close()
