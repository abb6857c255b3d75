"""Arguments of passes over diffraction patterns that belong together.

All arrays but `Positions.corners` are flat. Complex ones hold K modes of m x m pixels or objects. The far
layout is that of `ptyxrf.kernels.simd.fourier`. Position b of a batch is position j = first + b of the rank.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Layout(NamedTuple):
    """Where numbers lie in an array: probes as in `ptyxrf.kernels.patches`, or split like fields; objects.

    Attributes
    ----------
    version, mode, pitch, step : int
        Numbers from one version, mode, row and vector of columns to the next; 0 where all share one.
    """

    version: int
    mode: int
    pitch: int
    step: int


class Positions(NamedTuple):
    """Positions of a batch: where their patches are, and what illuminates them.

    Attributes
    ----------
    first : int
        Number of the first one.
    rows : Layout
        Of objects, whose pitch is their number of columns.
    corners : (N, 2) array of int64
        Row and column of the first pixel of each patch.
    scales : (N,) array of real
        Factors of the exit fields.
    probes : array of complex, or of real where they are split
        Versions of the probe.
    layout : Layout
        Theirs, and that of `ProbeChange.moved` and `sums`.
    which : (B,) array of int64
        The version that each position uses.
    """

    first: int
    rows: Layout
    corners: NDArray[np.int64]
    scales: NDArray
    probes: NDArray
    layout: Layout
    which: NDArray[np.int64]


class ProbeChange(NamedTuple):
    """What a probe that is unknown takes part in.

    Attributes
    ----------
    moves : bool
        Whether it is unknown; if not, nothing else is used.
    slots : (B,) array of int64
        Which of `moved` and `sums` each position uses.
    moved : array like the probes
        Changes dP; empty in a gradient.
    sums : array like the probes
        The result in the probe is added to it, or put there where it is split: in place of the probes then,
        where each position has its own. Empty in losses along a line.
    exits : array of complex
        N exit fields F^* (psi - b q), as a gradient leaves them; empty: not kept.
    """

    moves: bool
    slots: NDArray[np.int64]
    moved: NDArray
    sums: NDArray
    exits: NDArray


class Detector(NamedTuple):
    """What adds to the intensity |psi|^2, and how intensities are compared.

    Attributes
    ----------
    plain : bool
        Nothing adds to it, and amplitudes are compared; if so, nothing else is used.
    poisson : bool
        Whether the loss is that of Poisson counts.
    moves : bool
        Whether the background is an unknown.
    levels : array of real
        Three patterns (C, m, W) after each other: what adds to |psi|^2, the amplitude beta of the background,
        and the change of it.
    sums : (C, m, W) array of float64
        The result in beta is added to it, where that is an unknown.
    """

    plain: bool
    poisson: bool
    moves: bool
    levels: NDArray
    sums: NDArray[np.float64]


class Patterns(NamedTuple):
    """What was measured, and the loss that measures the misfit to it.

    Attributes
    ----------
    amplitudes : array of real
        (N, C, m, W), negative where masked; or room for one pattern, where counts are kept.
    counts : array of uint16
        (N, C, m, W), `ptyxrf.kernels.kept_counts.MASKED` where masked; empty where amplitudes are kept.
    unit, faint : float
        See `ptyxrf.kernels.kept_counts.take_roots`.
    low, high : float
        Bounds of the curvature c.
    detector : Detector
    """

    amplitudes: NDArray
    counts: NDArray
    unit: float
    faint: float
    low: float
    high: float
    detector: Detector


class State(NamedTuple):
    """What a gradient keeps for products and losses along a line.

    Attributes
    ----------
    psi : array of real
        (N, C, K, 2, m, W).
    ratio : array of real
        (N, C, m, W), c/|psi|^2, negative where masked.
    recompute : bool
        Both are room for one position, and are computed again where they are wanted.
    """

    psi: NDArray
    ratio: NDArray
    recompute: bool


class Scratch(NamedTuple):
    """Room to compute one position.

    Attributes
    ----------
    field, bends : array of real
        K fields each; `bends` for losses along a line where the probe moves.
    work : array of real
        5 m W numbers.
    """

    field: NDArray
    bends: NDArray
    work: NDArray


class Window(NamedTuple):
    """A patch of an object, or a version of the probe: where it begins in a flat array."""

    numbers: NDArray
    start: int
    layout: Layout
