"""The illumination sum_j |P_j|^2 of the object, and the area where it is strong enough to know the object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.kernels.patches import add_illumination
from ptyxrf.parallel.halo import HaloField
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.tile import Tile, whole_plane

#: A pixel is illuminated where sum_j |P_j|^2 exceeds this fraction of its maximum.
ILLUMINATED = 1e-3


def illumination(scan: Scan, probe: NDArray | None = None) -> NDArray[np.float64]:
    """Return sum_j |P_j|^2 on the object grid, with each probe at the integer corner of its position.

    Parameters
    ----------
    scan : Scan
    probe : (K, m, m) array of complex, optional
        Default: the probe of the scan.

    Returns
    -------
    (n_rows, n_cols) array of float64
    """
    return illumination_part(scan, whole_plane(scan.shape, scan.N), Ranks(), probe)


def illuminated_area(scan: Scan, probe: NDArray | None = None) -> NDArray[np.bool_]:
    """Return where the object is illuminated: sum_j |P_j|^2 > 1e-3 of its maximum.

    Errors are compared and pictures are drawn on this area: outside it the data do not determine the object.

    Parameters
    ----------
    scan : Scan
    probe : (K, m, m) array of complex, optional
        Default: the probe of the scan. Its scale does not matter.

    Returns
    -------
    (n_rows, n_cols) array of bool
    """
    intensity = illumination(scan, probe)
    return intensity > ILLUMINATED * intensity.max()


def illumination_part(
    scan: Scan, tile: Tile, ranks: Ranks, probe: NDArray | None = None
) -> NDArray[np.float64]:
    """Return `illumination` on the pixels that a rank owns; all ranks take part."""
    field = HaloField(ranks, tile, 1, np.float64)
    corners = scan.corners[tile.positions] - (tile.covered.row_start, tile.covered.column_start)
    probe = np.array(scan.probe if probe is None else probe, np.complex128)  # a copy, which can be written
    count = len(corners)
    add_illumination(probe[None], np.zeros(count, np.int64), corners, np.ones(count), 1, field.covered[0])
    intensity = field.collect()[0]
    field.close()
    return intensity


def illuminated_part(scan: Scan, tile: Tile, ranks: Ranks) -> NDArray[np.bool_]:
    """Return the illuminated area on the pixels that a rank owns; all ranks take part."""
    intensity = illumination_part(scan, tile, ranks)
    return intensity > ILLUMINATED * ranks.largest(float(intensity.max(initial=0.0)))[0]


def covers(scan: Scan) -> bool:
    """Return whether the fluorescence sees all of the object, so that its maps are a good start.

    A map on the grid does. Counts at the positions do where the illumination of all positions together has
    the area of the grid: N (sum |P|^2)^2 / sum |P|^4 pixels. Gaps between positions would keep their start.
    """
    if scan.sampling != "scan":
        return True
    illumination = (np.abs(scan.probe) ** 2).sum(axis=0)
    area = float(illumination.sum() ** 2 / (illumination**2).sum())
    return scan.N * area >= scan.shape[0] * scan.shape[1]
