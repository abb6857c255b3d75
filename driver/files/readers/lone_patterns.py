"""Patterns in a file that has nothing else: positions and probe are in the other file of a pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.frame_selection import chosen_frames
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader, reading
from ptyxrf.driver.files.npz_arrays import NpzArray, is_npz
from ptyxrf.driver.files.pattern_file import PatternFile
from ptyxrf.driver.files.readers.partner_file import partner_of
from ptyxrf.driver.files.readers.reader import MeasuredScan

#: Where the patterns are; the last is that of ptychodus' NPZ files.
PLACES = ("/dp", "/entry/data/data", "/exchange/data", "/patterns")
#: What other formats have beside patterns of these names.
OTHERS = (
    "/points", "/scan/scan_positions", "cxi_version", "/entry/instrument/detector/detectorSpecific",
    "/entry/measurement", "/probe_position_x_m", "/ppX",
)  # fmt: skip


def place_of_patterns(reader: Hdf5Reader) -> str | None:
    """Return the name of the patterns of a file that has nothing else that says what it is."""
    if any(reader.has(name) for name in OTHERS):
        return None
    names = [name for name in PLACES if reader.has(name) and getattr(reader.file[name], "ndim", 0) == 3]
    return names[0] if names else None


def is_lone(reader: Hdf5Reader) -> bool:
    """Return whether a file has patterns and nothing else."""
    return place_of_patterns(reader) is not None


def lone_patterns(reader: Hdf5Reader) -> Any:
    """Return the patterns of such a file as a lazy source.

    Raises
    ------
    DamagedFile
        They are not square.
    """
    name = place_of_patterns(reader)
    assert name is not None
    path = Path(reader.path).absolute()
    if is_npz(path):
        patterns: Any = NpzArray(path, name.strip("/"))
    else:
        dataset = reader.dataset(name)
        patterns = PatternFile(path, name, dataset.shape, dataset.dtype)
    if patterns.ndim != 3 or patterns.shape[1] != patterns.shape[2]:
        raise reader.error(name, f"expected square patterns (N, m, m), got shape {patterns.shape}")
    return patterns


def with_lone_patterns(
    together: Callable[[Hdf5Reader, Hdf5Reader], MeasuredScan],
) -> Callable[[Hdf5Reader], MeasuredScan]:
    """Return what reads a scan whose patterns are in the file beside, given what puts the two together."""

    def read(reader: Hdf5Reader) -> MeasuredScan:
        with reading(partner_of(reader.path, is_lone, "diffraction patterns (/dp)")) as frames:
            return together(reader, frames)

    return read


def paired(patterns: Any, numbers: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64]]:
    """Return the patterns that belong to positions, and which positions have one.

    Parameters
    ----------
    patterns : (N, m, m) lazy source
    numbers : (P,) array of int
        Of the pattern of each position; others than 0 to N-1 have none.
    """
    there = np.flatnonzero((numbers >= 0) & (numbers < len(patterns)))
    if len(there) and not np.array_equal(numbers[there], np.arange(len(patterns))):
        patterns = chosen_frames(patterns, numbers[there])
    return patterns, there
