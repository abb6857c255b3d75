"""Collective start-up: one outcome for all ranks, and work for a node that its ranks share."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from ptyxrf.parallel.reduction import reduced
from ptyxrf.parallel.waiting import Wait

T = TypeVar("T")

VERDICT = Wait("the other ranks to read, compile or plan what is theirs")
FIRST_RANK = Wait("what the first rank does for all")


def agreed(comm: Any, function: Callable[[], T]) -> T:
    """Run a function on every rank; if it fails on one, all raise the same error.

    Parameters
    ----------
    comm : communicator or None
    function : callable
        Must not communicate: ranks would wait for one that has failed.

    Returns
    -------
    object
        What the function returned on this rank.

    Raises
    ------
    Exception
        That of the first rank that failed.
    """
    failure: Exception | None = None
    result: Any = None
    try:
        result = function()
    except Exception as error:
        failure = error
    if not _alone(comm):
        size = comm.Get_size()
        with VERDICT:
            first = int(reduced(comm, size if failure is None else comm.Get_rank(), "MIN"))
            if first < size:
                failure = comm.bcast(_portable(failure), root=first)
    if failure is not None:
        raise failure
    return result


def from_first_rank(comm: Any, function: Callable[[], T]) -> T:
    """Run a function on the first rank alone and give its result, or its error, to every rank.

    Parameters
    ----------
    comm : communicator or None
    function : callable
        Returns something that can be pickled.
    """
    if _alone(comm):
        return function()
    outcome: tuple[Any, Exception | None] = (None, None)
    if comm.Get_rank() == 0:
        try:
            outcome = function(), None
        except Exception as error:
            outcome = None, _portable(error)
    with FIRST_RANK:
        result, failure = comm.bcast(outcome, root=0)
    if failure is not None:
        raise failure
    return result


def _alone(comm: Any) -> bool:
    return comm is None or comm.Get_size() == 1


def _portable(error: Exception | None) -> Exception | None:
    """Return an error that can be pickled; those of other libraries sometimes cannot."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        if isinstance(error, OSError):
            return OSError(error.errno, error.strerror, error.filename)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def first_on_each_node(comm: Any, function: Callable[[], Any]) -> None:
    """Run a function on the first rank of each node, then on the others.

    Kernels are loaded that way: what the first rank has had to compile, the others find in the node's cache.
    """
    on_each_node(comm, lambda rank, size: function() if rank == 0 else None)
    on_each_node(comm, lambda rank, size: function() if rank > 0 else None)


def on_each_node(comm: Any, function: Callable[[int, int], T]) -> T:
    """Run a function of this rank's number on its node and of the number of ranks there.

    As `agreed`: it must not communicate, and if it fails on one rank, all raise the same error.
    """
    if _alone(comm):
        return function(0, 1)
    from mpi4py import MPI

    with VERDICT:
        node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    rank, size = node.Get_rank(), node.Get_size()
    node.Free()
    return agreed(comm, lambda: function(rank, size))
