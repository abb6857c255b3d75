"""Arguments that all ranks must share, checked before anything is computed with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ptyxrf.parallel.waiting import Wait

COMPARISON = Wait("the arguments of the other ranks")

#: Ranks that a message names.
NAMED = 8


def check_communicator(comm: Any) -> None:
    """Refuse what is no communicator, or one between two groups of ranks.

    Raises
    ------
    ValueError
        On each rank that calls, before it communicates.
    """
    if comm is None:
        return
    if not hasattr(comm, "Get_size"):
        raise ValueError(f"comm: expected a communicator of mpi4py or None, got {type(comm).__name__}")
    if comm.Is_inter():
        raise ValueError("comm: expected a communicator of one group of ranks, got an intercommunicator")


def require_same(comm: Any, arguments: Mapping[str, str]) -> None:
    """Refuse arguments that differ between ranks; all ranks take part.

    One reduction of a digest where they are the same.

    Parameters
    ----------
    comm : communicator or None
    arguments : mapping of str to str
        A text that identifies the value of each argument.

    Raises
    ------
    ValueError
        On every rank, naming what differs, and on which ranks.
    """
    if comm is None or comm.Get_size() == 1 or _same(comm, arguments):
        return
    with COMPARISON:
        every = comm.allgather(dict(arguments))
    different = [_different(other, every[0]) for other in every]
    names = sorted(set().union(*different))
    ranks = [str(rank) for rank, found in enumerate(different) if found]
    listed = ", ".join(ranks[:NAMED]) + (", ..." if len(ranks) > NAMED else "")
    raise ValueError(
        f"{', '.join(names)}: expected the same on every rank, got others on rank {listed} than on rank 0"
    )


def _same(comm: Any, arguments: Mapping[str, str]) -> bool:
    from mpi4py import MPI

    text = repr(sorted(arguments.items())).encode()
    own = np.frombuffer(hashlib.sha256(text).digest(), np.uint64)
    largest = np.empty(2 * len(own), np.uint64)
    with COMPARISON:
        comm.Allreduce(np.concatenate([own, ~own]), largest, MPI.MAX)
    return bool(np.array_equal(largest[: len(own)], ~largest[len(own) :]))  # largest and smallest


def _different(some: Mapping[str, str], others: Mapping[str, str]) -> set[str]:
    return {name for name in some.keys() | others.keys() if some.get(name) != others.get(name)}
