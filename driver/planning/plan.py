"""How a reconstruction would spread over ranks: tiles, messages, memory and time, without running it.

Tiles, messages and bytes are exact: they come from the partition that a run makes. Times come from a model,

    product = positions x time of a pattern + pixels x time of a pixel              (computing)
              + messages x latency + max(0, bytes / bandwidth - inner positions)    (halo)
              + log2 R x time of a reduction                                        (dot products)

for the slowest rank, with constants that `ptyxrf bench` measures. Inner positions touch no halo and hide it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.objective import blur_reach
from ptyxrf.driver.planning.machine import Machine
from ptyxrf.driver.planning.memory import NUMBERS, Sizes, channels_of, memory_of
from ptyxrf.parallel.partition import Partition, Reach

#: Ranks on a node where nobody says how many nodes there are.
RANKS_PER_NODE = 64

#: A product in units of its FFT pair, and what is added for each pattern in units of its time: a probe that
#: is refined, its shifts, and one map at the positions. Rough: they vary with m.
PAIRS, REFINED, SHIFTED, COUNTED = 1.6, 0.5, 1.4, 0.15

NO_REACH = Reach()

#: Fractions of the ideal that are looked for when it is said how far more ranks help.
THRESHOLDS = (0.8, 0.5)


@dataclass(frozen=True)
class Problem:
    """The sizes of a reconstruction.

    Attributes
    ----------
    corners : (N, 2) array of int64
        Corners of the windows.
    m : int
    grid : (int, int)
    modes, elements : int
    sampling : {"grid", "scan", None}
    method : {"joint", "ptychography", "fluorescence"}
    precision : {"single", "double"}
    fractional, refine_probe : bool
    reach : Reach
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

    @property
    def count(self) -> int:
        """Number of positions."""
        return len(self.corners)

    @cached_property
    def step(self) -> float:
        """Pixels between neighbouring positions, were they on a square raster."""
        extent = np.ptp(self.corners, axis=0) + 1.0
        return float(np.sqrt(extent.prod() / self.count))

    @property
    def channels(self) -> int:
        """Fields of unknowns."""
        return channels_of(self.method, self.elements)

    def sizes(self, **arrays: Any) -> Sizes:
        """Return what memory follows from, for positions, owned, covered, rows and columns of ranks."""
        return Sizes(
            m=self.m,
            modes=self.modes,
            elements=self.elements,
            sampling=self.sampling,
            method=self.method,
            fractional=self.fractional,
            refine_probe=self.refine_probe,
            **arrays,
        )


def problem_of(
    scan: Scan, method: str = "joint", precision: str = "single", refine_probe: bool = False, margin: int = 0
) -> Problem:
    """Return the sizes of a scan's reconstruction; without fluorescence that of the patterns alone."""
    if scan.sampling is None:
        method = "ptychography"
    return Problem(
        scan.corners,
        scan.m,
        scan.shape,
        scan.K,
        scan.N_e,
        scan.sampling,
        method,
        precision,
        bool(scan.fractions.any()),
        refine_probe,
        blur_reach(scan, method, margin),
    )


def problem_from_numbers(
    n: int,
    positions: int,
    m: int,
    *,
    modes: int = 1,
    elements: int = 0,
    sampling: str = "scan",
    method: str = "joint",
    precision: str = "single",
    refine_probe: bool = False,
) -> Problem:
    """Return the sizes of a square raster of positions over n x n pixels.

    Raises
    ------
    ValueError
        Naming what does not fit.
    """
    if m > n:
        raise ValueError(f"m: expected patterns of at most the {n} pixels of the object, got {m}")
    rows = math.isqrt(positions - 1) + 1
    columns = -(-positions // rows)
    places = [np.linspace(0, n - m, number).astype(np.int64) for number in (rows, columns)]
    corners = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, 2)[:positions]
    if elements == 0:
        method, kind = "ptychography", None
    else:
        kind = sampling
    grid_blur = kind == "grid" and method != "ptychography"
    reach = Reach(m - 1 - m // 2, m // 2) if grid_blur else Reach()
    return Problem(corners, m, (n, n), modes, elements, kind, method, precision, False, refine_probe, reach)


@dataclass(frozen=True)
class Load:
    """What each rank has to do in one Hessian product; arrays with an entry for each rank.

    Attributes
    ----------
    positions, inner : array
        Positions, and those that touch no halo.
    owned, covered, rows, columns : array
        Pixels; rows and columns of the covered rectangle.
    messages, bytes : array
        Sent to neighbours, halo out and back.
    far : array
        Share of them that goes to other nodes.
    node_bytes : array
        What all ranks of the rank's node send to other nodes, through one network card.
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


@dataclass(frozen=True)
class Seconds:
    """Time of one Hessian product on the slowest rank, and where it goes."""

    computing: float
    halo: float
    reductions: float

    @property
    def total(self) -> float:
        """Seconds."""
        return self.computing + self.halo + self.reductions


def _areas(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    return (edges[:, 1] - edges[:, 0]) * (edges[:, 3] - edges[:, 2])


def load_of(problem: Problem, partition: Partition, ranks_per_node: float) -> Load:
    """Return what each rank of a partition has to do."""
    owned, covered = partition.owned, partition.covered
    receiver, owner = partition.edges()
    shared = np.concatenate(
        [
            np.maximum(covered[receiver, ::2], owned[owner, ::2]),
            np.minimum(covered[receiver, 1::2], owned[owner, 1::2]),
        ],
        axis=1,
    )
    pixels = (shared[:, 2] - shared[:, 0]) * (shared[:, 3] - shared[:, 1])
    ranks = partition.ranks
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


def regular_load(problem: Problem, ranks: int, ranks_per_node: float) -> Load:
    """Return the load of a typical rank, were all tiles squares of one size: good for any number of ranks."""
    rows, columns = problem.grid
    side = math.sqrt(rows * columns / ranks)
    # windows with centres in a tile reach beyond it by half their size, less the distance of the outermost
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
        # tiles of a node form a block; along a line, what a window of a tile has beyond it, on average
        block = math.sqrt(ranks_per_node) * side
        window = side + 2 * reach
        beyond = min(1.0, reach * (reach / side + 1) / window * side / block)
        far = min(1.0, (1 - (1 - beyond) ** 2) * window**2 / max(window**2 - side**2, 1.0))
    values = (
        positions, inner * positions, side * side, wide * high, high, wide, 2 * neighbours, sent, far,
        far * sent * min(ranks, ranks_per_node),
    )  # fmt: skip
    return Load(*(np.array([value], dtype=float) for value in values))


def seconds_of(problem: Problem, load: Load, ranks: int, ranks_per_node: float, machine: Machine) -> Seconds:
    """Return the time of a Hessian product on the slowest rank."""
    pattern = machine.pattern_time(problem.m, problem.precision, problem.modes)
    share = 0.0 if problem.method == "fluorescence" else 1.0
    if problem.refine_probe:
        share += REFINED + (SHIFTED if problem.fractional else 0.0)
    if problem.sampling == "scan" and problem.method != "ptychography":
        share += COUNTED * (1 + problem.elements)
    each = share * pattern
    computing = (
        load.positions * each + load.covered * problem.channels * machine.pixel_seconds[problem.precision]
    )
    if problem.sampling == "grid" and problem.method != "ptychography":
        # four real transforms of the padded tile for each element
        padded = (load.rows + problem.m) * (load.columns + problem.m)
        size = problem.m**2
        rate = pattern / PAIRS / problem.modes / (2 * size * math.log2(size))
        computing = computing + problem.elements * 2 * rate * padded * np.log2(np.maximum(padded, 2))

    # ranks of a node copy side by side, but share its network card
    transfer = (1 - load.far) * load.bytes / machine.within_node.bandwidth
    transfer = transfer + load.node_bytes / machine.between_nodes.bandwidth
    latency = (1 - load.far) * machine.within_node.latency + load.far * machine.between_nodes.latency
    halo = load.messages * latency + np.maximum(0.0, transfer - load.inner * each)
    slowest = int(np.argmax(computing + halo))
    near = math.log2(max(min(ranks, ranks_per_node), 1))
    wide = math.log2(max(ranks / ranks_per_node, 1))
    reductions = near * machine.reduction_seconds
    reductions += wide * max(machine.reduction_seconds, machine.between_nodes.latency)
    if problem.refine_probe and ranks > 1:
        reductions += 2 * 16 * problem.modes * problem.m**2 / machine.within_node.bandwidth
    return Seconds(float(computing[slowest]), float(halo[slowest]), reductions)


@dataclass(frozen=True)
class Plan:
    """What `make_plan` finds.

    Attributes
    ----------
    problem : Problem
    ranks, nodes : int
    nodes_given : bool
        Whether the user said how many nodes.
    machine : Machine
    partition : Partition
    load : Load
    memory : (R,) array of int64
        Bytes of each rank above what an idle one takes.
    """

    problem: Problem
    ranks: int
    nodes: int
    nodes_given: bool
    machine: Machine
    partition: Partition
    load: Load
    memory: NDArray[np.int64]

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
        """Return about what efficiency another number of ranks has, with as many on a node.

        Regular tiles, corrected by what the tiles of the plan differ from such.
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
        """Return about how many ranks still reach an efficiency (at most one a position)."""
        ladder = sorted({round(2 ** (k / 4)) for k in range(4 * 40)})
        good = [r for r in ladder if r <= self.problem.count and self.estimate(r) >= threshold]
        return max(good, default=1)

    def facts(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
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
            "positions_per_rank": _spread(load.positions),
            "balance": self.partition.balance,
            "inner_positions_per_rank": _spread(load.inner),
            "owned_pixels": _spread(load.owned),
            "covered_pixels": _spread(load.covered),
            "messages_per_product": _spread(load.messages),
            "messages_of_all_ranks": int(load.messages.sum()),
            "bytes_per_product": _spread(load.bytes),
            "bytes_of_all_ranks": int(load.bytes.sum()),
            "memory_per_rank": _spread(self.memory),
            "memory_of_all_ranks": int(self.memory.sum()),
            "seconds_per_product": seconds.total,
            "seconds_computing": seconds.computing,
            "seconds_halo": seconds.halo,
            "seconds_reductions": seconds.reductions,
            "seconds_per_product_on_one_rank": self.one_rank.total,
            "efficiency": self.efficiency,
            "most_ranks_at_efficiency": {str(level): self.most_ranks(level) for level in THRESHOLDS},
        }


def _spread(values: NDArray[Any]) -> dict[str, float]:
    return {"least": float(values.min()), "mean": float(values.mean()), "most": float(values.max())}


def make_plan(problem: Problem, ranks: int, nodes: int | None = None, machine: Machine | None = None) -> Plan:
    """Cut a problem for a number of ranks and predict what follows.

    Parameters
    ----------
    problem : Problem
    ranks : int
        Up to 10^5 in seconds.
    nodes : int, optional
        Ranks are spread over them in order; default: 64 on each.
    machine : Machine, optional
        Default: typical values.

    Raises
    ------
    ValueError
        ranks or nodes are below 1, or there are more nodes than ranks.
    """
    if ranks < 1:
        raise ValueError(f"ranks: expected at least 1, got {ranks}")
    spread = nodes if nodes is not None else -(-ranks // RANKS_PER_NODE)
    if not 1 <= spread <= ranks:
        raise ValueError(f"nodes: expected from 1 to {ranks}, one rank each at least, got {nodes}")
    partition = Partition(problem.corners, problem.m, problem.grid, ranks, problem.reach)
    load = load_of(problem, partition, ranks / spread)
    sizes = problem.sizes(
        positions=load.positions,
        owned=load.owned,
        covered=load.covered,
        rows=load.rows,
        columns=load.columns,
        ranks=ranks,
    )
    memory = memory_of(sizes, problem.precision)["total"]
    return Plan(problem, ranks, spread, nodes is not None, machine or Machine(), partition, load, memory)


def _bytes_text(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.3g} {unit}"
        size /= 1000
    return ""


def _time_text(seconds: float) -> str:
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit or name == "µs":
            return f"{seconds / unit:.3g} {name}"
    return ""


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def plan_text(plan: Plan) -> str:
    """Return a plan in words."""
    problem, load, seconds = plan.problem, plan.load, plan.seconds
    rows, columns = problem.grid
    side = math.sqrt(load.owned.mean())
    more = load.covered.sum() / max(load.owned.sum(), 1)
    maps = f", {problem.elements} maps ({problem.sampling})" if problem.method != "ptychography" else ""
    assumed = "" if plan.nodes_given else f" ({RANKS_PER_NODE} on a node assumed: --nodes sets it)"
    lines = [
        f"{problem.method}, {problem.precision} precision: {problem.count:,} patterns of {problem.m} x "
        f"{problem.m}, object {rows:,} x {columns:,}{maps}",
        f"ranks        {plan.ranks:,} on {plan.nodes:,} node(s){assumed}",
        f"positions    {load.positions.min():,} to {load.positions.max():,} a rank, balance "
        f"{plan.partition.balance:.3f} (most over mean); {_percent(load.inner.sum() / problem.count)} "
        "touch no halo",
        f"tiles        {side:,.0f} x {side:,.0f} pixels on average, with halo {more:.3g} times as many",
        f"messages     {load.messages.mean():.3g} a rank and product, {_bytes_text(load.bytes.mean())} "
        f"(most {load.messages.max():,}, {_bytes_text(load.bytes.max())})",
        f"memory       {_bytes_text(plan.memory.mean())} a rank (most {_bytes_text(plan.memory.max())}), "
        f"{_bytes_text(plan.memory.sum() / plan.nodes)} a node, above what the program itself takes",
        f"time         {_time_text(seconds.total)} a Hessian product, {_time_text(plan.one_rank.total)} on "
        f"one rank: {_percent(seconds.computing / seconds.total)} computing, "
        f"{_percent(seconds.halo / seconds.total)} halo, "
        f"{_percent(seconds.reductions / seconds.total)} dot products",
        f"efficiency   {_percent(plan.efficiency)} of {plan.ranks:,} ranks (constants: {plan.machine.name})",
        "",
        *_advice(plan, more),
    ]
    return "\n".join(lines)


def _advice(plan: Plan, more: float) -> list[str]:
    """Say what limits the plan, and how far more ranks help."""
    problem, seconds, load = plan.problem, plan.seconds, plan.load
    high, low = (plan.most_ranks(level) for level in THRESHOLDS)
    mean = problem.count / plan.ranks
    words = []
    if plan.ranks == 1:
        words.append("One rank: nothing is exchanged.")
    elif load.inner.sum() == 0:
        words.append(
            f"No pattern lies within a single tile: with {mean:.3g} positions a rank nothing hides the halo, "
            f"which is {more - 1:.3g} times the pixels that a rank owns."
        )
    else:
        words.append(
            f"{_percent(load.inner.sum() / problem.count)} of the positions lie within their tile and hide "
            "the halo while it travels."
        )
    if plan.ranks > 1:
        pixels = load.covered.max() * problem.channels * plan.machine.pixel_seconds[problem.precision]
        shares = {
            "the patterns themselves": max(seconds.computing - pixels, 0.0),
            "the pixels of the halo, which are computed more than once": pixels * (1 - 1 / max(more, 1)),
            "the halo exchange": seconds.halo,
            "the dot products, which all ranks wait for": seconds.reductions,
        }
        patterns = shares.pop("the patterns themselves")
        name = max(shares, key=lambda key: shares[key])
        words.append(
            f"Of a product {_percent(patterns / seconds.total)} is work on patterns; what is lost goes to "
            f"{name} first ({_percent(shares[name] / seconds.total)})."
        )
    words.append(
        f"Up to about {high:,} ranks ({problem.count / high:.3g} positions each) reach 80 % of the ideal "
        f"speed, up to about {low:,} ({problem.count / low:.3g} each) 50 %; beyond, more ranks buy little."
    )
    if plan.ranks > problem.count:
        words.append(f"{plan.ranks - problem.count:,} ranks have no position: use at most {problem.count:,}.")
    return words
