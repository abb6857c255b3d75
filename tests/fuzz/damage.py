"""Ways to damage a file: its bytes, or what HDF5 keeps in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import claims
import h5py
import numpy as np

Random = np.random.Generator

#: What begins the pieces of metadata of an HDF5 file.
SIGNATURES = re.compile(
    rb"\x89HDF|OHDR|OCHK|TREE|SNOD|HEAP|GCOL|FRHP|FHDB|FHIB|BTHD|BTLF|BTIN|FAHD|FADB|EAHD|EADB|EAIB"
)


# Bytes ----------------------------------------------------------------------------------------------------


def _place(rng: Random, content: bytes, length: int = 1) -> int:
    """Return where damage begins: anywhere, or (every other time) in what says how the data are laid out."""
    last = max(len(content) - length, 0)
    starts = [match.start() for match in SIGNATURES.finditer(content)]
    if starts and rng.random() < 0.5:
        return min(int(rng.choice(starts)) + int(rng.integers(0, 300)), last)
    return int(rng.integers(0, last + 1))


def _length(rng: Random, content: bytes) -> int:
    return min(int(2 ** rng.uniform(2, 13)), max(len(content) // 2, 1))


def _overwritten(content: bytes, start: int, piece: bytes) -> bytes:
    return content[:start] + piece + content[start + len(piece) :]


def flipped_bit(rng: Random, content: bytes) -> bytes:
    """One bit is another."""
    start = _place(rng, content)
    return _overwritten(content, start, bytes([content[start] ^ (1 << int(rng.integers(8)))]))


def changed_bytes(rng: Random, content: bytes) -> bytes:
    """Up to 16 bytes are others, together or apart."""
    for _ in range(int(rng.integers(1, 17))):
        content = _overwritten(content, _place(rng, content), bytes([int(rng.integers(256))]))
    return content


def truncated(rng: Random, content: bytes) -> bytes:
    """The end is missing."""
    return content[: int(rng.integers(0, len(content)))]


def zeroed_block(rng: Random, content: bytes) -> bytes:
    """A block was never written: holes of a sparse file read as zeros."""
    length = _length(rng, content)
    return _overwritten(content, _place(rng, content, length), bytes(length))


def erased_block(rng: Random, content: bytes) -> bytes:
    """A block has all bits set, as erased flash memory has."""
    length = _length(rng, content)
    return _overwritten(content, _place(rng, content, length), b"\xff" * length)


def random_block(rng: Random, content: bytes) -> bytes:
    """A block holds something else."""
    length = _length(rng, content)
    return _overwritten(content, _place(rng, content, length), rng.bytes(length))


def duplicated_block(rng: Random, content: bytes) -> bytes:
    """A block was written over another one."""
    length = _length(rng, content)
    source, target = _place(rng, content, length), _place(rng, content, length)
    return _overwritten(content, target, content[source : source + length])


def swapped_blocks(rng: Random, content: bytes) -> bytes:
    """Two blocks have changed places."""
    length = _length(rng, content)
    one, two = _place(rng, content, length), _place(rng, content, length)
    first, second = content[one : one + length], content[two : two + length]
    return _overwritten(_overwritten(content, one, second), two, first)


def inserted_block(rng: Random, content: bytes) -> bytes:
    """What follows has moved towards the end."""
    start = _place(rng, content)
    return content[:start] + rng.bytes(_length(rng, content)) + content[start:]


def lost_block(rng: Random, content: bytes) -> bytes:
    """What follows has moved towards the beginning."""
    length = _length(rng, content)
    start = _place(rng, content, length)
    return content[:start] + content[start + length :]


BYTES: dict[str, Callable[[Random, bytes], bytes]] = {
    "flipped bit": flipped_bit,
    "changed bytes": changed_bytes,
    "truncated": truncated,
    "zeroed block": zeroed_block,
    "erased block": erased_block,
    "random block": random_block,
    "duplicated block": duplicated_block,
    "swapped blocks": swapped_blocks,
    "inserted block": inserted_block,
    "lost block": lost_block,
}


# What HDF5 keeps ------------------------------------------------------------------------------------------


def _datasets(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(names)


def _groups(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Group) else None)
    return sorted(names)


def _put(file: h5py.File, name: str, values: object, **options: object) -> None:
    """Put other values in the place of a dataset, which keeps its attributes."""
    attributes = dict(file[name].attrs)
    del file[name]
    dataset = file.create_dataset(name, data=values, **options)
    for key, value in attributes.items():
        dataset.attrs[key] = value


def _spoilt(value: float) -> Callable[[Random, h5py.File, str], None]:
    """Return a damage that puts a number in place of one of the values, where there are numbers."""

    def damage(rng: Random, file: h5py.File, name: str) -> None:
        values = np.array(file[name][()])
        if values.dtype.kind not in "fciu" or values.size == 0:
            return
        if values.dtype.kind in "iu":
            values = values.astype("f8")
        with np.errstate(over="ignore", under="ignore"):
            values[np.unravel_index(int(rng.integers(values.size)), values.shape)] = value
        _put(file, name, values)

    return damage


def _other_values(make: Callable[[Random, np.ndarray], object]) -> Callable[[Random, h5py.File, str], None]:
    """Return a damage that makes other values of those that are there."""

    def damage(rng: Random, file: h5py.File, name: str) -> None:
        _put(file, name, make(rng, np.array(file[name][()])))

    return damage


def _numbers(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind in "fciub" else np.arange(max(values.size, 1), dtype=float)


def _complex(rng: Random, values: np.ndarray) -> object:
    return values if values.dtype.kind == "c" else _numbers(values) + 1j


def _compound(rng: Random, values: np.ndarray) -> object:
    return np.zeros(values.shape, [("a", "f4"), ("b", "i2")])


def _integers(rng: Random, values: np.ndarray) -> object:
    with np.errstate(invalid="ignore"):  # of NaN
        return _numbers(values).real.astype("i8")


def _strings(rng: Random, values: np.ndarray) -> object:
    return np.full(values.shape, b"a string")


def _objects(rng: Random, values: np.ndarray) -> object:
    return np.full(values.shape, "an object", dtype=h5py.string_dtype())


def _other_shape(rng: Random, values: np.ndarray) -> object:
    values = np.atleast_1d(values)
    ways = [
        values[: max(len(values) - 1, 0)],
        np.concatenate([values, values]),
        values.reshape(-1)[:1].reshape(()),
        values[None, None],
        values.T[..., None],
        values[:0],
        np.broadcast_to(values.reshape(-1)[:1], (3, 5, 7, 2)) if values.size else values[None],
    ]
    return ways[int(rng.integers(len(ways)))]


def _ragged(rng: Random, file: h5py.File, name: str) -> None:
    shape = np.shape(file[name])
    del file[name]
    dataset = file.create_dataset(name, (max(int(np.prod(shape)), 1),), dtype=h5py.vlen_dtype("f8"))
    dataset[0] = np.arange(3.0)


def _empty(rng: Random, file: h5py.File, name: str) -> None:
    dtype = file[name].dtype
    del file[name]
    file[name] = h5py.Empty(dtype)


def _huge(rng: Random, file: h5py.File, name: str) -> None:
    """A dataset of many terabytes, none of which was ever written."""
    shape, dtype = file[name].shape, file[name].dtype
    large = (10**11, *shape[1:])
    if len(shape) in (1, 2) and rng.random() < 0.5:
        large = tuple(int(size) * 10**6 for size in shape)
    del file[name]
    if rng.random() < 0.5:
        file.create_dataset(name, large, dtype, chunks=tuple(min(size, 64) for size in large))
    else:
        file.create_dataset(name, large, dtype)


def _unwritten(rng: Random, file: h5py.File, name: str) -> None:
    """The shape is right, the values were never written."""
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    chunks = tuple(max(size // 2, 1) for size in shape) if shape and 0 not in shape else None
    file.create_dataset(name, shape, dtype, chunks=chunks if rng.random() < 0.5 else None)


def _partly_written(rng: Random, file: h5py.File, name: str) -> None:
    """One chunk of several was written: HDF5 gives zeros for the others."""
    values = file[name][()]
    if not np.shape(values) or 0 in np.shape(values) or values.dtype.kind not in "fciu":
        return
    del file[name]
    chunks = tuple(max(size // 2, 1) for size in values.shape)
    dataset = file.create_dataset(name, values.shape, values.dtype, chunks=chunks)
    first = tuple(slice(0, size) for size in chunks)
    dataset[first] = values[first]


def _removed(rng: Random, file: h5py.File, name: str) -> None:
    del file[name]


def _group(rng: Random, file: h5py.File, name: str) -> None:
    del file[name]
    file.create_group(name)["data"] = 1


def _removed_group(rng: Random, file: h5py.File, name: str) -> None:
    del file[str(rng.choice(_groups(file)))]


def _dataset_for_group(rng: Random, file: h5py.File, name: str) -> None:
    group = str(rng.choice(_groups(file)))
    del file[group]
    file[group] = 1.0


def _dangling(rng: Random, file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = h5py.SoftLink("/nowhere/at all")


def _looping(rng: Random, file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = h5py.SoftLink("/" + name)


def _hard_loop(rng: Random, file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = file["/"]


def _external_missing(rng: Random, file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = h5py.ExternalLink("not there.h5", "/data")


def _external_loop(rng: Random, file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = h5py.ExternalLink(Path(file.filename).name, "/" + name)


def _external_other(rng: Random, file: h5py.File, name: str) -> None:
    """An external link to a file that is no HDF5 file."""
    other = Path(file.filename).with_name("other.txt")
    other.write_bytes(b"not HDF5" * 100)
    del file[name]
    file[name] = h5py.ExternalLink(other.name, "/data")


def _external_good(rng: Random, file: h5py.File, name: str) -> None:
    """An external link to a copy in another file: nothing is wrong with that."""
    other = Path(file.filename).with_name("other.h5")
    with h5py.File(other, "w") as target:
        file.copy(name, target, "data")
    del file[name]
    file[name] = h5py.ExternalLink(other.name, "/data")


def _virtual_missing(rng: Random, file: h5py.File, name: str) -> None:
    """A virtual dataset whose source is not there: HDF5 gives zeros for it without a word."""
    shape, dtype = file[name].shape, file[name].dtype
    if not shape:
        shape = (1,)
    del file[name]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("not there.h5", "/data", shape, dtype)
    file.create_virtual_dataset(name, layout)


def _virtual_good(rng: Random, file: h5py.File, name: str) -> None:
    """A virtual dataset of a copy in another file: nothing is wrong with that."""
    shape, dtype = file[name].shape, file[name].dtype
    if not shape or dtype.kind not in "fciu":
        return
    _external_good(rng, file, name)
    del file[name]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("other.h5", "/data", shape, dtype)
    file.create_virtual_dataset(name, layout)


def _raw_missing(rng: Random, file: h5py.File, name: str) -> None:
    """Values in a raw file that is not there."""
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    size = 64 + 4 * int(np.prod(shape)) * dtype.itemsize  # texts take more than NumPy says
    file.create_dataset(name, shape or (1,), dtype, external=[("not there.raw", 0, size)])


def _bad_chunk(rng: Random, file: h5py.File, name: str) -> None:
    """A compressed chunk that is not what its compressor wrote."""
    values = np.atleast_1d(file[name][()])
    if 0 in values.shape:
        return
    del file[name]
    dataset = file.create_dataset(name, data=values, chunks=values.shape, compression="gzip")
    dataset.id.write_direct_chunk((0,) * values.ndim, rng.bytes(int(rng.integers(1, 200))))


def _rechunked(rng: Random, file: h5py.File, name: str) -> None:
    """Other chunks and another compression, the values as they were."""
    values = file[name][()]
    if not np.shape(values) or 0 in np.shape(values):
        return
    chunks = tuple(int(rng.integers(1, size + 1)) for size in values.shape)
    _put(file, name, values, chunks=chunks, compression=str(rng.choice(["gzip", "lzf"])))


def _other_order(rng: Random, file: h5py.File, name: str) -> None:
    """The other order of bytes, the values as they were."""
    values = np.array(file[name][()])
    if values.dtype.kind in "fiu":
        _put(file, name, values.astype(values.dtype.newbyteorder()))


def _any_with_attributes(rng: Random, file: h5py.File) -> h5py.Group | h5py.Dataset | None:
    places = [item for name in ["/", *_groups(file), *_datasets(file)] if (item := file[name]).attrs]
    return places[int(rng.integers(len(places)))] if places else None


def _attribute_removed(rng: Random, file: h5py.File, name: str) -> None:
    item = _any_with_attributes(rng, file)
    if item is not None:
        del item.attrs[str(rng.choice(list(item.attrs)))]


def _attribute_other(rng: Random, file: h5py.File, name: str) -> None:
    item = _any_with_attributes(rng, file)
    if item is None:
        return
    values = [
        1,
        -1,
        2.5,
        np.nan,
        "text",
        b"\xff\xfe",
        np.arange(5),
        h5py.Empty("f4"),
        np.zeros((2, 0)),
        10**18,
    ]
    values += [np.array(["a", "b"], dtype=h5py.string_dtype()), np.zeros(2, [("a", "i4")]), 1 + 2j]
    key = str(rng.choice(list(item.attrs)))
    del item.attrs[key]
    item.attrs[key] = values[int(rng.integers(len(values)))]


#: Damage after which a file may still be read, as something else or as what it was: what was lost need not be
#: there, or HDF5 has kept the values.
MAY_DIFFER: dict[str, Callable[[Random, h5py.File, str], None]] = {
    "dataset removed": _removed,
    "group removed": _removed_group,
    "dataset for a group": _dataset_for_group,
    "group for a dataset": _group,
    "dangling link": _dangling,
    "link to itself": _looping,
    "link to the root": _hard_loop,
    "partly written": _partly_written,
    "attribute removed": _attribute_removed,
    "attribute of another kind": _attribute_other,
    "negative": _spoilt(-3.0),
    "value of 1e300": _spoilt(1e300),
    "value of 1e-300": _spoilt(1e-300),
    "all zero": _other_values(lambda rng, values: np.zeros_like(_numbers(values))),
    "integers": _other_values(_integers),
    "half precision": _other_values(lambda rng, values: _numbers(values).real.clip(-6e4, 6e4).astype("f2")),
    "booleans": _other_values(lambda rng, values: _numbers(values).real > 0),
    "another shape": _other_values(_other_shape),
    "strings": _other_values(_strings),
    "objects": _other_values(_objects),
    **claims.MAY_DIFFER,
}

#: Damage after which the values are what they were: an error, or the right answer.
SAME_VALUES: dict[str, Callable[[Random, h5py.File, str], None]] = {
    "other chunks": _rechunked,
    "other order of bytes": _other_order,
    "external link to a copy": _external_good,
    "virtual copy": _virtual_good,
    **claims.SAME_VALUES,
}

#: Damage after which the dataset has no values that could be right: an error, unless nobody reads it.
NO_VALUES: dict[str, Callable[[Random, h5py.File, str], None]] = {
    "NaN": _spoilt(np.nan),
    "infinity": _spoilt(-np.inf),
    "complex": _other_values(_complex),
    "compound": _other_values(_compound),
    "lists of values": _ragged,
    "empty": _empty,
    "huge": _huge,
    "never written": _unwritten,
    "external link to nothing": _external_missing,
    "external link to itself": _external_loop,
    "external link to a text": _external_other,
    "virtual, source missing": _virtual_missing,
    "raw file missing": _raw_missing,
    "chunk of nonsense": _bad_chunk,
    **claims.NO_VALUES,
}

STRUCTURE = MAY_DIFFER | SAME_VALUES | NO_VALUES


def damage_structure(rng: Random, way: str, path: Path) -> str:
    """Damage a file through HDF5 in a way of `STRUCTURE`; returns the dataset that was chosen."""
    with h5py.File(path, "r+") as file:
        name = str(rng.choice(_datasets(file)))
        STRUCTURE[way](rng, file, name)
    return name
