"""The load of each rank in a Hessian product, and the time that it takes.

Positions, pixels, messages and bytes are exact: they follow from the partition that a run makes. Times come
from a model,

    product = positions x time of a pattern + pixels x time of a pixel              (computing)
              + messages x latency + max(0, bytes / bandwidth - inner positions)    (halo)
              + log2 R x time of a reduction                                        (dot products)

for the slowest rank, with constants that `ptyxrf bench` measures. Inner positions touch no halo; computing
them hides the exchange.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.planning.machine import Machine
from ptyxrf.driver.planning.memory import NUMBERS
from ptyxrf.driver.planning.problem_size import ProblemSize
from ptyxrf.parallel.partition import Partition

#: Time of a product in units of its FFT pair. This and the following vary with m and are approximate.
PAIRS = 1.6
#: Additional time of a pattern, in units of its time, for a probe that is refined ...
REFINED = 0.5
#: ... for shifting that probe to fractional positions, with transforms or by an expansion ...
SHIFTED, EXPANDED = 1.4, 0.8
#: ... and for each map with one count per position.
COUNTED = 0.15


@dataclass(frozen=True)
class Load:
    """The load of a Hessian product; arrays have an entry for each rank.

    Attributes
    ----------
    positions, inner : array
        Positions, and those of them that touch no halo.
    owned, covered, rows, columns : array
        Pixels; rows and columns of the covered rectangle.
    messages, bytes : array
        Sent to neighbours, halo out and back.
    far : array
        Share of the bytes that goes to other nodes.
    node_bytes : array
        Bytes that all ranks of the node send to other nodes through its network card.
    """

    positions: NDArray[Any]
    inner: NDArray[Any]
    owned: NDArray[Any]
    covered: NDArray[Any]
    rows: NDArray[Any]
    columns: NDArray[Any]
    messages: NDArray[Any]
    bytes: NDArray[Any]
    far: NDArray[Any]
    node_bytes: NDArray[Any]


def load_of(problem: ProblemSize, partition: Partition, ranks_per_node: float) -> Load:
    """Return the exact load of each rank of a partition."""
    owned, covered, ranks = partition.owned, partition.covered, partition.ranks
    receiver, owner = partition.edges()
    shared = np.concatenate(
        [
            np.maximum(covered[receiver, ::2], owned[owner, ::2]),
            np.minimum(covered[receiver, 1::2], owned[owner, 1::2]),
        ],
        axis=1,
    )
    pixels = (shared[:, 2] - shared[:, 0]) * (shared[:, 3] - shared[:, 1])
    far = (receiver // ranks_per_node) != (owner // ranks_per_node)

    def both_ways(weights: NDArray[Any]) -> NDArray[Any]:
        """Sum over the edges of each rank: the owner sends the halo out, the receiver sends it back."""
        return np.bincount(owner, weights, ranks) + np.bincount(receiver, weights, ranks)

    unit = problem.channels * NUMBERS[problem.precision]
    sent, far_sent = both_ways(pixels.astype(float)) * unit, both_ways(pixels * far) * unit
    node = (np.arange(ranks) // ranks_per_node).astype(np.int64)
    rank_of = np.empty(problem.count, np.int64)
    rank_of[partition.order] = np.repeat(np.arange(ranks), partition.counts)
    mine = owned[rank_of]
    inside = (problem.corners >= mine[:, ::2]).all(axis=1)
    inside &= (problem.corners + problem.m <= mine[:, 1::2]).all(axis=1)
    return Load(
        partition.counts,
        np.bincount(rank_of[inside], minlength=ranks),
        _areas(owned),
        _areas(covered),
        covered[:, 1] - covered[:, 0],
        covered[:, 3] - covered[:, 2],
        both_ways(np.ones(len(pixels))).astype(np.int64),
        sent.astype(np.int64),
        far_sent / np.maximum(sent, 1.0),
        np.bincount(node, far_sent)[node],
    )


def _areas(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    return (edges[:, 1] - edges[:, 0]) * (edges[:, 3] - edges[:, 2])


def regular_load(problem: ProblemSize, ranks: int, ranks_per_node: float) -> Load:
    """Return the load of a typical rank if all tiles were equal squares, for any number of ranks."""
    rows, columns = problem.grid
    side = math.sqrt(rows * columns / ranks)
    # a patch with its centre in a tile extends beyond it by half its size, less that of the outermost
    reach = max(problem.m / 2 - problem.step / 2, problem.reach.after) + problem.reach.margin
    # tiles at the edge of the object, one in sqrt R along a line, have no halo on one side
    reach *= 1 - 1 / math.sqrt(ranks)
    wide, high = min(side + 2 * reach, columns), min(side + 2 * reach, rows)
    inner = 1.0 if ranks == 1 else (max(side - problem.m, 0.0) / side) ** 2
    around = (1 + 2 * math.ceil(reach / side)) ** 2 - 1
    neighbours = min(around, ranks - 1)
    positions = math.ceil(problem.count / ranks)
    sent = 2 * max(wide * high - side * side, 0.0) * problem.channels * NUMBERS[problem.precision]
    far = 0.0
    if ranks > ranks_per_node:
        # the tiles of a node form a block; this is the mean part of a window beyond it, along a line
        block = math.sqrt(ranks_per_node) * side
        window = side + 2 * reach
        beyond = min(1.0, reach * (reach / side + 1) / window * side / block)
        far = min(1.0, (1 - (1 - beyond) ** 2) * window**2 / max(window**2 - side**2, 1.0))
    values = (
        positions, inner * positions, side * side, wide * high, high, wide, 2 * neighbours, sent, far,
        far * sent * min(ranks, ranks_per_node),
    )  # fmt: skip
    return Load(*(np.array([value], dtype=float) for value in values))


@dataclass(frozen=True)
class Seconds:
    """The parts of the time of a Hessian product on the slowest rank."""

    computing: float
    halo: float
    reductions: float

    @property
    def total(self) -> float:
        """Seconds."""
        return self.computing + self.halo + self.reductions


def seconds_of(
    problem: ProblemSize, load: Load, ranks: int, ranks_per_node: float, machine: Machine
) -> Seconds:
    """Return the time of a Hessian product on the slowest rank."""
    each = _position_seconds(problem, machine)
    computing = load.positions * each
    computing = computing + load.covered * problem.channels * machine.pixel_seconds[problem.precision]
    if problem.sampling == "grid" and problem.method != "ptychography":
        computing = computing + _blur_seconds(problem, load, machine)
    # the ranks of a node copy side by side, but share its network card
    transfer = (1 - load.far) * load.bytes / machine.within_node.bandwidth
    transfer = transfer + load.node_bytes / machine.between_nodes.bandwidth
    latency = (1 - load.far) * machine.within_node.latency + load.far * machine.between_nodes.latency
    halo = load.messages * latency + np.maximum(0.0, transfer - load.inner * each)
    slowest = int(np.argmax(computing + halo))
    reductions = _reduction_seconds(problem, ranks, ranks_per_node, machine)
    return Seconds(float(computing[slowest]), float(halo[slowest]), reductions)


def _position_seconds(problem: ProblemSize, machine: Machine) -> float:
    """Return the time of one position, without pixels of the object."""
    share = 0.0 if problem.method == "fluorescence" else 1.0
    if problem.refine_probe or problem.moving:
        shifted = EXPANDED if problem.expanded else SHIFTED
        share += REFINED + (shifted if problem.fractional else 0.0)
    if problem.sampling == "scan" and problem.method != "ptychography":
        share += COUNTED * (1 + problem.elements)
    return share * machine.pattern_time(problem.m, problem.precision, problem.modes)


def _blur_seconds(problem: ProblemSize, load: Load, machine: Machine) -> NDArray[Any]:
    """Return the time of four real transforms of the padded tile for each element."""
    padded = (load.rows + problem.m) * (load.columns + problem.m)
    size = problem.m**2
    pattern = machine.pattern_time(problem.m, problem.precision, problem.modes)
    rate = pattern / PAIRS / problem.modes / (2 * size * math.log2(size))
    return problem.elements * 2 * rate * padded * np.log2(np.maximum(padded, 2))


def _reduction_seconds(problem: ProblemSize, ranks: int, ranks_per_node: float, machine: Machine) -> float:
    """Return the time of the dot products, and of the sum over ranks of an unknown probe."""
    near = math.log2(max(min(ranks, ranks_per_node), 1))
    wide = math.log2(max(ranks / ranks_per_node, 1))
    seconds = near * machine.reduction_seconds
    seconds += wide * max(machine.reduction_seconds, machine.between_nodes.latency)
    if problem.refine_probe and ranks > 1:
        seconds += 2 * 16 * problem.modes * problem.m**2 / machine.within_node.bandwidth
    return seconds
