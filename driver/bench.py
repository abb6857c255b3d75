"""Measure the machine at hand: time per pattern beside a bare FFT pair, and messages between ranks."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.machine import Link, Machine
from ptyxrf.driver.objective import Objective
from ptyxrf.driver.scan import Scan
from ptyxrf.driver.simulate import simulate
from ptyxrf.kernels.fourier import PatternFourier

SIZES = (64, 128, 256)
#: Positions along an edge for each size: a megapixel or more of patterns, well beyond the caches.
PER_SIDE = {64: 16, 128: 10, 256: 6}
#: Bytes of the messages whose time is measured, and how often each goes to and fro.
MESSAGE_BYTES, MESSAGES = 1 << 20, 50


@dataclass(frozen=True)
class PatternTimes:
    """Seconds per pattern: medians over rounds in which pair, gradient and product take turns.

    Attributes
    ----------
    m : int
    precision : str
    pair : float
        One forward and one inverse transform of the same fields by the same plans.
    gradient, product : float
    gradient_ratio, product_ratio : (3,) tuples of float
        First quartile, median and third quartile of the ratio to the pair, round by round.
    """

    m: int
    precision: str
    pair: float
    gradient: float
    product: float
    gradient_ratio: tuple[float, float, float]
    product_ratio: tuple[float, float, float]


def _seconds(call: Callable[..., Any], *arguments: Any) -> float:
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def measure_patterns(m: int, precision: str, rounds: int) -> PatternTimes:
    """Time gradient and Hessian product of ptychography with a known probe on one rank.

    Parameters
    ----------
    m : int
        One of `SIZES`.
    precision : {"single", "double"}
    rounds : int
        After two that compile and warm up.
    """
    scan = simulate("cells", m=m, per_side=PER_SIDE[m], overlap=0.75, sampling=None, photons=100.0)
    objective = Objective(scan, "ptychography", precision=precision)
    objective.value_and_gradient(objective.initial)
    fourier = PatternFourier(1, m, objective.complex)
    fields = fourier.buffer()
    fields[...] = np.random.default_rng(0).standard_normal(fields.shape)
    batches = range(0, scan.N, fourier.batch)

    def pair() -> None:
        for _ in batches:
            fourier.forward(fields, fields)
            fourier.backward(fields, fields)
            fields[...] *= 1 / m**2

    def scaling() -> None:
        for _ in batches:
            fields[...] *= 1 / m**2

    direction = np.random.default_rng(1).standard_normal(objective.size).astype(objective.real)
    times = []
    for turn in range(rounds + 2):
        bare = (_seconds(pair) - _seconds(scaling)) / (len(batches) * fourier.batch)
        gradient = _seconds(objective.value_and_gradient, objective.initial) / scan.N
        product = _seconds(objective.hessian_product, direction) / scan.N
        if turn >= 2:
            times.append((bare, gradient, product))
    array = np.array(times)
    low, middle, high = np.percentile(array[:, 1:] / array[:, :1], (25, 50, 75), axis=0)
    bare, gradient, product = np.median(array, axis=0)
    return PatternTimes(
        m,
        precision,
        float(bare),
        float(gradient),
        float(product),
        (float(low[0]), float(middle[0]), float(high[0])),
        (float(low[1]), float(middle[1]), float(high[1])),
    )


class _FewPatterns:
    """One pattern for each of a few positions on a large object: what is left is the cost of the pixels."""

    def __init__(self, count: int, m: int) -> None:
        self.shape, self.dtype = (count, m, m), np.dtype(np.float32)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        return np.ones((len(np.arange(self.shape[0])[key]), *self.shape[1:]), np.float32)


def measure_pixels(precision: str, rounds: int) -> float:
    """Return the seconds that a product takes for one pixel of one field of the object."""
    n, m = 1024, 8
    positions = np.array([[0.0, 0.0], [n - m, n - m]])
    scan = Scan(_FewPatterns(2, m), positions, np.ones((m, m), complex), shape=(n, n))
    objective = Objective(scan, "ptychography", precision=precision)
    objective.value_and_gradient(objective.initial)
    direction = np.ones(objective.size, objective.real)
    times = [_seconds(objective.hessian_product, direction) for _ in range(rounds + 2)][2:]
    return float(np.median(times)) / (2 * n * n)


def _to_and_fro(comm: Any, other: int, size: int, first: bool) -> float:
    """Return the seconds of a message from one rank to the other (half a round trip); both take part."""
    buffer = np.zeros(size, np.uint8)
    for turn in range(MESSAGES + 5):
        if turn == 5:
            began = time.perf_counter()
        if first:
            comm.Send(buffer, other)
            comm.Recv(buffer, other)
        else:
            comm.Recv(buffer, other)
            comm.Send(buffer, other)
    return (time.perf_counter() - began) / (2 * MESSAGES)


def _measure_link(comm: Any, other: int) -> Link | None:
    """Measure messages between rank 0 and another one; None on ranks that have no part in it."""
    rank = comm.Get_rank()
    if rank not in (0, other):
        return None
    partner = other if rank == 0 else 0
    short = _to_and_fro(comm, partner, 1, rank == 0)
    long = _to_and_fro(comm, partner, MESSAGE_BYTES, rank == 0)
    return Link(short, MESSAGE_BYTES / max(long - short, 1e-9))


def measure_messages(comm: Any, machine: Machine) -> Machine:
    """Measure messages and reductions between ranks, within a node and between nodes where there are some.

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
            found[name] = comm.bcast(_measure_link(comm, others[0]), root=0)
        comm.Barrier()
    values, total = np.zeros(3), np.zeros(3)
    for turn in range(MESSAGES + 5):
        if turn == 5:
            began = time.perf_counter()
        comm.Allreduce(values, total)
    stages = max(np.log2(comm.Get_size()), 1.0)
    found["reduction_seconds"] = comm.bcast(float((time.perf_counter() - began) / MESSAGES / stages), root=0)
    return replace(machine, **found)


def measure_machine(comm: Any, rounds: int, report: Callable[[PatternTimes], Any]) -> Machine:
    """Measure everything that the cost model needs.

    Parameters
    ----------
    comm : communicator or None
        Several ranks measure patterns all at once, as they share caches and memory in a reconstruction.
    rounds : int
    report : callable
        Given the times of each size and precision as they come.
    """
    patterns: dict[str, dict[int, float]] = {"single": {}, "double": {}}
    for precision, times in patterns.items():
        for m in SIZES:
            measured = measure_patterns(m, precision, rounds)
            report(measured)
            times[m] = measured.product
    pixels = {precision: measure_pixels(precision, rounds) for precision in patterns}
    # the pixels' share is counted on its own
    for precision, times in patterns.items():
        for m in SIZES:
            side = m + round(m / 4) * (PER_SIDE[m] - 1)
            times[m] -= 2 * side**2 * pixels[precision] / PER_SIDE[m] ** 2
    node = platform.node() or "this machine"
    if comm is None:
        return Machine(
            name=f"measured on {node}, one rank; messages: typical values",
            pattern_seconds=patterns,
            pixel_seconds=pixels,
        )
    # the slowest rank sets the pace
    from mpi4py import MPI

    def slowest(seconds: float) -> float:
        return float(comm.allreduce(seconds, MPI.MAX))

    patterns = {
        precision: {m: slowest(seconds) for m, seconds in times.items()}
        for precision, times in patterns.items()
    }
    pixels = {precision: slowest(seconds) for precision, seconds in pixels.items()}
    name = f"measured on {node}, {comm.Get_size()} ranks at once"
    return measure_messages(comm, Machine(name=name, pattern_seconds=patterns, pixel_seconds=pixels))
