"""Digests that identify the data of a scan, on any number of ranks.

Each rank sums checksums of the data that it reads, at a fraction of the time of reading; small data are
replicated and have a cryptographic digest.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.kernels.checksum import checksum
from ptyxrf.kernels.kept_counts import KeptCounts
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.tile import Tile

#: Patterns whose checksum is taken together.
TOGETHER = 64

#: What belongs to the data besides patterns and fluorescence: small, and the same on every rank.
SMALL = (
    "shape", "positions", "probe", "exposure", "attenuation", "sensitivity", "background", "count_scale",
    "fluorescence_count_scale", "fluorescence_variance", "pattern_background", "sampling", "blur",
    "sensitivity_error",
)  # fmt: skip


def tile_checksum(tile: Tile, fields: NDArray[Any]) -> np.uint64:
    """Return this rank's share in the checksum of fields on the whole grid.

    Parameters
    ----------
    tile : Tile
    fields : (C, rows, columns) array
        On the owned pixels; numbers of 4, 8 or 16 bytes.
    """
    owned, (rows, columns) = tile.owned, tile.grid
    lines = (np.arange(len(fields)) * rows)[:, None] + np.arange(owned.row_start, owned.row_stop)
    starts = lines.reshape(-1) * columns + owned.column_start
    return checksum(fields.reshape(len(starts), owned.shape[1]), starts)


def digest_patterns(tile: Tile, ranks: Ranks, amplitudes: NDArray[Any] | KeptCounts) -> int:
    """Return the checksum of all patterns; all ranks take part.

    Parameters
    ----------
    tile : Tile
    ranks : Ranks
    amplitudes : (n, m, m) array of float, or KeptCounts
        Those of ``tile.positions`` as they were read (-1 under the mask).
    """
    pixels, share = amplitudes.shape[1] * amplitudes.shape[2], 0
    for first in range(0, len(amplitudes), TOGETHER):
        rows = amplitudes[first : first + TOGETHER]
        starts = tile.positions[first : first + TOGETHER] * pixels
        share += int(checksum(rows.reshape(len(rows), pixels), starts))
    return ranks.checksums(np.uint64(share % 2**64))[0]


def digest_fluorescence(scan: Scan, tile: Tile, ranks: Ranks, net: NDArray[np.float64]) -> int:
    """Return the checksum of all fluorescence data; all ranks take part.

    Parameters
    ----------
    scan : Scan
    tile : Tile
    ranks : Ranks
    net : (N_e, rows, columns) or (N_e, n) array of float64
        On the owned pixels or at ``tile.positions``.
    """
    if scan.sampling == "grid":
        return ranks.checksums(tile_checksum(tile, net))[0]
    starts = (np.arange(scan.N_e) * scan.N)[:, None] + tile.positions
    return ranks.checksums(checksum(net.reshape(-1, 1), starts.reshape(-1)))[0]


def digest_of(*values: ArrayLike | None) -> str:
    """Return the SHA-256 of arrays with their types and shapes, in hexadecimal digits."""
    digest = hashlib.sha256()
    for value in values:
        array = np.asarray("none" if value is None else value)
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def scan_digest(scan: Scan, checksums: dict[str, int]) -> dict[str, str]:
    """Return a digest of each part of a scan's data.

    Parameters
    ----------
    scan : Scan
    checksums : dict
        Of the data that were read, see `ptyxrf.driver.objective.objective.Objective`.

    Returns
    -------
    dict of str to str
        By the names of the scan's attributes, hexadecimal digits.
    """
    parts = {name: f"{value:016x}" for name, value in checksums.items()}
    parts |= {name: digest_of(getattr(scan, name)) for name in SMALL}
    if scan.phase_shift is not None:
        parts["phase_shift"] = digest_of(scan.phase_shift)
    elif scan.geometry is not None:  # with names and energy, the tables have optical constants
        parts["element_names"] = digest_of(scan.element_names)
        parts["geometry"] = digest_of(scan.geometry.energy)
    if not np.array_equal(scan.fluorescence_exposure, scan.exposure):  # else it is named with the exposure
        parts["fluorescence_exposure"] = digest_of(scan.fluorescence_exposure)
    return parts
