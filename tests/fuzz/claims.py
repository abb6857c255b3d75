"""Damage to what HDF5 and its users believe of a file: chunks, filters, places of values, texts."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

Random = np.random.Generator
Damage = Callable[[Random, h5py.File, str], None]

#: Filters that pack chunks, each in its own way.
PACKERS: tuple[dict[str, Any], ...] = (
    {"compression": "gzip"},
    {"compression": "gzip", "shuffle": True, "fletcher32": True},
    {"fletcher32": True},
    dict(hdf5plugin.LZ4()),
    dict(hdf5plugin.Bitshuffle()),
    dict(hdf5plugin.Zstd()),
    dict(hdf5plugin.Blosc()),
)

#: Texts that do something to a terminal, a picture, a file or a program.
TEXTS = (
    b"\x1b[2J\x1b]0;title\x07", b"two\nlines\r", b"a\0b", b"\xff\xfe\x80", b"$\\frac{$", b"../../etc/passwd",
    b"object", b"%s%n{0}", b"x" * 100_000, "\u202e\u0007\u2028".encode(), b"", b" ",
)  # fmt: skip


def _remade(file: h5py.File, name: str, values: np.ndarray, packer: dict[str, Any]) -> h5py.Dataset:
    """Put a dataset of one chunk in the place of another, which keeps its attributes."""
    attributes = dict(file[name].attrs)
    del file[name]
    dataset = file.create_dataset(name, data=values, chunks=values.shape, **packer)
    for key, value in attributes.items():
        dataset.attrs[key] = value
    return dataset


def _numbers_of(file: h5py.File, name: str) -> np.ndarray | None:
    """Return the values of a dataset that can be packed in a chunk."""
    values = np.atleast_1d(file[name][()])
    return None if 0 in values.shape or values.dtype.kind not in "fciub" else values


def _packer(rng: Random) -> dict[str, Any]:
    return PACKERS[int(rng.integers(len(PACKERS)))]


def _short_chunk(rng: Random, file: h5py.File, name: str) -> None:
    """A whole chunk of fewer values."""
    values = _numbers_of(file, name)
    if values is None:
        return
    packer, origin = _packer(rng), (0,) * values.ndim
    fewer = values.ravel()[: int(rng.integers(0, values.size))]
    if not fewer.size:  # all but one byte
        packer, data, skipped = {"compression": "gzip"}, zlib.compress(values.tobytes()[:-1]), 0
    else:
        small = _remade(file, name, fewer, packer)
        skipped, data = small.id.read_direct_chunk((0,))
    _remade(file, name, values, packer).id.write_direct_chunk(origin, data, filter_mask=skipped)


def _skipped_filters(rng: Random, file: h5py.File, name: str) -> None:
    """A chunk that says that it went through no filter, and is too short for that."""
    values = _numbers_of(file, name)
    if values is None or values.nbytes < 2:
        return
    dataset = _remade(file, name, values, _packer(rng))
    data = rng.bytes(int(rng.integers(1, values.nbytes)))
    dataset.id.write_direct_chunk((0,) * values.ndim, data, filter_mask=0xFF)


def _short_source(rng: Random, file: h5py.File, name: str) -> None:
    """A virtual dataset whose source has a chunk that is too short."""
    values = _numbers_of(file, name)
    if values is None:
        return
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["data"] = values
        _short_chunk(rng, other, "data")
    _mapped(file, name, "other.h5", "/data")


def _itself(rng: Random, file: h5py.File, name: str) -> None:
    """A virtual dataset of itself."""
    _mapped(file, name, ".", f"/{name}")


def _mapped(file: h5py.File, name: str, place: str, source: str) -> None:
    shape, dtype = file[name].shape or (1,), file[name].dtype
    del file[name]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(place, source, shape, dtype)
    file.create_virtual_dataset(name, layout)


def _partly_mapped(rng: Random, file: h5py.File, name: str) -> None:
    """A virtual dataset in which some values come from nowhere, or from two places."""
    values = _numbers_of(file, name)
    if values is None:
        return
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["data"] = values
    del file[name]
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    count = len(values)
    for _ in range(2):
        first, length = int(rng.integers(count)), int(rng.integers(1, count + 1))
        length = min(length, count - first)
        source = h5py.VirtualSource("other.h5", "/data", values.shape, values.dtype)
        layout[first : first + length] = source[count - length :]
    file.create_virtual_dataset(name, layout)


def _raw_elsewhere(rng: Random, file: h5py.File, name: str) -> None:
    """Values in a file of another folder."""
    shape, dtype = file[name].shape or (1,), file[name].dtype
    del file[name]
    size = 64 + 4 * int(np.prod(shape)) * dtype.itemsize
    file.create_dataset(name, shape, dtype, external=[(os.__file__, 0, size)])


def _pipe(rng: Random, file: h5py.File, name: str) -> None:
    """A link to a pipe, into which nobody writes."""
    pipe = Path(file.filename).with_name("pipe")
    if not pipe.exists():
        os.mkfifo(pipe)
    del file[name]
    file[name] = h5py.ExternalLink("pipe", "/data")


def _repacked(rng: Random, file: h5py.File, name: str) -> None:
    values = _numbers_of(file, name)
    if values is not None and file[name].shape:
        _remade(file, name, values, _packer(rng))


def _text(rng: Random, file: h5py.File, name: str) -> None:
    """Another text, of any length or of one that is fixed, in a dataset or an attribute that has one."""
    places: list[tuple[Any, str]] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.dtype.kind == "S" or h5py.check_string_dtype(item.dtype)):
            places.append((item, ""))
        places.extend((item, key) for key, value in item.attrs.items() if isinstance(value, str))

    file.visititems(visit)
    if not places:
        return
    item, key = places[int(rng.integers(len(places)))]
    text = TEXTS[int(rng.integers(len(TEXTS)))]
    if key:
        item.attrs[key] = np.bytes_(text[:60_000])
        return
    parent, last, shape = item.parent, item.name, item.shape
    values = np.full(shape, np.bytes_(text or b" "))
    attributes = dict(item.attrs)
    del parent[last]
    dataset = parent.create_dataset(last, data=values)
    for name_, value in attributes.items():
        dataset.attrs[name_] = value


MAY_DIFFER: dict[str, Damage] = {"partly mapped": _partly_mapped, "another text": _text}
SAME_VALUES: dict[str, Damage] = {"other filters": _repacked}
NO_VALUES: dict[str, Damage] = {
    "chunk too short": _short_chunk,
    "filters skipped": _skipped_filters,
    "source too short": _short_source,
    "virtual copy of itself": _itself,
    "raw file elsewhere": _raw_elsewhere,
    "link to a pipe": _pipe,
}
