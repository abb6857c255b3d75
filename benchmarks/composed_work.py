"""The work timed in multiples of the FFT bound: gradients and products, of patterns and a blurred map."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.planning.machine_timing import PER_SIDE
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.kernels.fluorescence_grid import GridBlur, GridFluorescence
from ptyxrf.kernels.implementation import positioned_probe

#: Name -> (probe unknown, positions with fractions, gradient or product). "alone" is a gradient that stores
#: nothing for Hessian products, as the quasi-Newton solver needs it.
WORK = {
    "alone": (False, False, "gradient"),
    "gradient": (False, False, "gradient"),
    "product": (False, False, "product"),
    "gradient, probe": (True, False, "gradient"),
    "product, probe": (True, False, "product"),
    "gradient, probe, sub-pixel": (True, True, "gradient"),
    "product, probe, sub-pixel": (True, True, "product"),
}


def take_turns(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Time calls one after the other, again and again.

    Ratios of times that are taken in turn depend little on other processes and on the clock frequency.

    Parameters
    ----------
    calls : mapping of str to callable
        A call that returns a float has timed itself.
    rounds : int
        They follow two rounds that compile and warm up.

    Returns
    -------
    dict
        Processor seconds of each call, an array over the rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 2):
        for name, call in calls.items():
            began = time.process_time()
            own = call()
            spent = time.process_time() - began
            times[name].append(own if isinstance(own, float) else spent)
    return {name: np.array(values[2:]) for name, values in times.items()}


def pattern_work(m: int, precision: str) -> tuple[dict[str, Callable[[], Any]], int]:
    """Return a call for each name in `WORK`, and the number of patterns that a call computes.

    Parameters
    ----------
    m : int
        One of `PER_SIDE`.
    precision : {"single", "double"}
    """
    calls: dict[str, Callable[[], Any]] = {}
    objectives: dict[tuple[bool, bool, str], Objective] = {}
    for name, (refine, fractional, what) in WORK.items():
        kind = refine, fractional, "low" if name == "alone" else "cached"
        if kind not in objectives:
            objectives[kind] = _objective(m, precision, *kind)
        objective = objectives[kind]
        if what == "gradient":
            calls[name] = partial(_gradient_in_turn, objective, cycle(_two_points(objective)))
        else:
            direction = np.random.default_rng(1).standard_normal(objective.size).astype(objective.real)
            calls[name] = partial(objective.hessian_product, direction)
    return calls, PER_SIDE[m] ** 2


def _objective(m: int, precision: str, refine: bool, fractional: bool, memory: str) -> Objective:
    scan = simulate("cells", m=m, per_side=PER_SIDE[m], overlap=0.75, sampling=None, photons=100.0)
    if fractional:
        # towards the middle, so that no patch leaves the object
        middle = (np.array(scan.shape) - m) / 2
        scan = scan.replace(positions=scan.positions + 0.01 * (middle - scan.positions))
    objective = Objective(scan, "ptychography", precision=precision, refine_probe=refine, memory=memory)
    objective.value_and_gradient(objective.initial)
    return objective


def _two_points(objective: Objective) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two points with different probes: a probe that is refined changes at every evaluation."""
    other = objective.initial.copy()
    other[objective.layout.cut :] *= objective.real.type(1.01)
    return objective.initial, other


def _gradient_in_turn(objective: Objective, points: Iterator[NDArray[Any]]) -> None:
    objective.value_and_gradient(next(points))


def blur_work(n: int, m: int, precision: str) -> dict[str, Callable[[], Any]]:
    """Return the calls for one map on the grid: "transforms", its four real ones, "gradient", "product".

    Parameters
    ----------
    n, m : int
        Edge of the map and of the window.
    precision : {"single", "double"}
    """
    real: Any = np.float32 if precision == "single" else np.float64
    probe = positioned_probe(np.zeros((1, 2)), 1, m, np.result_type(real, np.complex64))
    rng = np.random.default_rng(0)
    maps, change, out = (rng.random((1, n, n), dtype=real) for _ in range(3))
    window = ((0, n), (0, n))
    blur = GridBlur((n, n), window, m, real, False)
    term = GridFluorescence(maps, np.ones(1), np.ones(1), probe, False, (n, n), window, False)
    term.set_probe(rng.standard_normal((1, m, m)) + 0j)

    def transforms() -> None:
        for _ in range(2):
            blur.forward()
            blur.back()

    return {
        "transforms": transforms,
        "gradient": lambda: [term.gradient(maps, out, None)],
        "product": lambda: term.product(change, out, None),
    }
