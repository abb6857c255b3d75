"""The pixels that a picture of a result shows: all of them, or a sample of those that several ranks hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.reconstruction.illumination import illumination, illumination_part
from ptyxrf.parallel.gather import PARTS
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed
from ptyxrf.parallel.tile import Tile

#: Longest edge, in samples, of a picture of a tiled result: this bounds the memory of the first rank.
LONGEST_EDGE = 1024


@dataclass(frozen=True)
class DrawnPixels:
    """Samples of all quantities on the object grid.

    Attributes
    ----------
    step : int
        Rows and columns from one sample to the next.
    illumination : (rows, columns) array of float
        sum_j |P_j|^2.
    object : (rows, columns) array of complex
    elements, true_elements : (N_e, rows, columns) arrays of float
        Empty where there are none.
    counts : (N_e, rows, columns) or (N_e, N) array of float, or None
        Fluorescence on the grid or at the positions.
    """

    step: int
    illumination: NDArray[np.float64]
    object: NDArray[Any]
    elements: NDArray[Any]
    true_elements: NDArray[Any]
    counts: NDArray[np.float64] | None


def drawn_pixels(result: Result, scan: Scan) -> DrawnPixels:
    """Return all pixels of a result in one process."""
    truth = scan.truth.get("elements")
    return DrawnPixels(
        1,
        illumination(scan, result.probe),
        result.object,
        result.elements,
        np.zeros((0, *scan.shape)) if truth is None else np.asarray(truth, dtype=np.float64),
        None if scan.fluorescence is None else np.asarray(scan.fluorescence, dtype=np.float64),
    )


def gather_drawn_pixels(part: Result, scan: Scan, tile: Tile, ranks: Ranks) -> DrawnPixels | None:
    """Return samples of the ranks' parts on the first rank, None on the others; all ranks take part.

    There are at most `LONGEST_EDGE` samples along an edge, whatever the size of the object.
    """
    step = -(-max(tile.grid) // LONGEST_EDGE)
    rows, columns = tile.owned.row_start, tile.owned.column_start
    thin = (..., slice(-rows % step, None, step), slice(-columns % step, None, step))
    truth = scan.truth.get("elements")
    grid = scan.fluorescence is not None and scan.sampling == "grid"
    owned = (slice(None), *tile.owned.slices)
    local = {
        "illumination": illumination_part(scan, tile, ranks, part.probe)[thin],
        "object": part.object[thin],
        "elements": part.elements[thin],
        "true_elements": np.zeros((0, *tile.owned.shape))[thin]
        if truth is None
        else agreed(ranks.comm, lambda: np.asarray(truth[owned], dtype=np.float64)[thin]),
        "counts": agreed(ranks.comm, lambda: np.asarray(scan.fluorescence[owned], dtype=np.float64)[thin])
        if grid
        else None,
    }
    corner = -(-rows // step), -(-columns // step)
    with PARTS:
        parts = ranks.comm.gather((corner, local), root=0)
    if parts is None:
        return None
    shape = -(-tile.grid[0] // step), -(-tile.grid[1] // step)
    whole: dict[str, Any] = {}
    for name, values in local.items():
        if values is None:
            whole[name] = None
            continue
        whole[name] = np.zeros((*values.shape[:-2], *shape), values.dtype)
        for (row, column), pieces in parts:
            piece = pieces[name]
            whole[name][..., row : row + piece.shape[-2], column : column + piece.shape[-1]] = piece
    if scan.sampling == "scan":
        whole["counts"] = np.asarray(scan.fluorescence, dtype=np.float64)
    return DrawnPixels(step, **whole)
