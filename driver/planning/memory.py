"""What a reconstruction keeps in memory on one rank, from sizes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.patterns import READ_BYTES
from ptyxrf.driver.solver.quasi_newton import MEMORY
from ptyxrf.kernels.simd.emitter import VECTOR_BYTES
from ptyxrf.kernels.simd.fourier import can_transform

#: Bytes of a real number.
NUMBERS = {"single": 4, "double": 8}

#: Vectors of the unknowns that live together at the widest point of the solver (quasi-Newton: the pairs, the
#: point, its gradient, those of a trial, the direction, temporaries; truncated Newton needs fewer), in units
#: of the fields that a rank owns, and complex images besides those on the covered pixels. For the
#: preconditioner and the bounds two maps come on top, and some for each element.
VECTORS, IMAGES, BLOCKS = 2 * MEMORY + 9, 1, 17

#: What MPI and the exchange take on a rank that has neighbours, measured.
MESSAGES = 8 * 2**20

#: Arrays of a block of patterns that live together while it is read.
READING = 5


@dataclass(frozen=True)
class Sizes:
    """What the memory of a rank follows from; numbers, or arrays with an entry for each rank.

    Attributes
    ----------
    positions, owned, covered : int or array
        Positions, owned pixels, and owned pixels and halo.
    rows, columns : int or array
        Of the covered rectangle.
    m, modes, elements : int
    sampling : {"grid", "scan", None}
    method : {"joint", "ptychography", "fluorescence"}
    fractional : bool
        Whether the probe is shifted for each position.
    refine_probe : bool
    ranks : int
        How many share the work.
    """

    positions: Any
    owned: Any
    covered: Any
    rows: Any
    columns: Any
    m: int
    modes: int = 1
    elements: int = 0
    sampling: str | None = None
    method: str = "joint"
    fractional: bool = False
    refine_probe: bool = False
    ranks: int = 1


def channels_of(method: str, elements: int) -> int:
    """Return how many real fields of unknowns a method has."""
    return {"ptychography": 2, "joint": 1 + elements}.get(method, elements)


def memory_of(sizes: Sizes, precision: str = "single", memory: str = "low") -> dict[str, NDArray[np.int64]]:
    """Return the bytes of a rank by what they are for.

    Parameters
    ----------
    sizes : Sizes
    precision : {"single", "double"}
    memory : {"cached", "low"}
        Default: as of the default solver.

    Returns
    -------
    dict
        "patterns": amplitudes, what is kept of a point (nothing with low memory) and shifted probes.
        "object": vectors of the solver, fields with their halo, images. "probe": its unknowns.
        "fluorescence": data, residual and, on the grid, transforms. "messages": what MPI takes.
        "reading": a block of patterns on its way in, unless what comes later is larger. "total": the most
        at any time, on top of what Python and the compiled kernels take.
    """
    number = NUMBERS[precision]
    s, channels = sizes, channels_of(sizes.method, sizes.elements)
    pattern = np.asarray(s.positions, dtype=np.float64) * s.m**2
    owned, covered = (np.asarray(value, dtype=np.float64) for value in (s.owned, s.covered))
    with_patterns = s.method != "fluorescence"
    far, far_numbers = pattern, 2.0 * s.modes
    if can_transform(s.m):  # vector code fills up its rows, and keeps c/|psi|^2 too
        lanes = VECTOR_BYTES // number
        far, far_numbers = pattern * (-(-s.m // lanes) * lanes / s.m), far_numbers + 1
    kept = (1.0 + (far_numbers if memory == "cached" else 0.0)) if with_patterns else 0.0
    # see `Objective`: otherwise the probe of each position is made when its turn has come
    keeps_probes = memory == "cached" or not s.refine_probe or s.sampling == "scan"
    shifted = 2.0 * s.modes if s.fractional and keeps_probes else 0.0
    patterns = number * (far * kept + pattern * shifted)
    blocks = BLOCKS * s.elements if s.method != "ptychography" else 0
    # fields at the point, of a direction and of a product; of the last two patterns alone need the halo only
    others = covered if blocks else covered - owned
    vectors = number * (owned * (channels * VECTORS + 2 + blocks) + (covered + 2 * others) * channels)
    images = 2 * number * (3 * covered + IMAGES * owned)
    probe = np.full_like(pattern, s.modes * s.m**2 * 2 * number * (24.0 if s.refine_probe else 8.0))
    fluorescence = np.zeros_like(pattern)
    if s.method != "ptychography" and s.elements:
        if s.sampling == "grid":
            padded = (np.asarray(s.rows, dtype=np.float64) + s.m) * (np.asarray(s.columns) + s.m)
            # of the step at hand and of the kernel; probe: of each map, and of changes and residual
            spectra = 2.0 + (s.elements + 3 if s.refine_probe else 0)
            fluorescence = number * (2 * s.elements * owned + (1 + spectra) * padded)
        else:
            fluorescence = number * 4.0 * s.elements * np.asarray(s.positions, dtype=np.float64)
    first = np.minimum(READING * READ_BYTES, READING * 8 * pattern) + pattern * (number + 1)
    messages = np.full_like(pattern, MESSAGES if s.ranks > 1 else 0)
    later = patterns + vectors + images + probe + fluorescence
    parts = {
        "patterns": patterns,
        "object": vectors + images,
        "probe": probe,
        "fluorescence": fluorescence,
        "messages": messages,
        "reading": np.maximum(first - later, 0.0) if with_patterns else np.zeros_like(later),
    }
    parts["total"] = sum(parts.values(), np.zeros_like(later))
    return {name: np.rint(value).astype(np.int64) for name, value in parts.items()}
