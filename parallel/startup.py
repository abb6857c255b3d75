"""How ranks begin together: one verdict for all, one compiler per node, one planner of transforms."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from ptyxrf.kernels.fourier import forget_plans, plan_wisdom, take_wisdom

T = TypeVar("T")


def agreed(comm: Any, function: Callable[[], T]) -> T:
    """Run a function on every rank; where it fails on one, it fails on all, with one and the same error.

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
        first = comm.allreduce(size if failure is None else comm.Get_rank(), _minimum())
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
    result, failure = comm.bcast(outcome, root=0)
    if failure is not None:
        raise failure
    return result


def _alone(comm: Any) -> bool:
    return comm is None or comm.Get_size() == 1


def _minimum() -> Any:
    from mpi4py import MPI

    return MPI.MIN


def _portable(error: Exception | None) -> Exception | None:
    """Return an error that can be sent to other ranks; what other libraries raise sometimes cannot."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        if isinstance(error, OSError):
            return OSError(error.errno, error.strerror, error.filename)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def first_on_each_node(comm: Any, function: Callable[[], Any]) -> None:
    """Run a function on the first rank of each node, then on the others.

    Kernels are compiled that way: the first rank fills the node's cache and the others read it. Several
    ranks that compile at once lose entries of the cache.
    """
    if _alone(comm):
        function()
        return
    from mpi4py import MPI

    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    first = node.Get_rank() == 0
    try:
        agreed(comm, function if first else lambda: None)
        agreed(comm, (lambda: None) if first else function)
    finally:
        node.Free()


def share_plans(comm: Any, plan: Callable[[], Any]) -> None:
    """Plan transforms on the first rank and give what it learned to the others, which then plan at once.

    Parameters
    ----------
    comm : communicator or None
    plan : callable
        Makes the plans.
    """
    if _alone(comm):
        plan()
        return

    def measure() -> Any:
        plan()
        return plan_wisdom()

    wisdom = from_first_rank(comm, measure)
    if comm.Get_rank() > 0:
        forget_plans()
        take_wisdom(wisdom)
        plan()
