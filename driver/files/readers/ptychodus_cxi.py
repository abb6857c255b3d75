"""Products of ptychodus in CXI, with the patterns in the CXI file beside them or in the same file.

The positions are those of the centre of the probe, without the sign that other programs give the translation
of the sample: row and column grow with y and x. What CXI has no place for is in a group ``ptychodus``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptyxrf.driver.data.geometry import PLANCK_TIMES_C
from ptyxrf.driver.files.cxi import DETECTOR, ENTRY, MASK, PATTERNS, SOURCE, TRANSLATION
from ptyxrf.driver.files.hdf5_reader import MOST_IMAGE_VALUES, Hdf5Reader, reading
from ptyxrf.driver.files.pattern_file import PatternFile
from ptyxrf.driver.files.readers.lone_patterns import paired
from ptyxrf.driver.files.readers.partner_file import partner_of
from ptyxrf.driver.files.readers.quantities import energy, lengths
from ptyxrf.driver.files.readers.reader import MeasuredScan, Reader

NUMBERS, PROBE = f"{ENTRY}/ptychodus/probe_position_indexes", f"{ENTRY}/image_1/data"
HEIGHT, WIDTH = (f"{ENTRY}/ptychodus/object_pixel_{side}_m" for side in ("height", "width"))


def _read(product: Hdf5Reader) -> MeasuredScan:
    if product.has(PATTERNS):
        return _together(product, product)
    beside = partner_of(product.path, lambda file: file.has(PATTERNS), f"diffraction patterns ({PATTERNS})")
    with reading(beside) as frames:
        return _together(product, frames)


def _together(product: Hdf5Reader, frames: Hdf5Reader) -> MeasuredScan:
    dataset = frames.dataset(PATTERNS)
    if dataset.ndim != 3 or dataset.shape[1] != dataset.shape[2]:
        raise frames.error(PATTERNS, f"expected square patterns (N, m, m), got shape {dataset.shape}")
    m = dataset.shape[-1]
    patterns: Any = PatternFile(Path(frames.path).absolute(), PATTERNS, dataset.shape, dataset.dtype)
    places, numbers = lengths(product, TRANSLATION), np.asarray(product.array(NUMBERS))
    if places.shape != (numbers.size, 3) or numbers.dtype.kind not in "iu":
        raise product.error(TRANSLATION, f"expected ({numbers.size}, 3) metres, got shape {places.shape}")
    patterns, there = paired(patterns, numbers.ravel().astype(np.int64))
    if not len(there):
        raise product.error(NUMBERS, f"expected numbers of the {len(dataset)} patterns, got none")
    height, width = product.number(HEIGHT), product.number(WIDTH)
    if not (0 < height < np.inf and 0 < width < np.inf):
        raise product.error(HEIGHT, f"expected the pixel of the object in metres, got {height} x {width}")
    probe = np.asarray(product.array(PROBE, MOST_IMAGE_VALUES))
    # (modes that vary over the scan, incoherent modes, rows, columns): the first of the former
    arguments: dict[str, Any] = {
        "probe": probe.reshape(-1, *probe.shape[-3:])[0] if probe.ndim > 2 else probe
    }
    if frames.has(MASK):
        arguments["mask"] = np.asarray(frames.array(MASK, m * m)) == 0
    photon, distance = energy(product, f"{SOURCE}/energy"), abs(product.number(f"{DETECTOR}/distance"))
    known = 0 < distance < np.inf and bool(np.isclose(height, width, rtol=1e-6, atol=0))
    return MeasuredScan(
        patterns,
        rows=places[there, 1],
        columns=places[there, 0],
        pixel_size=(height, width),
        energy=photon if known else None,
        distance=distance if known else None,
        detector_pixel=PLANCK_TIMES_C / photon * distance / (m * width) if known else None,
        arguments=arguments,
    )


READERS = (
    Reader(
        "ptychodus CXI",
        "ptychodus",
        "scan",
        "positions, probe, geometry; patterns of the same file or of the CXI file beside it",
        lambda reader: reader.has(NUMBERS) and reader.has(TRANSLATION) and reader.has(PROBE),
        _read,
    ),
)
