"""The FFT bound, and the time of gradients and Hessian products in multiples of it.

    python benchmarks/fft_bound.py [--rounds 15] [--json]

The bound is the fastest pair of one forward and one inverse 2-D transform of an m x m pattern on one thread.
All installed libraries take part (pyFFTW, scipy.fft, and ducc0 and mkl_fft from the extra "bench"), in place
and out of place, one pattern and a small batch at a time. The patterns together fill the cache that the
kernels use, and each is transformed forward and back before the next, as in a reconstruction.

Everything that is compared takes turns in one run, and processor time counts: neither other processes nor a
varying clock frequency change the ratios much.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyfftw
from composed_work import PER_SIDE, WORK, blur_work, pattern_work, take_turns
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_zeros, batch_size

#: Fields of each precision.
FIELDS: dict[str, np.dtype[Any]] = {"single": np.dtype(np.complex64), "double": np.dtype(np.complex128)}

#: Least processor time of one timing in seconds, far above the resolution of the clock.
TIMED = 5e-4

#: Edge of the map and of the window whose blur is timed.
BLURRED, BLUR_WINDOW = 512, 64

#: Width of a column of the table.
WIDTH = 10


@dataclass(frozen=True)
class Pair:
    """One way of a library to transform patterns forward and back.

    Attributes
    ----------
    library, way : str
    fields, images : (S, m, m) arrays of complex
        Patterns and their transforms; the same array where the way is in place.
    steps : list of (callable, callable)
        Forward and inverse transform of each batch; the inverse may omit the factor 1/m^2.
    """

    library: str
    way: str
    fields: NDArray[Any]
    images: NDArray[Any]
    steps: list[tuple[Callable[[], Any], Callable[[], Any]]]

    @property
    def name(self) -> str:
        """Library and way."""
        return f"{self.library}, {self.way}"

    def seconds(self) -> float:
        """Return the processor seconds of one pattern, forward and back, from one timing.

        Processor time leaves out other processes, and counts every thread that a library starts.
        """
        passes, spent = 0, 0.0
        began = time.process_time()
        while spent < TIMED:
            for forward, inverse in self.steps:
                forward()
                inverse()
            passes += 1
            spent = time.process_time() - began
        return spent / (passes * len(self.fields))


@dataclass(frozen=True)
class Bound:
    """The fastest pair.

    Attributes
    ----------
    m : int
    precision : str
    pair : Pair
        It can be timed again beside other work.
    seconds : float
        Time of one pattern: the median over rounds in which all pairs take turns.
    spread : (float, float)
        First and third quartile.
    libraries : dict
        Seconds of the best way of each library, fastest first.
    """

    m: int
    precision: str
    pair: Pair
    seconds: float
    spread: tuple[float, float]
    libraries: dict[str, float]

    @property
    def library(self) -> str:
        """Name of the library that sets the bound, and how."""
        return self.pair.name


def _fftw(fields: NDArray, images: NDArray, planning_seconds: float) -> tuple[Callable, Callable]:
    limit = {"axes": (1, 2), "flags": ("FFTW_PATIENT",), "threads": 1, "planning_timelimit": planning_seconds}
    forward = pyfftw.FFTW(fields, images, direction="FFTW_FORWARD", **limit)
    inverse = pyfftw.FFTW(images, fields, direction="FFTW_BACKWARD", **limit)
    return forward.execute, inverse.execute


def _ducc0(fields: NDArray, images: NDArray, planning_seconds: float) -> tuple[Callable, Callable]:
    c2c = importlib.import_module("ducc0.fft").c2c
    return (
        lambda: c2c(fields, axes=(1, 2), forward=True, out=images, nthreads=1),
        lambda: c2c(images, axes=(1, 2), forward=False, out=fields, nthreads=1),
    )


def _mkl_fft(fields: NDArray, images: NDArray, planning_seconds: float) -> tuple[Callable, Callable]:
    os.environ.setdefault("MKL_NUM_THREADS", "1")  # read when the module is loaded
    mkl_fft = importlib.import_module("mkl_fft")
    return (
        lambda: mkl_fft.fftn(fields, axes=(1, 2), out=images),
        lambda: mkl_fft.ifftn(images, axes=(1, 2), out=fields),
    )


def _scipy(fields: NDArray, images: NDArray, planning_seconds: float) -> tuple[Callable, Callable]:
    from scipy import fft

    if fields is not images:
        raise ValueError("images: expected the fields themselves, for scipy.fft takes no output array")
    # overwrite_x lets scipy put the transform of a contiguous complex array in its place
    return (
        lambda: fft.fft2(fields, overwrite_x=True, workers=1),
        lambda: fft.ifft2(fields, overwrite_x=True, workers=1),
    )


#: Name of each library, its module, its transforms, and whether it can write to another array.
LIBRARIES: dict[str, tuple[str, Callable[..., tuple[Callable, Callable]], bool]] = {
    "pyFFTW": ("pyfftw", _fftw, True),
    "ducc0": ("ducc0", _ducc0, True),
    "mkl_fft": ("mkl_fft", _mkl_fft, True),
    "scipy.fft": ("scipy", _scipy, False),
}


def installed() -> list[str]:
    """Return the names of the libraries that can be loaded."""
    names = []
    for name, (module, _, _) in LIBRARIES.items():
        try:
            importlib.import_module(module)
        except (ImportError, OSError):  # missing, or one of its shared libraries is
            continue
        names.append(name)
    return names


def pairs(m: int, precision: str, libraries: Iterable[str], planning_seconds: float) -> Iterator[Pair]:
    """Yield every way of some libraries to transform patterns forward and back.

    Parameters
    ----------
    m : int
    precision : {"single", "double"}
    libraries : iterable of str
        Names in `LIBRARIES`.
    planning_seconds : float
        Limit of each plan of pyFFTW.
    """
    dtype = FIELDS[precision]
    batch = batch_size(1, m, dtype)
    count = max(batch, 2)  # a single pattern would stay in the first-level cache
    for library in libraries:
        _, make, elsewhere = LIBRARIES[library]
        for out_of_place in (False, True) if elsewhere else (False,):
            for size in sorted({1, batch}):
                fields = aligned_zeros((count, m, m), dtype)
                images = aligned_zeros((count, m, m), dtype) if out_of_place else fields
                steps = []
                for first in range(0, count, size):
                    block = fields[first : first + size]
                    target = images[first : first + size] if out_of_place else block
                    steps.append(make(block, target, planning_seconds))
                place = "out of place" if out_of_place else "in place"
                way = f"{place}, {'one pattern' if size == 1 else f'{size} patterns'} at a time"
                yield Pair(library, way, fields, images, steps)


def fft_bound(m: int, precision: str, rounds: int = 15, planning_seconds: float = 5.0) -> Bound:
    """Find the fastest pair of FFTs of an m x m pattern.

    Parameters
    ----------
    m : int
    precision : {"single", "double"}
    rounds : int
        Each pair is timed once in a round.
    planning_seconds : float
        Time limit of each PATIENT plan of FFTW.

    Returns
    -------
    Bound

    Raises
    ------
    ValueError
        An argument is out of its range.
    """
    if m < 1:
        raise ValueError(f"m: expected at least 1 pixel, got {m}")
    if precision not in FIELDS:
        raise ValueError(f"precision: expected {' or '.join(FIELDS)}, got {precision!r}")
    if rounds < 1:
        raise ValueError(f"rounds: expected at least 1, got {rounds}")
    if not planning_seconds > 0:
        raise ValueError(f"planning_seconds: expected a positive number, got {planning_seconds}")
    # the values do not matter for the time, and zeros stay finite without normalisation
    candidates = list(pairs(m, precision, installed(), planning_seconds))
    for pair in candidates:
        pair.seconds()  # warm up
    times = np.array([[pair.seconds() for pair in candidates] for _ in range(rounds)])
    low, middle, high = np.percentile(times, (25, 50, 75), axis=0)
    order = np.argsort(middle)
    best: dict[str, float] = {}
    for place in order:
        best.setdefault(candidates[place].library, float(middle[place]))
    first = int(order[0])
    return Bound(
        m, precision, candidates[first], float(middle[first]), (float(low[first]), float(high[first])), best
    )


@dataclass(frozen=True)
class Multiples:
    """The time of a pattern in multiples of the bound.

    Attributes
    ----------
    bound : Bound
    bound_seconds : float
        Median time of the bound in turn with the work.
    quartiles : dict
        Name in `WORK` -> quartiles of the ratio to the bound, round by round.
    """

    bound: Bound
    bound_seconds: float
    quartiles: dict[str, tuple[float, float, float]]


def quartiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third quartile."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)


def measure_patterns(m: int, precision: str, rounds: int) -> Multiples:
    """Time gradients and Hessian products of ptychography in turn with the bound.

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
    ratios = {name: quartiles(values / patterns / bare) for name, values in times.items()}
    return Multiples(bound, float(np.median(bare)), ratios)


def measure_blur(precision: str, rounds: int) -> dict[str, tuple[float, float, float]]:
    """Return the times for one map on the grid in multiples of its own four real transforms."""
    times = take_turns(blur_work(BLURRED, BLUR_WINDOW, precision), rounds)
    bare = times.pop("transforms")
    return {name: quartiles(values / bare) for name, values in times.items()}


def head() -> str:
    """Return the head of the table of multiples."""
    above = "probe known".ljust(3 * WIDTH) + "".join(
        words.ljust(2 * WIDTH) for words in ("unknown", "and sub-pixel")
    )
    names = "".join(name.split(",")[0].ljust(WIDTH) for name in WORK)
    return f"{'':29}{above}\n{'   m  precision  bound (us)':29}{names}bound set by"


def row(found: Multiples) -> str:
    """Return the row of a size and precision."""
    bound = found.bound
    start = f"{bound.m:4d}  {bound.precision:9s}  {1e6 * found.bound_seconds:10.1f}"
    return f"{start:29}{''.join(f'{found.quartiles[n][1]:.2f}'.ljust(WIDTH) for n in WORK)}{bound.library}"


def as_json(found: Multiples) -> dict[str, Any]:
    """Return the multiples of a size and precision as plain numbers."""
    bound = found.bound
    return {
        "m": bound.m,
        "precision": bound.precision,
        "bound_seconds": found.bound_seconds,
        "bound_library": bound.library,
        "libraries": bound.libraries,
        "multiples": found.quartiles,
    }


def main() -> None:
    """Measure all sizes and precisions and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print quartiles and all libraries as JSON")
    options = parser.parse_args()
    table = []
    if not options.json:
        print(head())
    for precision in FIELDS:
        for m in PER_SIDE:
            table.append(measure_patterns(m, precision, options.rounds))
            if not options.json:
                print(row(table[-1]), flush=True)
    blur = {precision: measure_blur(precision, options.rounds) for precision in FIELDS}
    if options.json:
        print(json.dumps({"patterns": [as_json(found) for found in table], "blur": blur}, indent=2))
        return
    ratios = [values for found in table for values in found.quartiles.values()]
    widest = max(max(high - middle, middle - low) / middle for low, middle, high in ratios)
    print(f"medians; the quartiles lie within {100 * widest:.1f} % of them")
    for precision, times in blur.items():
        print(
            f"blur of a map of {BLURRED}^2 by {BLUR_WINDOW}^2, {precision}, in multiples of its four "
            f"transforms: gradient {times['gradient'][1]:.2f}, product {times['product'][1]:.2f}"
        )


if __name__ == "__main__":
    main()
