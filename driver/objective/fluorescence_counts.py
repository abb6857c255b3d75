"""Read a rank's part of the fluorescence data, and sum over all ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.data_checks import measured_elements
from ptyxrf.driver.data.scan import Scan
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed
from ptyxrf.parallel.tile import Tile


@dataclass(frozen=True)
class FluorescenceData:
    """Properties of the counts of all ranks.

    Attributes
    ----------
    measured : (N_e,) array of bool
        Which elements have data.
    mean_modulus, mean_square, total : (N_e,) arrays of float64
        mean |D_e|, mean (D_e - B_e)^2 and sum max(D_e, 0), over all samples that are not lost.
    whole : bool
        Whether all counts are whole numbers.
    lost : (N_e, ...) array of bool or None
        Which samples of this rank are missing in maps that have data; None where none is on any rank.
    """

    measured: NDArray[np.bool_]
    mean_modulus: NDArray[np.float64]
    mean_square: NDArray[np.float64]
    total: NDArray[np.float64]
    whole: bool
    lost: NDArray[np.bool_] | None = None


def _read(scan: Scan, tile: Tile) -> NDArray[np.float64]:
    """Read this rank's counts."""
    if scan.sampling == "grid":
        return np.array(scan.fluorescence[(slice(None), *tile.owned.slices)], dtype=np.float64)
    order = np.argsort(tile.positions)
    counts = np.empty((scan.N_e, len(order)))
    # a file is read in one piece and in its order
    chosen = tile.positions[order]
    if len(chosen):
        first = int(chosen[0])
        piece = np.asarray(scan.fluorescence[:, first : int(chosen[-1]) + 1], dtype=np.float64)
        counts[:, order] = piece[:, chosen - first]
    return counts


def load_fluorescence(scan: Scan, tile: Tile, ranks: Ranks) -> tuple[NDArray[np.float64], FluorescenceData]:
    """Read the counts of a rank; all ranks take part.

    Parameters
    ----------
    scan : Scan
        With fluorescence.
    tile : Tile
    ranks : Ranks

    Returns
    -------
    net : (N_e, rows, columns) or (N_e, n) array of float64
        D_e - B_e on the owned pixels, or at the rank's positions in their order; 0 where there are no data.
    data : FluorescenceData

    Raises
    ------
    ValueError
        On every rank, if a map cannot be read or has infinite values.
    """
    counts = agreed(ranks.comm, lambda: _read(scan, tile))
    flat = counts.reshape(scan.N_e, -1)
    missing, infinite = np.isnan(flat), np.isinf(flat)
    gone = ranks.sum(np.stack([missing.sum(axis=1), infinite.sum(axis=1)]).astype(np.float64)).astype(
        np.int64
    )

    def first_bad(e: int) -> int:
        """Return the flat index, in the whole map, of the first infinite value of all ranks."""
        bad = np.flatnonzero(np.isinf(flat[e]))
        if scan.sampling == "grid":
            rows, columns = np.unravel_index(bad, counts.shape[1:])
            places = (rows + tile.owned.row_start) * scan.shape[1] + columns + tile.owned.column_start
        else:
            places = tile.positions[bad]
        (largest,) = ranks.largest(float(-places.min()) if len(places) else -np.inf)
        return -int(largest)

    measured = measured_elements(gone[0], gone[1], scan.fluorescence.shape, first_bad)
    known: NDArray[Any] = np.where(missing, 0.0, flat)
    net = np.where(missing, 0.0, flat - scan.background[:, None])
    sums = np.stack([np.abs(known).sum(axis=1), (net**2).sum(axis=1), np.maximum(known, 0).sum(axis=1)])
    sums = ranks.sum(sums)
    samples = np.maximum(np.prod(scan.fluorescence.shape[1:]) - gone[0], 1)
    lost = (missing & measured[:, None]).reshape(counts.shape)
    whole = not ranks.any(bool((known != np.round(known)).any()))
    data = FluorescenceData(
        measured,
        sums[0] / samples,
        sums[1] / samples,
        sums[2],
        whole,
        lost if ranks.any(bool(lost.any())) else None,
    )
    return net.reshape(counts.shape), data
