"""Pairs of fold_slice (PtychoShelves): patterns in ``*_dp.hdf5``, positions in ``*_para.hdf5``.

Positions ppX, ppY are metres; the wavelength, the pixel of the object and the angle are beside them where the
scan was measured. In MATLAB, fold_slice takes positions (-ppY, -ppX) for frames whose axes are exchanged
against HDF5; with the flips that go with files of the APS, and in ptychodus, rows grow with ppY, columns with
ppX.
"""

from __future__ import annotations

import numpy as np

from ptyxrf.driver.data.geometry import PLANCK_TIMES_C
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.readers.lone_patterns import lone_patterns, with_lone_patterns
from ptyxrf.driver.files.readers.reader import MeasuredScan, Reader

X, Y, WAVELENGTH, PIXEL = "/ppX", "/ppY", "/lambda", "/dx"


def has_positions(reader: Hdf5Reader) -> bool:
    """Return whether a file has the positions of a pair."""
    return reader.has(X) and reader.has(Y)


def together(positions: Hdf5Reader, frames: Hdf5Reader) -> MeasuredScan:
    """Return the scan of a pair."""
    patterns = lone_patterns(frames)
    columns, rows = (np.ravel(positions.array(name)).astype(np.float64) for name in (X, Y))
    if not len(columns) == len(rows) == len(patterns):
        raise positions.error(X, f"expected {len(patterns)} positions, one for each pattern, got {len(rows)}")
    if not positions.has(PIXEL):
        raise positions.error(
            PIXEL, "no such dataset in the file: ptyxrf prepare takes energy, distance and detector pixel"
        )
    pixel = positions.number(PIXEL)
    if not 0 < pixel < np.inf:
        raise positions.error(PIXEL, f"expected the pixel of the object in metres, got {pixel}")
    wavelength = positions.number(WAVELENGTH) if positions.has(WAVELENGTH) else 0.0
    known = 0 < wavelength < np.inf
    # neither file has a distance; with any, the detector's pixel is what makes the pixel of the object
    return MeasuredScan(
        patterns,
        rows=rows,
        columns=columns,
        pixel_size=(pixel, pixel),
        energy=PLANCK_TIMES_C / wavelength if known else None,
        distance=1.0 if known else None,
        detector_pixel=wavelength / (patterns.shape[-1] * pixel) if known else None,
    )


READERS = (
    Reader(
        "fold_slice pair",
        "fold_slice, PtychoShelves",
        "scan",
        "positions, wavelength, pixel of the object; patterns from the file beside it",
        has_positions,
        with_lone_patterns(together),
    ),
)
