"""Which settings of a reconstruction fit the memory of its nodes, and how many nodes the others need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.planning.load import Load, regular_load
from ptyxrf.driver.planning.memory import Share, memory_of
from ptyxrf.driver.planning.problem_size import ProblemSize

#: Bytes of a rank that is idle: Python, libraries and compiled kernels, measured. Ranks share some of it.
IDLE = 260e6
#: Solvers, and the setting `memory` that goes with them.
SOLVERS = {"quasi-newton": "low", "newton": "cached"}
#: Factor between the numbers of nodes that are tried.
STEP = 1.1


@dataclass(frozen=True)
class MemorySettings:
    """Settings that decide how much memory a reconstruction takes.

    Attributes
    ----------
    solver : {"quasi-newton", "newton"}
    precision : {"single", "double"}
    node_bytes : int
        Memory of the node that needs most, what idle ranks take included.
    fits : bool
        Whether the nodes have it.
    nodes : int or None
        About how many such nodes it takes, with as many ranks on each; None: one position a rank is too much.
    """

    solver: str
    precision: str
    node_bytes: int
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
        for solver, memory in SOLVERS.items():
            of_ranks = bytes_of(sizes, load, ranks, memory)
            node = (np.arange(ranks) * nodes // ranks).astype(np.int64)
            most = float(np.bincount(node, of_ranks).max())
            fits = most <= node_memory
            needed = nodes if fits else nodes_for(sizes, ranks / nodes, nodes, memory, node_memory)
            found.append(MemorySettings(solver, precision, int(most), fits, needed))
    return found


def bytes_of(problem: ProblemSize, load: Load, ranks: int, memory: str) -> NDArray[np.float64]:
    """Return the bytes of each rank of a load, what it takes when it is idle included."""
    share = Share(load.positions, load.owned, load.covered, load.rows, load.columns, ranks)
    return np.asarray(memory_of(problem, share, memory)["total"] + IDLE, dtype=np.float64)


def nodes_for(
    problem: ProblemSize, per_node: float, nodes: int, memory: str, node_memory: float
) -> int | None:
    """Return about how many nodes hold a problem on regular tiles, more than some; None if none do."""
    while nodes * per_node <= problem.count:
        nodes = max(nodes + 1, int(nodes * STEP))
        ranks = max(int(nodes * per_node), 1)
        load = regular_load(problem, ranks, per_node)
        if bytes_of(problem, load, ranks, memory)[0] * per_node <= node_memory:
            return nodes
    return None
