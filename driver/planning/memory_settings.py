"""Which settings of a reconstruction fit the memory of its nodes, and how many nodes the others need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.planning.load import Load, regular_load
from ptyxrf.driver.planning.memory import Share, disk_bytes, memory_of
from ptyxrf.driver.planning.problem_size import ProblemSize

#: Bytes of a rank that is idle: Python, libraries and compiled kernels, measured. Ranks share some of it.
IDLE = 260e6
#: Solvers, and the settings `memory` that go with them: the default first.
SOLVERS = (("quasi-newton", "low"), ("quasi-newton", "disk"), ("newton", "cached"))
#: Factor between the numbers of nodes that are tried.
STEP = 1.1


@dataclass(frozen=True)
class MemorySettings:
    """Settings that decide how much memory a reconstruction takes.

    Attributes
    ----------
    solver : {"quasi-newton", "newton"}
    memory : {"low", "disk", "cached"}
    precision : {"single", "double"}
    node_bytes : int
        Memory of the node that needs most, what idle ranks take included.
    disk_bytes : int
        Temporary files of that node.
    fits : bool
        Whether the nodes have it.
    nodes : int or None
        About how many such nodes it takes, with as many ranks on each; None: one position a rank is too much.
    """

    solver: str
    memory: str
    precision: str
    node_bytes: int
    disk_bytes: int
    fits: bool
    nodes: int | None


def memory_settings(
    problem: ProblemSize, load: Load, ranks: int, nodes: int, node_memory: float
) -> list[MemorySettings]:
    """Return what each solver takes in each precision, the default first.

    Parameters
    ----------
    problem : ProblemSize
    load : Load
        Of all ranks.
    ranks, nodes : int
    node_memory : float
        Bytes that each node has.
    """
    found = []
    for precision in dict.fromkeys((problem.precision, "single", "double")):
        sizes = replace(problem, precision=precision)
        for solver, memory in SOLVERS:
            of_ranks, on_disk = bytes_of(sizes, load, ranks, memory)
            node = (np.arange(ranks) * nodes // ranks).astype(np.int64)
            most, disk = (float(np.bincount(node, each).max()) for each in (of_ranks, on_disk))
            fits = most <= node_memory
            needed = nodes if fits else nodes_for(sizes, ranks / nodes, nodes, memory, node_memory)
            found.append(MemorySettings(solver, memory, precision, int(most), int(disk), fits, needed))
    return found


def bytes_of(
    problem: ProblemSize, load: Load, ranks: int, memory: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bytes of memory and of disk of each rank of a load; what it takes when idle is included."""
    share = Share(load.positions, load.owned, load.covered, load.rows, load.columns, ranks)
    disk = disk_bytes(problem, share) * (memory == "disk")
    return np.asarray(memory_of(problem, share, memory)["total"] + IDLE, dtype=np.float64), disk


def nodes_for(
    problem: ProblemSize, per_node: float, nodes: int, memory: str, node_memory: float
) -> int | None:
    """Return about how many nodes hold a problem on regular tiles, more than some; None if none do."""
    while nodes * per_node <= problem.count:
        nodes = max(nodes + 1, int(nodes * STEP))
        ranks = max(int(nodes * per_node), 1)
        load = regular_load(problem, ranks, per_node)
        if bytes_of(problem, load, ranks, memory)[0][0] * per_node <= node_memory:
            return nodes
    return None
