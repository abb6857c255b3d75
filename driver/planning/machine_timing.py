"""Time the work of a reconstruction on one rank beside the bound of bare FFTs: patterns, pixels, maps.

Everything that is compared takes turns in one run, and counted is processor time: neither other processes
nor a clock that is turned up and down change the ratios much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.planning.fft_bound import Bound, fft_bound
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.kernels.fluorescence_grid import GridBlur, GridFluorescence
from ptyxrf.kernels.probe_shift import PositionedProbe

#: Positions along an edge for each size: a megapixel or more of patterns, well beyond the caches.
PER_SIDE = {64: 16, 128: 10, 256: 6}

#: What a pattern is timed for: name -> (probe unknown, positions with fractions, gradient or product).
#: "alone" is a gradient that keeps nothing for Hessian products, as the quasi-Newton steps have it.
WORK = {
    "alone": (False, False, "gradient"),
    "gradient": (False, False, "gradient"),
    "product": (False, False, "product"),
    "gradient, probe": (True, False, "gradient"),
    "product, probe": (True, False, "product"),
    "gradient, probe, sub-pixel": (True, True, "gradient"),
    "product, probe, sub-pixel": (True, True, "product"),
}

#: Object and window of the blur that is timed.
BLURRED, BLUR_WINDOW = 512, 64

#: First quartile, median and third quartile.
Spread = tuple[float, float, float]


def spread(values: NDArray[np.float64]) -> Spread:
    """Return the quartiles."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)


def take_turns(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Time calls one after the other, again and again.

    Parameters
    ----------
    calls : mapping of str to callable
        One that returns a float has timed itself.
    rounds : int
        After two that compile and warm up.

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


def points_of(objective: Objective) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two points, so that a probe that is refined is another one each time, as in a reconstruction."""
    other = objective.initial.copy()
    other[objective.layout.cut :] *= objective.real.type(1.01)
    return objective.initial, other


def _gradient_in_turn(objective: Objective, points: Iterator[NDArray[Any]]) -> None:
    objective.value_and_gradient(next(points))


def pattern_work(m: int, precision: str) -> tuple[dict[str, Callable[[], Any]], int]:
    """Return what is timed for patterns of a size, by the names of `WORK`, and for how many patterns each.

    Parameters
    ----------
    m : int
        One of `PER_SIDE`.
    precision : {"single", "double"}
    """
    calls: dict[str, Callable[[], Any]] = {}
    objectives: dict[tuple[bool, bool, str], tuple[Objective, NDArray[Any]]] = {}
    for name, (refine, fractional, what) in WORK.items():
        kind = refine, fractional, "low" if name == "alone" else "cached"
        if kind not in objectives:
            scan = simulate("cells", m=m, per_side=PER_SIDE[m], overlap=0.75, sampling=None, photons=100.0)
            if fractional:
                # towards the middle, so that no window leaves the object
                middle = (np.array(scan.shape) - m) / 2
                scan = scan.replace(positions=scan.positions + 0.01 * (middle - scan.positions))
            objective = Objective(
                scan, "ptychography", precision=precision, refine_probe=refine, memory=kind[-1]
            )
            objective.value_and_gradient(objective.initial)
            direction = np.random.default_rng(1).standard_normal(objective.size).astype(objective.real)
            objectives[kind] = objective, direction
        objective, direction = objectives[kind]
        if what == "gradient":
            calls[name] = partial(_gradient_in_turn, objective, cycle(points_of(objective)))
        else:
            calls[name] = partial(objective.hessian_product, direction)
    return calls, PER_SIDE[m] ** 2


@dataclass(frozen=True)
class PatternTimes:
    """Time of a pattern in multiples of the bound.

    Attributes
    ----------
    m : int
    precision : str
    bound : Bound
        As found before; here it takes turns with the work.
    seconds : dict
        Median seconds of a pattern by the names of `WORK`, and of the "bound".
    multiples : dict
        Name in `WORK` -> quartiles of the ratio to the bound, round by round.
    """

    m: int
    precision: str
    bound: Bound
    seconds: dict[str, float]
    multiples: dict[str, Spread]


def measure_patterns(m: int, precision: str, rounds: int) -> PatternTimes:
    """Time gradient and Hessian product of ptychography on one rank, for one mode.

    Parameters
    ----------
    m : int
        One of `PER_SIDE`.
    precision : {"single", "double"}
    rounds : int
    """
    bound = fft_bound(m, precision, min(rounds, 7))
    work, patterns = pattern_work(m, precision)
    times = take_turns({"bound": bound.pair.seconds, **work}, rounds)
    bare = times.pop("bound")
    seconds = {name: float(np.median(values)) / patterns for name, values in times.items()}
    multiples = {name: spread(values / patterns / bare) for name, values in times.items()}
    return PatternTimes(m, precision, bound, {"bound": float(np.median(bare)), **seconds}, multiples)


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
    times = take_turns({"product": lambda: objective.hessian_product(direction)}, rounds)
    return float(np.median(times["product"])) / (2 * n * n)


def blur_work(n: int, m: int, precision: str) -> dict[str, Callable[[], Any]]:
    """Return what is timed for one map on the grid: "transforms", its four real ones, "gradient", "product".

    Parameters
    ----------
    n, m : int
        Edge of the map and of the window.
    precision : {"single", "double"}
    """
    real: Any = np.float32 if precision == "single" else np.float64
    probe = PositionedProbe(np.zeros((1, 2)), 1, m, np.result_type(real, np.complex64))
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
        "gradient": lambda: [term.gradient(maps, out, False)],
        "product": lambda: term.product(change, out, False),
    }


def measure_blur(precision: str, rounds: int) -> dict[str, Spread]:
    """Return gradient and product of one map on the grid in multiples of its own four real transforms."""
    times = take_turns(blur_work(BLURRED, BLUR_WINDOW, precision), rounds)
    bare = times.pop("transforms")
    return {name: spread(values / bare) for name, values in times.items()}
