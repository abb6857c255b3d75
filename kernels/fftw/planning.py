"""How much effort the planning of a transform is worth: never more than it saves in ten iterations.

FFTW plans from estimates at once, or it tries algorithms: some with MEASURE, many with PATIENT. What it finds
is its wisdom, with which the same transform is planned at once another time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import pyfftw

#: Sweeps over the positions (gradients and Hessian products) of ten iterations of the solver.
TEN_ITERATIONS = 80


@dataclass(frozen=True)
class Effort:
    """What a plan costs and saves.

    Attributes
    ----------
    flag : str
    gain : float
        Share of the time of a transform that it saves, over the effort before.
    start, each : float
        It takes about so many seconds, and more for each value that is transformed.
    """

    flag: str
    gain: float
    start: float
    each: float


#: Measured for complex patterns of 64^2 to 256^2 and real maps of 576^2 to 1152^2 in both precisions: MEASURE
#: took 0.05 to 0.6 s and PATIENT 0.25 to 22 s. The former saves 0 to 30 % (patterns of 256^2: 90 %), the
#: latter 0 to 25 % more; expected is less than the most, so that planning pays.
EFFORTS = (Effort("FFTW_MEASURE", 0.2, 0.05, 1e-6), Effort("FFTW_PATIENT", 0.05, 0.25, 2e-5))

#: Given flags and a limit in seconds (None: no limit), make a plan.
Make = Callable[[tuple[str, ...], float | None], Any]


def seconds_of(plan: Any) -> float:
    """Return the time of one transform."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        plan.execute()
        times.append(time.perf_counter() - began)
    return min(times)


def search(make: Make, values: int, executions: float) -> tuple[Any, bool]:
    """Plan a transform with the effort that it is worth.

    Parameters
    ----------
    make : callable
        Makes a plan.
    values : int
        How many are transformed together.
    executions : float
        How often the transform is needed in ten iterations. 0: take what is known, search for nothing.

    Returns
    -------
    plan : pyfftw.FFTW
    searched : bool
        Whether algorithms were tried, so that there is something to be remembered.
    """
    plan, searched = make(("FFTW_ESTIMATE",), None), False  # with the best that is known already, if any
    if executions == 0:
        return plan, searched
    for effort in EFFORTS:
        saved = effort.gain * executions * seconds_of(plan)
        if saved < effort.start + effort.each * values:
            break
        try:
            plan = make((effort.flag, "FFTW_WISDOM_ONLY"), None)
        except RuntimeError:  # nobody has searched yet
            plan, searched = make((effort.flag,), saved), True
    return plan, searched


class Plans:
    """The plans of a process, by what they transform.

    Attributes
    ----------
    searches : int
        How many were searched for.
    """

    def __init__(self) -> None:
        self.searches = 0
        self._known: dict[Hashable, tuple[Any, float]] = {}

    def get(self, key: Hashable, make: Make, values: int, executions: float | None = 0) -> Any:
        """Return the plan of a transform.

        Parameters
        ----------
        key : hashable
        make : callable
            Makes a plan, where none is there or a greater effort pays.
        values : int
        executions : float or None
            As for `search`; None: make the plan anew with what is known by now.
        """
        plan, worth = self._known.get(key, (None, 0.0))
        if plan is None or executions is None or executions > worth:
            plan, searched = search(make, values, executions or 0)
            self.searches += searched
            self._known[key] = plan, executions or 0
        return plan


#: Shared by all that transform: plans are made once in a process.
PLANS = Plans()


def plan_wisdom() -> tuple[bytes, ...]:
    """Return what the planner has learned in this process, to be given to others."""
    return tuple(pyfftw.export_wisdom())


def take_wisdom(wisdom: tuple[bytes, ...]) -> bool:
    """Take what a planner has learned elsewhere; return whether all of it could be used."""
    return all(pyfftw.import_wisdom(wisdom))
