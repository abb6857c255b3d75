"""One planner of transforms for all ranks."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from ptyxrf.kernels.fftw.planning import PLANS, plan_wisdom, take_wisdom
from ptyxrf.parallel.startup import FIRST_RANK, VERDICT, agreed


def share_plans(comm: Any, kind: Hashable, plan: Callable[[bool], Any]) -> bool:
    """Plan each kind of transform on one rank and give its wisdom to all, which then plan without a search.

    Every rank that needs a kind then runs the same algorithm, so that equal input gives equal output.

    Parameters
    ----------
    comm : communicator or None
    kind : hashable
        What this rank transforms: the first rank with a kind searches for its plans. None: nothing.
    plan : callable
        Makes the plans. True: search for good ones; False: make them from the available wisdom.

    Returns
    -------
    bool
        On the first rank, whether the wisdom of any rank has changed.
    """
    before = PLANS.searches
    if comm is None or comm.Get_size() == 1:
        if kind is not None:
            plan(True)
        return PLANS.searches > before
    with VERDICT:
        kinds = comm.allgather(kind)
    first = comm.Get_rank() == 0
    searching = kind is not None and kinds.index(kind) == comm.Get_rank()
    agreed(comm, lambda: plan(True) if searching else None)
    mine = plan_wisdom() if PLANS.searches > before else None
    with VERDICT:
        learned = comm.gather(mine, root=0)
    news = [wisdom for wisdom in learned or () if wisdom is not None]
    for wisdom in news:
        take_wisdom(wisdom)
    known = plan_wisdom() if first else None
    with FIRST_RANK:
        wisdom = comm.bcast(known, root=0)
    if kind is not None and not searching:
        take_wisdom(wisdom)
        plan(False)
    return first and bool(news)
