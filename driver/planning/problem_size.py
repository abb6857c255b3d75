"""The sizes of a reconstruction, from which its plan follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.local_data import blur_reach
from ptyxrf.driver.objective.patterns import are_counts
from ptyxrf.driver.objective.positioned_probes import expands_probes
from ptyxrf.driver.objective.settings import Model
from ptyxrf.kernels.simd.shift_expansion import can_expand
from ptyxrf.parallel.partition import Reach

NO_REACH = Reach()

#: Type of the fields of each precision.
FIELDS = {"single": np.complex64, "double": np.complex128}


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
        Pixels beyond its tile that a rank needs for the blur of the maps and for positions that move.
    moving : bool
        Whether positions are unknowns.
    counts : bool
        Whether patterns are known to be whole numbers of two bytes, which low memory keeps as such.
    full : bool
        Whether the curvature is "full".
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
    moving: bool = False
    counts: bool = False
    full: bool = False

    @property
    def expanded(self) -> bool:
        """Whether an expansion shifts the probe, of which nothing is kept."""
        wanted = expands_probes(self.sampling, full=self.full, refined=self.refine_probe, moving=self.moving)
        return self.fractional and wanted and can_expand(self.modes, self.m, FIELDS[self.precision])

    @classmethod
    def of_scan(cls, scan: Scan, model: Model | None = None, modes: int | None = None) -> ProblemSize:
        """Return the sizes of a scan's reconstruction; without fluorescence those of ptychography.

        Parameters
        ----------
        scan : Scan
            Its patterns are not read.
        model : Model, optional
            Default: the joint method in single precision with a known probe.
        modes : int, optional
            Number of probe modes; default: that of the scan.
        """
        model = model or Model(precision="single")
        method = "ptychography" if scan.sampling is None else model.method
        moving = model.refine_positions != "none"
        return cls(
            scan.corners,
            scan.m,
            scan.shape,
            modes or scan.K,
            scan.N_e,
            scan.sampling,
            method,
            model.precision,
            moving or bool(scan.fractions.any()),
            model.refine_probe,
            blur_reach(scan, method, model.halo_margin),
            moving,
            are_counts(scan.patterns.dtype),
            model.curvature == "full",
        )

    @classmethod
    def from_numbers(
        cls,
        n: int,
        positions: int,
        m: int,
        *,
        modes: int | None = None,
        elements: int = 0,
        sampling: str = "scan",
        counts: bool = False,
        model: Model | None = None,
    ) -> ProblemSize:
        """Return the sizes of a square raster of positions over n x n pixels.

        Parameters
        ----------
        n, positions, m : int
        modes : int, optional
            Default: 1.
        elements : int
        sampling : {"grid", "scan"}
        counts : bool
            Whether patterns are whole numbers below 65535.
        model : Model, optional
            Default: the joint method in single precision with a known probe.

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
        model = model or Model(precision="single")
        kind = sampling if elements else None
        method = model.method if elements else "ptychography"
        moving = model.refine_positions != "none"
        blurred = kind == "grid" and method != "ptychography"
        reach = Reach(*((m - 1 - m // 2, m // 2) if blurred else (0, 0)), model.halo_margin)
        return cls(
            corners,
            m,
            (n, n),
            modes or 1,
            elements,
            kind,
            method,
            model.precision,
            moving,
            model.refine_probe,
            reach,
            moving,
            counts,
            model.curvature == "full",
        )

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
