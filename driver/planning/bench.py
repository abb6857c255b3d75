"""Measure the machine at hand: work on patterns, pixels and maps, and messages between ranks."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ptyxrf.driver.files.wisdom_file import load_wisdom, save_wisdom
from ptyxrf.driver.planning.machine import Machine, Network
from ptyxrf.driver.planning.machine_timing import (
    PER_SIDE,
    PatternTimes,
    Spread,
    measure_blur,
    measure_patterns,
    measure_pixels,
)
from ptyxrf.parallel.reduction import reduced

SIZES = (64, 128, 256)

#: Bytes of the messages whose time is measured, and how often each goes to and fro.
MESSAGE_BYTES, MESSAGES = 1 << 20, 50


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


def _measure_link(comm: Any, other: int) -> Network | None:
    """Measure messages between rank 0 and another one; None on ranks that have no part in it."""
    rank = comm.Get_rank()
    if rank not in (0, other):
        return None
    partner = other if rank == 0 else 0
    short = _to_and_fro(comm, partner, 1, rank == 0)
    long = _to_and_fro(comm, partner, MESSAGE_BYTES, rank == 0)
    return Network(short, MESSAGE_BYTES / max(long - short, 1e-9))


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


@dataclass(frozen=True)
class Measured:
    """What `measure_machine` finds.

    Attributes
    ----------
    machine : Machine
        Constants of the cost model: of the slowest rank.
    patterns : list of PatternTimes
        Of this rank, for each size and precision.
    blur : dict
        Precision -> gradient and product of one map in multiples of its transforms, on this rank.
    """

    machine: Machine
    patterns: list[PatternTimes]
    blur: dict[str, dict[str, Spread]]


def measure_machine(comm: Any, rounds: int, report: Callable[[PatternTimes], Any]) -> Measured:
    """Measure everything that the cost model needs.

    Parameters
    ----------
    comm : communicator or None
        Several ranks measure patterns all at once, as they share caches and memory in a reconstruction.
    rounds : int
    report : callable
        Given the times of each size and precision as they come.
    """
    load_wisdom(comm)
    found = []
    patterns: dict[str, dict[int, float]] = {"single": {}, "double": {}}
    for precision, times in patterns.items():
        for m in SIZES:
            found.append(measure_patterns(m, precision, rounds))
            report(found[-1])
            times[m] = found[-1].seconds["product"]
    if comm is None or comm.Get_rank() == 0:
        save_wisdom()  # the bound takes the most effort: reconstructions profit
    blur = {precision: measure_blur(precision, rounds) for precision in patterns}
    pixels = {precision: measure_pixels(precision, rounds) for precision in patterns}
    # the pixels' share is counted on its own
    for precision, times in patterns.items():
        for m in SIZES:
            side = m + round(m / 4) * (PER_SIDE[m] - 1)
            times[m] -= 2 * side**2 * pixels[precision] / PER_SIDE[m] ** 2
    node = platform.node() or "this machine"
    if comm is None:
        machine = Machine(
            name=f"measured on {node}, one rank; messages: typical values",
            pattern_seconds=patterns,
            pixel_seconds=pixels,
        )
        return Measured(machine, found, blur)

    def slowest(seconds: float) -> float:
        return reduced(comm, seconds, "MAX")  # it sets the pace

    patterns = {
        precision: {m: slowest(seconds) for m, seconds in times.items()}
        for precision, times in patterns.items()
    }
    pixels = {precision: slowest(seconds) for precision, seconds in pixels.items()}
    name = f"measured on {node}, {comm.Get_size()} ranks at once"
    machine = measure_messages(comm, Machine(name=name, pattern_seconds=patterns, pixel_seconds=pixels))
    return Measured(machine, found, blur)
