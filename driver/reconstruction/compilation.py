"""Compile the kernels that a reconstruction will use, or load them, before its clock starts."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

from numba.core.event import Event, Listener, install_listener

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.job.launch import cores
from ptyxrf.driver.objective.link_choice import make_link
from ptyxrf.driver.objective.refractive_link import RefractiveLink
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction import rehearsal
from ptyxrf.driver.reconstruction.rehearsal import Kind, rehearse, rehearse_patterns, rehearse_rest
from ptyxrf.kernels.compiled import CACHE_FAULTS
from ptyxrf.kernels.implementation import resolve_engine
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import first_on_each_node, on_each_node

#: Settings that decide which kernels there are.
DECISIVE = (
    "method", "precision", "curvature", "refine_probe", "refine_positions", "refine_intensities",
    "pattern_loss",
)  # fmt: skip
#: Numba's name for the compilation of a function.
COMPILATION = "numba:compile"
#: Seconds between two words of progress.
PROGRESS_SECONDS = 5.0

log = logging.getLogger("ptyxrf")


def compile_kernels(
    scan: Scan, model: Model | None = None, comm: Any = None, *, products: bool = True
) -> None:
    """Compile the kernels for a scan, or load them where this machine has compiled them before.

    `reconstruct` does so by itself. Two processes compile side by side, the first two ranks of a node or one
    that is started for it; all others load.

    Parameters
    ----------
    scan : Scan
    model : Model, optional
        Settings of the objective. Default: those of `Objective`.
    comm : communicator or None
        All ranks take part.
    products : bool
        Whether Hessian products of patterns will be asked for.
    """
    kind = _kind(scan, Model() if model is None else model, products=products)
    cold = on_each_node(comm, lambda rank, size: rank == 0 and _is_cold(kind))
    if Ranks(comm).any(cold):
        log.info("compiling kernels: once on each machine, about 20 s on two idle cores")
        on_each_node(comm, partial(_compile_half, kind))
    first_on_each_node(comm, lambda: rehearse(kind))
    if CACHE_FAULTS:
        warnings.warn(
            f"compiled kernels cannot be kept, and are compiled anew in each run ({CACHE_FAULTS[0]}): let "
            "NUMBA_CACHE_DIR name a folder that can be written",
            stacklevel=3,
        )


def _kind(scan: Scan, model: Model, *, products: bool) -> Kind:
    engine = resolve_engine(model.engine, scan.m)
    background = model.refine_pattern_background or scan.pattern_background is not None
    decisive = {name: getattr(model, name) for name in DECISIVE}
    decisive["memory"] = "cached" if model.memory == "cached" else "low"
    link = "refractive" if isinstance(make_link(model, scan), RefractiveLink) else "linear"
    prior = "none" if model.fluorescence_prior in (None, "none") else 1.0
    tiny = Model(
        engine=engine, refine_pattern_background=background, link=link, fluorescence_prior=prior, **decisive
    )
    # maps alone are fitted by truncated Newton steps whatever the solver
    return Kind(tiny, scan.sampling, bool(scan.fractions.any()), products or model.method == "fluorescence")


class _Cold(Exception):
    """A kernel is not in the cache."""


class _Refusal(Listener):
    """Stops before a kernel is compiled."""

    def on_start(self, event: Event) -> None:
        raise _Cold

    def on_end(self, event: Event) -> None:
        pass


class _Progress(Listener):
    """Counts the functions that are compiled, and tells now and then how far it is."""

    def __init__(self) -> None:
        self.count, self.began = 0, time.perf_counter()
        self.told = self.began

    def on_start(self, event: Event) -> None:
        pass

    def on_end(self, event: Event) -> None:
        self.count += 1
        now = time.perf_counter()
        if now - self.told > PROGRESS_SECONDS:
            self.told = now
            log.info("compiling kernels: %d functions in %.0f s so far", self.count, now - self.began)


def _is_cold(kind: Kind) -> bool:
    """Return whether kernels have to be compiled; if not, they are loaded."""
    try:
        with install_listener(COMPILATION, _Refusal()):
            rehearse(kind)
    except _Cold:
        return True
    return False


def _compile_half(kind: Kind, rank: int, size: int) -> None:
    """Compile a half of the kernels where another rank or process compiles the other."""
    divided = kind.model.method != "fluorescence"
    if rank == 0:
        helper = _helper(kind) if divided and size == 1 else nullcontext()
        with install_listener(COMPILATION, _Progress()), helper:
            (rehearse_rest if divided else rehearse)(kind)
    elif rank == 1 and divided:
        rehearse_patterns(kind)


@contextmanager
def _helper(kind: Kind) -> Iterator[None]:
    """Compile the patterns in a process beside this one; what it fails to do is done later by this one."""
    helper = None
    if cores() > 1 and not CACHE_FAULTS:
        with suppress(OSError):
            command = [sys.executable, "-m", rehearsal.__name__, kind.as_text()]
            nothing = subprocess.DEVNULL
            helper = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
    try:
        yield
        if helper is not None:
            helper.wait()
    finally:
        if helper is not None and helper.poll() is None:
            helper.kill()
            helper.wait()
