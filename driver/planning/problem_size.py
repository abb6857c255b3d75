"""The sizes of a reconstruction, from which its plan follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.local_data import blur_reach
from ptyxrf.parallel.partition import Reach

NO_REACH = Reach()


@dataclass(frozen=True)
class ProblemSize:
    """The sizes of a reconstruction.

    Attributes
    ----------
    corners : (N, 2) array of int64
        (row, column) of the first pixel of each patch.
    m : int
        Edge of a pattern in pixels.
    grid : (int, int)
        Rows and columns of the object.
    modes, elements : int
        Number of probe modes and of elements.
    sampling : {"grid", "scan", None}
    method : {"joint", "ptychography", "fluorescence"}
    precision : {"single", "double"}
    fractional, refine_probe : bool
        Whether positions have fractions, and whether the probe is an unknown.
    reach : Reach
        Pixels beyond its tile that a rank needs for the blur of the maps.
    """

    corners: NDArray[np.int64]
    m: int
    grid: tuple[int, int]
    modes: int = 1
    elements: int = 0
    sampling: str | None = None
    method: str = "ptychography"
    precision: str = "single"
    fractional: bool = False
    refine_probe: bool = False
    reach: Reach = NO_REACH

    @classmethod
    def of_scan(
        cls,
        scan: Scan,
        method: str = "joint",
        precision: str = "single",
        refine_probe: bool = False,
        margin: int = 0,
    ) -> ProblemSize:
        """Return the sizes of a scan's reconstruction; without fluorescence those of ptychography.

        Parameters
        ----------
        scan : Scan
            Its patterns are not read.
        method, precision, refine_probe, margin
            As `ptyxrf.reconstruct` takes them.
        """
        if scan.sampling is None:
            method = "ptychography"
        return cls(
            scan.corners,
            scan.m,
            scan.shape,
            scan.K,
            scan.N_e,
            scan.sampling,
            method,
            precision,
            bool(scan.fractions.any()),
            refine_probe,
            blur_reach(scan, method, margin),
        )

    @classmethod
    def from_numbers(
        cls,
        n: int,
        positions: int,
        m: int,
        *,
        modes: int = 1,
        elements: int = 0,
        sampling: str = "scan",
        method: str = "joint",
        precision: str = "single",
        refine_probe: bool = False,
    ) -> ProblemSize:
        """Return the sizes of a square raster of positions over n x n pixels.

        Raises
        ------
        ValueError
            m exceeds n.
        """
        if m > n:
            raise ValueError(f"m: expected patterns of at most the {n} pixels of the object, got {m}")
        rows = math.isqrt(positions - 1) + 1
        columns = -(-positions // rows)
        places = [np.linspace(0, n - m, number).astype(np.int64) for number in (rows, columns)]
        corners = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, 2)[:positions]
        kind = sampling if elements else None
        method = method if elements else "ptychography"
        blurred = kind == "grid" and method != "ptychography"
        reach = Reach(m - 1 - m // 2, m // 2) if blurred else NO_REACH
        return cls(corners, m, (n, n), modes, elements, kind, method, precision, False, refine_probe, reach)

    @property
    def count(self) -> int:
        """Number of positions."""
        return len(self.corners)

    @cached_property
    def step(self) -> float:
        """Pixels between neighbouring positions if they were on a square raster."""
        extent = np.ptp(self.corners, axis=0) + 1.0
        return float(np.sqrt(extent.prod() / self.count))

    @property
    def channels(self) -> int:
        """Number of real fields of unknowns."""
        return {"ptychography": 2, "joint": 1 + self.elements}.get(self.method, self.elements)
