"""The memory of a reconstruction on one rank, from sizes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.patterns import READ_BYTES
from ptyxrf.driver.solver.settings import SolverSettings
from ptyxrf.kernels.simd.emitter import VECTOR_BYTES
from ptyxrf.kernels.simd.fourier import can_transform

#: Bytes of a real number.
NUMBERS = {"single": 4, "double": 8}

#: Vectors of the unknowns at the peak of the solver's memory, in units of the fields that a rank owns. These
#: are those of the quasi-Newton solver: pairs, point, gradient, those of a trial, direction, temporaries.
VECTORS = 2 * SolverSettings().pairs + 9
#: Complex images in addition to those on the covered pixels.
IMAGES = 1
#: Maps of the preconditioner and the bounds for each element, in addition to two for the object.
BLOCKS = 17

#: Bytes of MPI and the exchange on a rank with neighbours, measured.
MESSAGES = 8 * 2**20

#: Arrays of a block of patterns that exist at a time while it is read.
READING = 5


@dataclass(frozen=True)
class Sizes:
    """The sizes that determine the memory of a rank; numbers, or arrays with an entry for each rank.

    Attributes
    ----------
    positions, owned, covered : int or array
        Positions, owned pixels, and owned pixels and halo.
    rows, columns : int or array
        Sides of the covered rectangle.
    m, modes, elements : int
    sampling : {"grid", "scan", None}
    method : {"joint", "ptychography", "fluorescence"}
    fractional : bool
        Whether the probe is shifted for each position.
    refine_probe : bool
    ranks : int
        Number of ranks.
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

    @property
    def pattern_pixels(self) -> NDArray[np.float64]:
        """Pixels of all patterns of the rank."""
        return np.asarray(self.positions, dtype=np.float64) * self.m**2


def channels_of(method: str, elements: int) -> int:
    """Return the number of real fields of unknowns of a method."""
    return {"ptychography": 2, "joint": 1 + elements}.get(method, elements)


def memory_of(sizes: Sizes, precision: str = "single", memory: str = "low") -> dict[str, NDArray[np.int64]]:
    """Return the bytes of a rank by what they are for.

    Parameters
    ----------
    sizes : Sizes
    precision : {"single", "double"}
    memory : {"cached", "low"}
        Default: that of the default solver.

    Returns
    -------
    dict
        "patterns": amplitudes, the state at a point (none with low memory) and shifted probes. "object":
        vectors of the solver, fields with their halo, images. "probe": its unknowns. "fluorescence": data,
        residual and, on the grid, transforms. "messages": buffers of MPI. "reading": a block of patterns
        that is being read, as far as it exceeds later allocations. "total": the peak, above Python and the
        compiled kernels.
    """
    parts = {
        "patterns": _pattern_bytes(sizes, precision, memory),
        "object": _object_bytes(sizes, precision),
        "probe": _probe_bytes(sizes, precision),
        "fluorescence": _fluorescence_bytes(sizes, precision),
    }
    later = sum(parts.values(), np.zeros_like(parts["patterns"]))
    parts["messages"] = np.full_like(later, MESSAGES if sizes.ranks > 1 else 0)
    parts["reading"] = np.zeros_like(later)
    if sizes.method != "fluorescence":
        numbers = sizes.pattern_pixels
        first = np.minimum(READING * READ_BYTES, READING * 8 * numbers) + numbers * (NUMBERS[precision] + 1)
        parts["reading"] = np.maximum(first - later, 0.0)
    parts["total"] = sum(parts.values(), np.zeros_like(later))
    return {name: np.rint(value).astype(np.int64) for name, value in parts.items()}


def _pattern_bytes(s: Sizes, precision: str, memory: str) -> NDArray[np.float64]:
    number = NUMBERS[precision]
    far, far_numbers = s.pattern_pixels, 2.0 * s.modes
    if can_transform(s.m):  # vector code pads its rows, and stores c/|psi|^2 too
        lanes = VECTOR_BYTES // number
        far, far_numbers = far * (-(-s.m // lanes) * lanes / s.m), far_numbers + 1
    kept = (1.0 + (far_numbers if memory == "cached" else 0.0)) if s.method != "fluorescence" else 0.0
    # see `Objective`: otherwise the probe of a position is shifted just before it is used
    keeps_probes = memory == "cached" or not s.refine_probe or s.sampling == "scan"
    shifted = 2.0 * s.modes if s.fractional and keeps_probes else 0.0
    return number * (far * kept + s.pattern_pixels * shifted)


def _object_bytes(s: Sizes, precision: str) -> NDArray[np.float64]:
    number, channels = NUMBERS[precision], channels_of(s.method, s.elements)
    owned, covered = (np.asarray(value, dtype=np.float64) for value in (s.owned, s.covered))
    blocks = BLOCKS * s.elements if s.method != "ptychography" else 0
    # fields at the point, of a direction and of a product; with patterns alone, the last two have only a halo
    others = covered if blocks else covered - owned
    vectors = number * (owned * (channels * VECTORS + 2 + blocks) + (covered + 2 * others) * channels)
    return vectors + 2 * number * (3 * covered + IMAGES * owned)


def _probe_bytes(s: Sizes, precision: str) -> NDArray[np.float64]:
    copies = 24.0 if s.refine_probe else 8.0
    return np.full_like(s.pattern_pixels, s.modes * s.m**2 * 2 * NUMBERS[precision] * copies)


def _fluorescence_bytes(s: Sizes, precision: str) -> NDArray[np.float64]:
    number = NUMBERS[precision]
    if s.method == "ptychography" or not s.elements:
        return np.zeros_like(s.pattern_pixels)
    if s.sampling == "scan":
        return number * 4.0 * s.elements * np.asarray(s.positions, dtype=np.float64)
    padded = (np.asarray(s.rows, dtype=np.float64) + s.m) * (np.asarray(s.columns) + s.m)
    # spectra of the present step and of the kernel; for an unknown probe of each map, changes and residual
    # too
    spectra = 2.0 + (s.elements + 3 if s.refine_probe else 0)
    owned = np.asarray(s.owned, dtype=np.float64)
    return number * (2 * s.elements * owned + (1 + spectra) * padded)
