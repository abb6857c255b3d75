"""The bound that times per pattern are measured against: the fastest bare pair of FFTs of this machine.

A pair is one forward and one inverse 2-D transform of an m x m pattern on one thread. Every library that is
installed takes part, in place and out of place, one pattern at a time and a small batch at a time; the
fastest sets the bound. The patterns are several that together fill what the kernels keep in cache, and each
is transformed there and back before the next: fields of a reconstruction live in the same cache.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyfftw
from numpy.typing import NDArray

from ptyxrf.kernels.fftw.transforms import aligned_zeros, batch_size

#: Fields of each precision.
FIELDS: dict[str, np.dtype[Any]] = {"single": np.dtype(np.complex64), "double": np.dtype(np.complex128)}

#: Processor seconds of one timing at least, far above the resolution of the clock.
TIMED = 5e-4


@dataclass(frozen=True)
class Pair:
    """One library's way to transform patterns there and back.

    Attributes
    ----------
    library, way : str
    fields, images : (S, m, m) arrays of complex
        Patterns and their transforms; the same array where the way is in place.
    steps : list of (callable, callable)
        Forward and inverse transform of each batch; the inverse may leave out the factor 1/m^2.
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
        """Return the processor seconds of one pattern, there and back, from one timing.

        Processor time leaves out what other processes take, and counts every thread that a library starts.
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
        To be timed again beside other work.
    seconds : float
        Of one pattern: the median over rounds in which all pairs take turns.
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
    os.environ.setdefault("MKL_NUM_THREADS", "1")  # read when it is loaded
    mkl_fft = importlib.import_module("mkl_fft")
    return (
        lambda: mkl_fft.fftn(fields, axes=(1, 2), out=images),
        lambda: mkl_fft.ifftn(images, axes=(1, 2), out=fields),
    )


def _scipy(fields: NDArray, images: NDArray, planning_seconds: float) -> tuple[Callable, Callable]:
    from scipy import fft

    if fields is not images:
        raise ValueError("images: expected the fields themselves, for scipy.fft takes no output array")
    # contiguous complex arrays are overwritten with the transform where that is allowed
    return (
        lambda: fft.fft2(fields, overwrite_x=True, workers=1),
        lambda: fft.ifft2(fields, overwrite_x=True, workers=1),
    )


#: What each library is called, the module that must be there, and whether it writes to another array.
LIBRARIES: dict[str, tuple[str, Callable[..., tuple[Callable, Callable]], bool]] = {
    "pyFFTW": ("pyfftw", _fftw, True),
    "ducc0": ("ducc0", _ducc0, True),
    "mkl_fft": ("mkl_fft", _mkl_fft, True),
    "scipy.fft": ("scipy", _scipy, False),
}


def installed() -> list[str]:
    """Return the names of the libraries that can be loaded here."""
    names = []
    for name, (module, _, _) in LIBRARIES.items():
        try:
            importlib.import_module(module)
        except (ImportError, OSError):  # absent, or without a shared library that it needs
            continue
        names.append(name)
    return names


def pairs(m: int, precision: str, libraries: Iterable[str], planning_seconds: float) -> Iterator[Pair]:
    """Yield every way of some libraries to transform patterns there and back.

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
    count = max(batch, 2)  # else one pattern would stay in the first-level cache
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
        In each, every pair is timed once.
    planning_seconds : float
        FFTW plans with PATIENT effort, or as far as it comes in this time for each plan.

    Returns
    -------
    Bound

    Raises
    ------
    ValueError
        Naming the argument that is wrong.
    """
    if m < 1:
        raise ValueError(f"m: expected at least 1 pixel, got {m}")
    if precision not in FIELDS:
        raise ValueError(f"precision: expected {' or '.join(FIELDS)}, got {precision!r}")
    if rounds < 1:
        raise ValueError(f"rounds: expected at least 1, got {rounds}")
    if not planning_seconds > 0:
        raise ValueError(f"planning_seconds: expected a positive number, got {planning_seconds}")
    # fields of zeros: the values do not matter to the time, and these stay finite without a normalisation
    candidates = list(pairs(m, precision, installed(), planning_seconds))
    for pair in candidates:
        pair.seconds()
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
