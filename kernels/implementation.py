"""Which code transforms the patterns: explicit vector code, or a library for other sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import batch_size
from ptyxrf.kernels.diffraction import Diffraction
from ptyxrf.kernels.fftw.diffraction import LibraryDiffraction
from ptyxrf.kernels.fftw.probe_shift import LibraryShifts
from ptyxrf.kernels.kept_counts import KeptCounts
from ptyxrf.kernels.probe_shift import PositionedProbe
from ptyxrf.kernels.simd.diffraction import VectorDiffraction
from ptyxrf.kernels.simd.emission import can_emit
from ptyxrf.kernels.simd.fourier import can_transform
from ptyxrf.kernels.simd.probe_shift import VectorShifts
from ptyxrf.kernels.simd.shift_expansion import TOGETHER, ExpandedShifts, can_expand
from ptyxrf.kernels.words import ENGINES, PATTERN_LOSSES

TERMS: dict[str, type[Diffraction]] = {"vector": VectorDiffraction, "library": LibraryDiffraction}
SHIFTS: dict[str, type[VectorShifts] | type[LibraryShifts]] = {
    "vector": VectorShifts,
    "library": LibraryShifts,
}

#: Vector code keeps one position at a time in cache whatever the batch: a larger one spares calls.
CALLS = 16


def resolve_engine(engine: str, m: int) -> str:
    """Return "vector" or "library" for m x m patterns.

    Raises
    ------
    ValueError
        The name is unknown, or vector code is asked for where it cannot work.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "auto":
        return "vector" if can_transform(m) and can_emit() else "library"
    if engine == "vector" and not can_transform(m):
        raise ValueError(
            f"engine: expected 'auto' or 'library' for patterns of {m} x {m} pixels (vector code takes sizes "
            "with no prime factor above 7, and needs numba's compiler), got 'vector'"
        )
    if engine == "vector" and not can_emit():
        raise ValueError("engine: expected 'auto' or 'library' with this version of Numba, got 'vector'")
    return engine


def positioned_probe(
    fractions: NDArray[np.float64],
    modes: int,
    m: int,
    dtype: Any,
    engine: str = "auto",
    *,
    keep: bool = True,
    batch: int | None = None,
    moving: bool = False,
    expand: bool = False,
) -> PositionedProbe:
    """Return the probe of each position, shifted by an implementation.

    Parameters
    ----------
    fractions, modes, m, dtype, keep
        See `PositionedProbe`.
    engine : {"auto", "vector", "library"}
    batch : int, optional
        Positions to hand out at a time; default: as many as stay in cache.
    moving : bool
        Whether positions may move, so that whole pixels need shifts too.
    expand : bool
        Shift a probe that often changes by an expansion, where vector code is at work, positions stay and
        `can_expand`. Nothing is kept then, and only `VectorDiffraction` takes the fields.
    """
    engine = resolve_engine(engine, m)
    integer = not moving and not fractions.any()
    in_cache = batch_size(modes, m, dtype)
    if integer:
        batch = batch or in_cache * (CALLS if engine == "vector" else 1)
        return PositionedProbe(fractions, modes, m, dtype, batch)
    if expand and engine == "vector" and not moving and can_expand(modes, m, dtype):
        expanded = ExpandedShifts(fractions, modes, m, dtype)
        return PositionedProbe(fractions, modes, m, dtype, batch or TOGETHER * in_cache, expanded, False)
    batch = batch or in_cache
    shifts = SHIFTS[engine](fractions, modes, m, dtype, batch)
    return PositionedProbe(fractions, modes, m, dtype, batch, shifts, keep)


def diffraction_term(
    amplitudes: NDArray | KeptCounts,
    corners: NDArray[np.int64],
    exposure: NDArray[np.float64],
    probe: PositionedProbe,
    curvature: str,
    keep_far_fields: bool = True,
    engine: str = "auto",
    loss: str = PATTERN_LOSSES[0],
    background: str = "none",
) -> Diffraction:
    """Return the ptychographic term of an implementation; parameters as of `Diffraction`."""
    term = TERMS[resolve_engine(engine, amplitudes.shape[1])]
    return term(amplitudes, corners, exposure, probe, curvature, keep_far_fields, loss, background)
