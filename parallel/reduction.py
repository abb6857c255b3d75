"""Reductions over the ranks, and a count of what they and the halo exchange cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.parallel.waiting import Wait

SUM = Wait("a sum over the ranks", in_step=True)


def reduced(comm: Any, value: float, operation: str) -> float:
    """Return the "SUM", "MIN" or "MAX" of a number over the ranks.

    The `allreduce` of mpi4py, for any objects, keeps the interpreter to itself while it waits (measured): a
    watchdog beside it would fall silent, and be missed by another.
    """
    from mpi4py import MPI

    total = np.empty(1)
    comm.Allreduce(np.array([value], dtype=np.float64), total, getattr(MPI, operation))
    return float(total[0])


@dataclass
class Traffic:
    """What a rank has sent and waited for since the start.

    Attributes
    ----------
    messages, bytes : int
        Sent to neighbours.
    exchange_seconds : float
        Spent in starting, testing and awaiting them.
    reductions : int
        Reductions over all ranks.
    reduction_seconds : float
        Spent in them, waiting for other ranks included.
    """

    messages: int = 0
    bytes: int = 0
    exchange_seconds: float = 0.0
    reductions: int = 0
    reduction_seconds: float = 0.0


class Ranks:
    """The ranks of a communicator as the objective and the solver see them.

    Parameters
    ----------
    comm : communicator or None
        None: one rank, without MPI.

    Attributes
    ----------
    comm : communicator or None
        None where there is one rank.
    rank, size : int
        Which one this is, and how many there are.
    traffic : Traffic
    """

    def __init__(self, comm: Any = None) -> None:
        self.comm: Any = None if comm is None or comm.Get_size() == 1 else comm
        self.size = 1 if self.comm is None else int(self.comm.Get_size())
        self.rank = 0 if self.comm is None else int(self.comm.Get_rank())
        self.traffic = Traffic()

    def _reduce(self, values: NDArray[Any], operation: str) -> NDArray[Any]:
        if self.comm is None:
            return values
        from mpi4py import MPI

        began = time.perf_counter()
        total = np.empty_like(values)
        with SUM:
            self.comm.Allreduce(values, total, getattr(MPI, operation))
        self.traffic.reductions += 1
        self.traffic.reduction_seconds += time.perf_counter() - began
        return total

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of float64 values over the ranks, the same on each."""
        return self._reduce(values, "SUM")

    def checksums(self, *shares: np.uint64) -> list[int]:
        """Return the sums over the ranks of shares in checksums, modulo 2^64."""
        return self._reduce(np.array(shares, dtype=np.uint64), "SUM").tolist()

    def largest(self, *values: float) -> NDArray[np.float64]:
        """Return the largest of each value over the ranks."""
        return self._reduce(np.array(values, dtype=np.float64), "MAX")

    def any(self, *flags: bool) -> bool:
        """Return whether a flag is set on any rank, so that all ranks take the same decision."""
        return bool(self.largest(float(any(flags)))[0] > 0)
