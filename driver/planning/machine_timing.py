"""Measure the cost model's constants on this machine: patterns, pixels, and messages between ranks."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.planning.machine import Machine, Network
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.parallel.reduction import reduced

#: Pattern sizes that are measured, and the positions along an edge: together the patterns exceed the caches.
PER_SIDE = {64: 16, 128: 10, 256: 6}
#: Bytes of the long messages.
MESSAGE_BYTES = 1 << 20
#: Round trips and reductions that are timed.
MESSAGES = 50
#: Calls before a timing, which compile and fill the caches.
WARM_UP = 2


def processor_seconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the median processor time of a call.

    Processor time leaves out other processes, and counts every thread that a library starts.
    """
    times = []
    for _ in range(WARM_UP + rounds):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return float(np.median(times[WARM_UP:]))


@dataclass(frozen=True)
class PatternTime:
    """The time of a Hessian product of ptychography: one mode, known probe, positions on whole pixels.

    Attributes
    ----------
    m : int
    precision : {"single", "double"}
    seconds : float
        For one pattern, with its share of the pixels of the object.
    pixels : float
        That share, in pixels of a field.
    """

    m: int
    precision: str
    seconds: float
    pixels: float


def measure_patterns(m: int, precision: str, rounds: int) -> PatternTime:
    """Time Hessian products on patterns of a size in `PER_SIDE`."""
    scan = simulate("cells", m=m, per_side=PER_SIDE[m], overlap=0.75, sampling=None, photons=100.0)
    objective = Objective(scan, "ptychography", precision=precision)
    seconds = _product_seconds(objective, rounds)
    return PatternTime(m, precision, seconds / scan.N, 2 * scan.shape[0] * scan.shape[1] / scan.N)


def _product_seconds(objective: Objective, rounds: int) -> float:
    objective.value_and_gradient(objective.initial)
    direction = np.random.default_rng(1).standard_normal(objective.size).astype(objective.real)
    return processor_seconds(lambda: objective.hessian_product(direction), rounds)


class _FewPatterns:
    """One pattern for each of a few positions on a large object: only the cost of the pixels counts."""

    def __init__(self, count: int, m: int) -> None:
        self.shape, self.dtype = (count, m, m), np.dtype(np.float32)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        return np.ones((len(np.arange(self.shape[0])[key]), *self.shape[1:]), np.float32)


def measure_pixels(precision: str, rounds: int) -> float:
    """Return the seconds of a product for one pixel of one field of the object."""
    n, m = 1024, 8
    positions = np.array([[0.0, 0.0], [n - m, n - m]])
    scan = Scan(_FewPatterns(2, m), positions, np.ones((m, m), complex), shape=(n, n))
    objective = Objective(scan, "ptychography", precision=precision)
    return _product_seconds(objective, rounds) / (2 * n * n)


def measure_messages(comm: Any, machine: Machine) -> Machine:
    """Measure messages and reductions between ranks, within a node and between nodes if there are several.

    Parameters
    ----------
    comm : communicator
        Of two ranks or more; all take part.
    machine : Machine
        Its other constants are kept.

    Returns
    -------
    Machine
        The same on every rank.
    """
    hosts = comm.allgather(platform.node())
    near = [rank for rank, host in enumerate(hosts) if rank > 0 and host == hosts[0]]
    far = [rank for rank, host in enumerate(hosts) if host != hosts[0]]
    found: dict[str, Any] = {}
    for name, others in (("within_node", near), ("between_nodes", far)):
        if others:
            found[name] = comm.bcast(_measure_network(comm, others[0]), root=0)
        comm.Barrier()
    values, total = np.zeros(3), np.zeros(3)
    seconds = _seconds_of_one(lambda: comm.Allreduce(values, total))
    stages = max(np.log2(comm.Get_size()), 1.0)
    found["reduction_seconds"] = comm.bcast(float(seconds / stages), root=0)
    return replace(machine, **found)


def _measure_network(comm: Any, other: int) -> Network | None:
    """Measure messages between rank 0 and another one; None on the other ranks."""
    rank = comm.Get_rank()
    if rank not in (0, other):
        return None
    partner = other if rank == 0 else 0

    def one_way(size: int) -> float:
        buffer = np.zeros(size, np.uint8)
        steps = [lambda: comm.Send(buffer, partner), lambda: comm.Recv(buffer, partner)]
        first, second = steps if rank == 0 else steps[::-1]
        return _seconds_of_one(lambda: (first(), second())) / 2

    short, long = one_way(1), one_way(MESSAGE_BYTES)
    return Network(short, MESSAGE_BYTES / max(long - short, 1e-9))


def _seconds_of_one(call: Callable[[], Any]) -> float:
    """Return the mean elapsed time of `MESSAGES` calls after five others."""
    for _ in range(5):
        call()
    began = time.perf_counter()
    for _ in range(MESSAGES):
        call()
    return (time.perf_counter() - began) / MESSAGES


def measure_machine(comm: Any, rounds: int, report: Callable[[PatternTime], Any]) -> Machine:
    """Measure everything that the cost model needs.

    Parameters
    ----------
    comm : communicator or None
        Several ranks measure patterns at once, because they share caches and memory in a reconstruction. The
        slowest rank sets the constants.
    rounds : int
        Repetitions of each timing.
    report : callable
        Called with the time of each size and precision as they come.

    Returns
    -------
    Machine
        The same on every rank.
    """

    def slowest(seconds: float) -> float:
        return seconds if comm is None else reduced(comm, seconds, "MAX")

    patterns: dict[str, dict[int, float]] = {}
    pixels: dict[str, float] = {}
    for precision in ("single", "double"):
        pixels[precision] = slowest(measure_pixels(precision, rounds))
        patterns[precision] = {}
        for m in PER_SIDE:
            found = measure_patterns(m, precision, rounds)
            report(found)
            # the model counts pixels on their own
            patterns[precision][m] = slowest(found.seconds - found.pixels * pixels[precision])
    node = platform.node() or "this machine"
    if comm is None:
        name = f"measured on {node}, one rank; messages: typical values"
        return Machine(name, patterns, pixels)
    name = f"measured on {node}, {comm.Get_size()} ranks at once"
    return measure_messages(comm, Machine(name, patterns, pixels))
