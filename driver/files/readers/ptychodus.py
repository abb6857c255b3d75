"""Products of ptychodus (HDF5 or NPZ) with their patterns, and pairs of pty-chi: two files in one folder.

A product has the positions of the centre of the probe in metres, the probe, and the pixel of the object; row
and column grow with y and x. The patterns are in a file of their own; positions name them by number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ptyxrf.driver.data.geometry import JOULES_PER_KEV, PLANCK_TIMES_C
from ptyxrf.driver.files.hdf5_reader import MOST_IMAGE_VALUES, Hdf5Reader
from ptyxrf.driver.files.readers.lone_patterns import lone_patterns, paired, with_lone_patterns
from ptyxrf.driver.files.readers.reader import MeasuredScan, Reader

X, Y, NUMBERS = "/probe_position_x_m", "/probe_position_y_m", "/probe_position_indexes"
#: Beside the patterns, in NPZ files: the index of each, and pixels that are bad (1).
INDEXES, BAD_PIXELS = "/indexes", "/bad_pixels"


def is_product(reader: Hdf5Reader) -> bool:
    """Return whether a file is a product, or has the positions of a pty-chi pair."""
    return reader.has(X) and reader.has(Y) and reader.has("/probe")


def together(product: Hdf5Reader, frames: Hdf5Reader) -> MeasuredScan:
    """Return the scan of a product and its patterns.

    Patterns may say to which index they belong, positions of which index they are.
    """
    patterns = lone_patterns(frames)
    x, y = (np.asarray(product.array(place), np.float64) for place in (X, Y))
    # a position without a pattern, or a pattern without a position, is normal
    numbers = np.asarray(product.array(NUMBERS), np.int64) if product.has(NUMBERS) else np.arange(len(x))
    if frames.has(INDEXES):
        place = {index: number for number, index in enumerate(np.ravel(frames.array(INDEXES)).tolist())}
        numbers = np.array([place.get(number, -1) for number in numbers.tolist()], dtype=np.int64)
    patterns, there = paired(patterns, numbers)
    if not len(there):
        raise product.error(NUMBERS, f"expected numbers of the {len(patterns)} patterns, got none")
    probe = np.asarray(product.array("/probe", MOST_IMAGE_VALUES))
    pixels = _pixel_size(product)
    energy = _number(product, "probe_energy_eV", "photon_energy_eV") * JOULES_PER_KEV / 1e3
    distance = _number(product, "detector_object_distance_m")
    known = energy > 0 and distance > 0 and np.isclose(*pixels, rtol=1e-6)
    detector = PLANCK_TIMES_C / energy * distance / (patterns.shape[-1] * pixels[1]) if known else None
    arguments: dict[str, Any] = {}
    if frames.has(BAD_PIXELS):
        arguments["mask"] = np.asarray(frames.array(BAD_PIXELS, patterns.shape[-1] ** 2)) == 0
    return MeasuredScan(
        patterns,
        rows=y[there],
        columns=x[there],
        pixel_size=pixels,
        energy=energy if known else None,
        distance=distance if known else None,
        detector_pixel=detector,
        # (coherent modes that vary over the scan, incoherent modes, rows, columns): the first of the former
        arguments=arguments | {"probe": probe.reshape(-1, *probe.shape[-3:])[0] if probe.ndim > 2 else probe},
    )


def _number(product: Hdf5Reader, *names: str) -> float:
    """Return an attribute of an HDF5 product, or an array of one in NPZ; 0 without either."""
    for name in names:
        if name in product.file.attrs:
            return float(product.file.attrs[name])
        if product.has(name):
            return product.number(name)
    return 0.0


def _pixel_size(product: Hdf5Reader) -> tuple[float, float]:
    """Return height and width of a pixel, of the object or of the probe, in metres."""
    for name in ("/object", "/probe"):
        attributes = product.file[name].attrs if product.has(name) else {}
        height, width = (
            float(attributes.get(f"pixel_{side}_m", 0)) or _number(product, f"{name}_pixel_{side}_m")
            for side in ("height", "width")
        )
        width = width or height
        if 0 < height < np.inf and 0 < width < np.inf:
            return height, width
    raise product.error("/object", "expected the attribute pixel_height_m, got none that is positive")


READERS = (
    Reader(
        "ptychodus product",
        "ptychodus, ptychozoon, pty-chi",
        "scan",
        "positions, probe, geometry (HDF5 or NPZ); patterns from the file beside it",
        is_product,
        with_lone_patterns(together),
    ),
)
