"""Prepared data of PtyPy (.ptyd): patterns in chunks with their positions, weights and geometry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import JOULES_PER_KEV, Geometry
from ptyxrf.driver.data.lazy_arrays import CHECKED_VALUES, LazyArray
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.pattern_file import PatternFile
from ptyxrf.driver.files.readers.reader import MeasuredScan, Reader


class ChunkedPatterns(LazyArray):
    """Patterns, or masks of each, in several datasets, one after the other, read as they are sliced.

    Parameters
    ----------
    parts : list of PatternFile

    Attributes
    ----------
    parts
        As given.
    shape : tuple of int
    dtype : dtype
    """

    def __init__(self, parts: list[PatternFile]) -> None:
        self.parts = parts
        self.shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        self.dtype = np.result_type(*(part.dtype for part in parts))
        self._ends = np.cumsum([len(part) for part in parts])

    @property
    def label(self) -> str:
        """File and dataset, for messages."""
        return self.parts[0].label

    def __getitem__(self, key: Any) -> NDArray[Any]:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        wanted = np.arange(len(self))[first if not isinstance(first, tuple) else slice(None)]
        block = np.empty((wanted.size, *self.shape[1:]), self.dtype)
        flat = np.ravel(wanted)
        which = np.searchsorted(self._ends, flat, side="right")
        for number in np.unique(which).tolist():
            here = which == number
            part = self.parts[number]
            block[here] = part[flat[here] - (self._ends[number] - len(part))]
        return block.reshape(*wanted.shape, *self.shape[1:])[(slice(None),) * wanted.ndim + tuple(rest)]


class Weights(PatternFile):
    """Weights of pixels, as masks: True where they are above 0."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.dtype = np.dtype(bool)

    def _read(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        return super()._read(indices) > 0


def _read(reader: Hdf5Reader) -> MeasuredScan:
    chunks = sorted(reader.members("/chunks"), key=lambda name: (len(name), name))
    if not chunks:
        raise reader.error("/chunks", "no data: the scan was prepared without a frame")
    parts, positions = [], []
    for chunk in chunks:
        name = f"/chunks/{chunk}/data"
        dataset = reader.dataset(name)
        if dataset.ndim != 3 or dataset.shape[1] != dataset.shape[2]:
            raise reader.error(name, f"expected square patterns (M, N, N), got shape {dataset.shape}")
        parts.append(PatternFile(reader.path, name, dataset.shape, dataset.dtype))
        place = f"/chunks/{chunk}/positions"
        there = np.asarray(reader.array(place, 2 * dataset.shape[0]), np.float64)
        if there.shape != (dataset.shape[0], 2):
            raise reader.error(place, f"expected ({dataset.shape[0]}, 2) metres, got shape {there.shape}")
        positions.append(there)
    patterns = parts[0] if len(parts) == 1 else ChunkedPatterns(parts)
    rows, columns = np.concatenate(positions).T
    geometry = Geometry(
        JOULES_PER_KEV * reader.number("/meta/energy"), reader.number("/meta/distance"), _pixel(reader)
    )
    size = geometry.pixel_size(patterns.shape[-1])
    return MeasuredScan(
        patterns,
        rows=rows,
        columns=columns,
        pixel_size=(size, size),
        energy=geometry.energy,
        distance=geometry.distance,
        detector_pixel=geometry.detector_pixel,
        arguments={"mask": _mask(reader, chunks, patterns.shape)},
    )


def _pixel(reader: Hdf5Reader) -> float:
    sizes = np.ravel(reader.array("/meta/psize")).astype(np.float64)
    if not (sizes > 0).all() or not np.allclose(sizes, sizes[0], rtol=1e-6):
        raise reader.error("/meta/psize", f"expected square detector pixels in metres, got {sizes.tolist()}")
    return float(sizes[0])


def _mask(reader: Hdf5Reader, chunks: list[str], patterns: tuple[int, ...]) -> Any:
    """Return the mask: weights of 0 are bad pixels; lazy unless all patterns share it."""
    places = [f"/chunks/{chunk}/weights" for chunk in chunks]
    if not reader.has(places[0]):
        places = ["/info/weight2d"]
    if not reader.has(places[0]):
        return None
    if reader.dataset(places[0]).ndim == 2:
        return np.asarray(reader.array(places[0], math.prod(patterns[1:]))) > 0
    datasets = [(name, reader.dataset(name)) for name in places if reader.has(name)]
    if any(there.ndim != 3 or there.shape[1:] != patterns[1:] for _, there in datasets):
        raise reader.error(places[0], f"expected weights of {patterns[1:]} pixels")
    each = ChunkedPatterns([Weights(reader.path, name, there.shape, there.dtype) for name, there in datasets])
    first = each[0]
    step = max(1, CHECKED_VALUES // first.size)
    if all((each[k : k + step] == first).all() for k in range(0, len(each), step)):
        return first
    return each if len(each) == patterns[0] else None


READERS = (
    Reader(
        "PtyPy .ptyd",
        "PtyPy",
        "scan",
        "patterns, positions, weights, geometry",
        lambda reader: reader.has("/chunks") and reader.has("/meta"),
        _read,
    ),
)
