"""The memory of a reconstruction on one rank, from sizes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.patterns import READ_BYTES
from ptyxrf.driver.objective.positioned_probes import keeps_probes
from ptyxrf.driver.planning.problem_size import ProblemSize
from ptyxrf.driver.solver.settings import SolverSettings
from ptyxrf.kernels.aligned import BATCH_BYTES
from ptyxrf.kernels.kept_counts import KEPT
from ptyxrf.kernels.simd.fourier import VectorPlan, can_transform
from ptyxrf.kernels.simd.operations import TERMS
from ptyxrf.kernels.simd.shift_expansion import TOGETHER

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
class Share:
    """The part of a problem that a rank has; numbers, or arrays with an entry for each rank.

    Attributes
    ----------
    positions, owned, covered : int or array
        Positions, owned pixels, and owned pixels and halo.
    rows, columns : int or array
        Sides of the covered rectangle.
    ranks : int
        Number of ranks.
    """

    positions: Any
    owned: Any
    covered: Any
    rows: Any
    columns: Any
    ranks: int = 1

    @classmethod
    def whole(cls, problem: ProblemSize) -> Share:
        """Return that of one rank alone."""
        rows, columns = problem.grid
        return cls(problem.count, rows * columns, rows * columns, rows, columns)


def memory_of(problem: ProblemSize, share: Share, memory: str = "low") -> dict[str, NDArray[np.int64]]:
    """Return the bytes of a rank by what they are for.

    Parameters
    ----------
    problem : ProblemSize
    share : Share
    memory : {"cached", "low", "disk"}
        Default: that of the default solver.

    Returns
    -------
    dict
        "patterns": amplitudes or counts (none in memory that are on disk), the state at a point if it is
        cached, and shifted probes. "object":
        vectors of the solver, fields with their halo, images. "probe": its unknowns. "fluorescence": data,
        residual and, on the grid, transforms. "messages": buffers of MPI. "reading": a block of patterns
        that is being read, as far as it exceeds later allocations. "total": the peak, above Python and the
        compiled kernels.
    """
    numbers = _pattern_pixels(problem, share)
    parts = {
        "patterns": _pattern_bytes(problem, numbers, memory),
        "object": _object_bytes(problem, share),
        "probe": _probe_bytes(problem, numbers),
        "fluorescence": _fluorescence_bytes(problem, share),
    }
    later = sum(parts.values(), np.zeros_like(numbers))
    parts["messages"] = np.full_like(later, MESSAGES if share.ranks > 1 else 0)
    parts["reading"] = np.zeros_like(later)
    if problem.method != "fluorescence":
        block = np.minimum(READING * READ_BYTES, READING * 8 * numbers)
        parts["reading"] = np.maximum(block + numbers * _kept_bytes(problem, memory) - later, 0.0)
    parts["total"] = sum(parts.values(), np.zeros_like(later))
    return {name: np.rint(value).astype(np.int64) for name, value in parts.items()}


def _pattern_pixels(p: ProblemSize, share: Share) -> NDArray[np.float64]:
    return np.asarray(share.positions, dtype=np.float64) * p.m**2


def _pattern_bytes(p: ProblemSize, pixels: NDArray[np.float64], memory: str) -> NDArray[np.float64]:
    number = NUMBERS[p.precision]
    far, far_numbers = pixels, 2.0 * p.modes
    if can_transform(p.m):  # vector code pads its rows, and stores c/|psi|^2 too
        far, far_numbers = far * (_padded(p) / p.m), far_numbers + 1
    kept = _kept_bytes(p, memory)
    if memory == "cached" and p.method != "fluorescence":
        kept += number * far_numbers
    keep = keeps_probes(memory, p.sampling, refined=p.refine_probe, moving=p.moving)
    shifted = 2.0 * p.modes if p.fractional and keep and not p.expanded else 0.0
    return far * kept + pixels * number * shifted


def _kept_bytes(p: ProblemSize, memory: str) -> float:
    """Return the bytes of memory of a pixel of a pattern as it is kept."""
    if p.method == "fluorescence" or memory == "disk":
        return 0.0
    return np.dtype(KEPT).itemsize if p.counts and memory == "low" else NUMBERS[p.precision]


def disk_bytes(problem: ProblemSize, share: Share) -> NDArray[np.float64]:
    """Return the bytes of each rank's temporary file where patterns are kept on disk.

    There is room for amplitudes, into which counts change where some are none.
    """
    positions, number = np.asarray(share.positions, dtype=np.float64), NUMBERS[problem.precision]
    return positions * _padded(problem) * problem.m * number * (problem.method != "fluorescence")


def _padded(p: ProblemSize) -> int:
    """Return the numbers of a row of a pattern as the kernels hold it."""
    return VectorPlan.of(p.m, f"f{NUMBERS[p.precision]}").padded if can_transform(p.m) else p.m


def _object_bytes(p: ProblemSize, share: Share) -> NDArray[np.float64]:
    number = NUMBERS[p.precision]
    owned, covered = (np.asarray(value, dtype=np.float64) for value in (share.owned, share.covered))
    blocks = BLOCKS * p.elements if p.method != "ptychography" else 0
    # fields at the point, of a direction and of a product; with patterns alone, the last two have only a halo
    others = covered if blocks else covered - owned
    vectors = number * (owned * (p.channels * VECTORS + 2 + blocks) + (covered + 2 * others) * p.channels)
    return vectors + 2 * number * (3 * covered + IMAGES * owned)


def _probe_bytes(p: ProblemSize, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    number = NUMBERS[p.precision]
    copies = 24.0 if p.refine_probe else 8.0
    size = p.modes * p.m**2 * 2 * number
    fields = 0
    if p.expanded:  # terms of the probe, of a change and of two sums; fields of a batch and their changes
        copies += 4 * TERMS[number]
        fields = 2 * TOGETHER * max(BATCH_BYTES, size)
    return np.full_like(pixels, size * copies + fields)


def _fluorescence_bytes(p: ProblemSize, share: Share) -> NDArray[np.float64]:
    number = NUMBERS[p.precision]
    positions, owned, rows, columns = (
        np.asarray(value, dtype=np.float64)
        for value in (share.positions, share.owned, share.rows, share.columns)
    )
    if p.method == "ptychography" or not p.elements:
        return np.zeros_like(positions)
    if p.sampling == "scan":
        return number * 4.0 * p.elements * positions
    # spectra of the present step and of the kernel; for an unknown probe of each map, changes and residual
    # too
    spectra = 2.0 + (p.elements + 3 if p.refine_probe else 0)
    return number * (2 * p.elements * owned + (1 + spectra) * (rows + p.m) * (columns + p.m))
