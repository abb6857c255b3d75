"""Products of ptychodus with their patterns, and the pairs of pty-chi: two files in one folder.

A product has the positions of the centre of the probe in metres, the probe, and the pixel of the object; row
and column grow with y and x. The patterns are in a file of their own; positions name them by number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptyxrf.driver.data.frame_selection import chosen_frames
from ptyxrf.driver.data.geometry import JOULES_PER_KEV, PLANCK_TIMES_C
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader, reading
from ptyxrf.driver.files.pattern_file import PatternFile
from ptyxrf.driver.files.readers.partner_file import partner_of
from ptyxrf.driver.files.readers.reader import MeasuredScan, Reader

PATTERN_PLACES = ("/dp", "/entry/data/data", "/exchange/data")
X, Y, NUMBERS = "/probe_position_x_m", "/probe_position_y_m", "/probe_position_indexes"


def _is_product(reader: Hdf5Reader) -> bool:
    return reader.has(X) and reader.has(Y) and reader.has("/probe")


def _patterns_in(reader: Hdf5Reader) -> str | None:
    """Return the name of the patterns of a file that has nothing else that says what it is."""
    if _is_product(reader) or reader.has("/points") or reader.has("cxi_version"):
        return None
    names = [name for name in PATTERN_PLACES if reader.has(name) and reader.file[name].ndim == 3]
    return names[0] if names else None


def _read_product(reader: Hdf5Reader) -> MeasuredScan:
    def fits(other: Hdf5Reader) -> bool:
        return _patterns_in(other) is not None

    with reading(partner_of(reader.path, fits, "diffraction patterns (/dp)")) as other:
        return _together(reader, other)


def _read_patterns(reader: Hdf5Reader) -> MeasuredScan:
    what = "the positions and the probe of a ptychodus product or pty-chi pair"
    with reading(partner_of(reader.path, _is_product, what)) as product:
        return _together(product, reader)


def _together(product: Hdf5Reader, frames: Hdf5Reader) -> MeasuredScan:
    name = _patterns_in(frames)
    assert name is not None
    dataset = frames.dataset(name)
    if dataset.shape[1] != dataset.shape[2]:
        raise frames.error(name, f"expected square patterns (N, m, m), got shape {dataset.shape}")
    patterns: Any = PatternFile(Path(frames.path).absolute(), name, dataset.shape, dataset.dtype)
    x, y = (np.asarray(product.array(place), np.float64) for place in (X, Y))
    # a position without a pattern, or a pattern without a position, is normal
    numbers = np.asarray(product.array(NUMBERS), np.int64) if product.has(NUMBERS) else np.arange(len(x))
    there = np.flatnonzero((numbers >= 0) & (numbers < len(patterns)))
    if not len(there):
        raise product.error(NUMBERS, f"expected numbers of the {len(patterns)} patterns, got none")
    if not np.array_equal(numbers[there], np.arange(len(patterns))):
        patterns = chosen_frames(patterns, numbers[there])
    probe = np.asarray(product.array("/probe"))
    pixels = _pixel_size(product)
    energy, distance = (
        float(product.file.attrs.get(key, 0.0)) for key in ("probe_energy_eV", "detector_object_distance_m")
    )
    energy *= JOULES_PER_KEV / 1e3
    known = energy > 0 and distance > 0 and np.isclose(*pixels, rtol=1e-6)
    detector = PLANCK_TIMES_C / energy * distance / (patterns.shape[-1] * pixels[1]) if known else None
    return MeasuredScan(
        patterns,
        rows=y[there],
        columns=x[there],
        pixel_size=pixels,
        energy=energy if known else None,
        distance=distance if known else None,
        detector_pixel=detector,
        # (coherent modes that vary over the scan, incoherent modes, rows, columns): the first of the former
        arguments={"probe": probe.reshape(-1, *probe.shape[-3:])[0] if probe.ndim > 2 else probe},
    )


def _pixel_size(product: Hdf5Reader) -> tuple[float, float]:
    """Return height and width of a pixel, of the object or of the probe, in metres."""
    for name in ("/object", "/probe"):
        attributes = product.file[name].attrs if product.has(name) else {}
        if "pixel_height_m" in attributes:
            height = float(attributes["pixel_height_m"])
            width = float(attributes.get("pixel_width_m", height))
            if 0 < height < np.inf and 0 < width < np.inf:
                return height, width
    raise product.error("/object", "expected the attribute pixel_height_m, got none that is positive")


READERS = (
    Reader(
        "ptychodus product",
        "ptychodus, ptychozoon, pty-chi",
        "scan",
        "positions, probe, geometry; patterns from the file beside it",
        _is_product,
        _read_product,
    ),
    Reader(
        "patterns of ptychodus",
        "ptychodus, pty-chi",
        "scan",
        "patterns; positions and probe from the product beside it",
        lambda reader: _patterns_in(reader) is not None,
        _read_patterns,
    ),
)
