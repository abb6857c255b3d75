"""The plan of a reconstruction on many ranks: tiles, messages, memory and time, without running it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.machine_memory import machine_memory
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.planning.load import Load, Seconds, load_of, regular_load, seconds_of
from ptyxrf.driver.planning.machine import Machine
from ptyxrf.driver.planning.memory import Share, memory_of
from ptyxrf.driver.planning.memory_settings import MemorySettings, memory_settings
from ptyxrf.driver.planning.problem_size import ProblemSize
from ptyxrf.parallel.partition import Partition

#: Ranks on a node if the number of nodes is not given.
RANKS_PER_NODE = 64

#: Efficiencies for which the largest number of ranks is reported.
THRESHOLDS = (0.8, 0.5)


@dataclass(frozen=True)
class Plan:
    """What `make_plan` returns.

    Attributes
    ----------
    problem : ProblemSize
    ranks, nodes : int
    nodes_given : bool
        Whether the number of nodes was given.
    machine : Machine
    partition : Partition
    load : Load
    memory : (R,) array of int64
        Bytes of each rank above those of an idle one.
    node_memory : float
        Bytes of memory that each node has.
    """

    problem: ProblemSize
    ranks: int
    nodes: int
    nodes_given: bool
    machine: Machine
    partition: Partition
    load: Load
    memory: NDArray[np.int64]
    node_memory: float

    @cached_property
    def memory_settings(self) -> list[MemorySettings]:
        """What each solver takes in each precision, and whether the nodes have it."""
        return memory_settings(self.problem, self.load, self.ranks, self.nodes, self.node_memory)

    @cached_property
    def seconds(self) -> Seconds:
        """Time of a Hessian product."""
        return seconds_of(self.problem, self.load, self.ranks, self.ranks / self.nodes, self.machine)

    @cached_property
    def one_rank(self) -> Seconds:
        """Time of a Hessian product on one rank."""
        return seconds_of(self.problem, regular_load(self.problem, 1, 1), 1, 1, self.machine)

    @property
    def efficiency(self) -> float:
        """Time on one rank over ranks times their time."""
        return self.one_rank.total / (self.ranks * self.seconds.total)

    def estimate(self, ranks: int) -> float:
        """Return the approximate efficiency of another number of ranks, with as many on a node.

        The estimate is that of regular tiles, corrected by the ratio that the tiles of the plan have to it.
        """
        correction = self.efficiency / self._regular(self.ranks) if self.ranks > 1 else 1.0
        return self._regular(ranks) * correction ** (math.log(ranks) / math.log(max(self.ranks, 2)))

    def _regular(self, ranks: int) -> float:
        """Return the efficiency of a number of ranks on regular tiles."""
        per_node = min(ranks, self.ranks / self.nodes) if self.nodes > 1 else RANKS_PER_NODE
        load = regular_load(self.problem, ranks, per_node)
        other = seconds_of(self.problem, load, ranks, per_node, self.machine)
        return self.one_rank.total / (ranks * other.total)

    def most_ranks(self, threshold: float) -> int:
        """Return about how many ranks still reach an efficiency (at most one per position)."""
        ladder = sorted({round(2 ** (k / 4)) for k in range(4 * 40)})
        good = [r for r in ladder if r <= self.problem.count and self.estimate(r) >= threshold]
        return max(good, default=1)

    def facts(self) -> dict[str, Any]:
        """Return everything as plain numbers and texts, in SI units."""
        problem, load, seconds = self.problem, self.load, self.seconds
        return {
            "object_pixels": list(problem.grid),
            "positions": problem.count,
            "pattern_pixels": problem.m,
            "probe_modes": problem.modes,
            "elements": problem.elements,
            "sampling": problem.sampling,
            "method": problem.method,
            "precision": problem.precision,
            "ranks": self.ranks,
            "nodes": self.nodes,
            "machine": self.machine.name,
            "positions_per_rank": _range(load.positions),
            "balance": self.partition.balance,
            "inner_positions_per_rank": _range(load.inner),
            "owned_pixels": _range(load.owned),
            "covered_pixels": _range(load.covered),
            "messages_per_product": _range(load.messages),
            "messages_of_all_ranks": int(load.messages.sum()),
            "bytes_per_product": _range(load.bytes),
            "bytes_of_all_ranks": int(load.bytes.sum()),
            "memory_per_rank": _range(self.memory),
            "memory_of_all_ranks": int(self.memory.sum()),
            "node_memory": int(self.node_memory),
            "memory_settings": [asdict(each) for each in self.memory_settings],
            "seconds_per_product": seconds.total,
            "seconds_computing": seconds.computing,
            "seconds_halo": seconds.halo,
            "seconds_reductions": seconds.reductions,
            "seconds_per_product_on_one_rank": self.one_rank.total,
            "efficiency": self.efficiency,
            "most_ranks_at_efficiency": {str(level): self.most_ranks(level) for level in THRESHOLDS},
        }


def _range(values: NDArray[Any]) -> dict[str, float]:
    return {"least": float(values.min()), "mean": float(values.mean()), "most": float(values.max())}


def make_plan(
    problem: ProblemSize | Scan,
    ranks: int,
    nodes: int | None = None,
    machine: Machine | None = None,
    node_memory: float | None = None,
) -> Plan:
    """Cut a problem into tiles for a number of ranks, and predict messages, memory and time.

    Parameters
    ----------
    problem : ProblemSize or Scan
        For a scan: a joint reconstruction in single precision with a known probe (without fluorescence:
        ptychography). `ProblemSize.of_scan` takes other settings.
    ranks : int
        10^5 ranks take seconds.
    nodes : int, optional
        The ranks are placed on them in order; default: 64 ranks per node.
    machine : Machine, optional
        Constants of the cost model, as `read_machine` returns them; default: typical values.
    node_memory : float, optional
        Bytes of memory of each node; default: those of this machine.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        ranks or nodes are below 1, or there are more nodes than ranks.
    """
    if ranks < 1:
        raise ValueError(f"ranks: expected at least 1, got {ranks}")
    used = nodes if nodes is not None else -(-ranks // RANKS_PER_NODE)
    if not 1 <= used <= ranks:
        raise ValueError(f"nodes: expected from 1 to {ranks}, one rank each at least, got {nodes}")
    problem = ProblemSize.of_scan(problem) if isinstance(problem, Scan) else problem
    partition = Partition(problem.corners, problem.m, problem.grid, ranks, problem.reach)
    load = load_of(problem, partition, ranks / used)
    share = Share(load.positions, load.owned, load.covered, load.rows, load.columns, ranks)
    memory = memory_of(problem, share)["total"]
    room = machine_memory() if node_memory is None else node_memory
    return Plan(problem, ranks, used, nodes is not None, machine or Machine(), partition, load, memory, room)
