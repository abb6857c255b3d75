"""Whether the fluorescence sees the whole object."""

from __future__ import annotations

import numpy as np

from ptyxrf.driver.data.scan import Scan


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
