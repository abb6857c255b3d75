"""A file of patterns alone, with the file beside it that has their positions: of ptychodus or fold_slice."""

from __future__ import annotations

from ptyxrf.driver.files.hdf5_reader import Hdf5Reader, reading
from ptyxrf.driver.files.readers import fold_slice, ptychodus
from ptyxrf.driver.files.readers.lone_patterns import is_lone
from ptyxrf.driver.files.readers.partner_file import partner_of
from ptyxrf.driver.files.readers.reader import MeasuredScan, Reader


def _has_positions(reader: Hdf5Reader) -> bool:
    return ptychodus.is_product(reader) or fold_slice.has_positions(reader)


def _read(frames: Hdf5Reader) -> MeasuredScan:
    what = "the positions of a ptychodus product, a pty-chi or a fold_slice pair"
    with reading(partner_of(frames.path, _has_positions, what)) as positions:
        kind = ptychodus if ptychodus.is_product(positions) else fold_slice
        return kind.together(positions, frames)


READERS = (
    Reader(
        "patterns of a pair",
        "ptychodus, pty-chi, fold_slice",
        "scan",
        "patterns; positions (and a probe) from the file beside it",
        is_lone,
        _read,
    ),
)
