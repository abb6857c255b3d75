"""Compile the kernels that a reconstruction will use, on a scan of a few pixels."""

from __future__ import annotations

import logging
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.link_choice import make_link
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.refractive_link import RefractiveLink
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.quality import measure_quality
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton
from ptyxrf.kernels.compiled import CACHE_FAULTS
from ptyxrf.kernels.implementation import resolve_engine
from ptyxrf.kernels.reductions import dots
from ptyxrf.parallel.startup import first_on_each_node

#: Settings that decide which kernels there are.
DECISIVE = (
    "method", "precision", "curvature", "refine_probe", "refine_positions", "refine_intensities",
    "pattern_loss",
)  # fmt: skip

log = logging.getLogger("ptyxrf")


def compile_kernels(scan: Scan, model: Model | None = None, comm: Any = None) -> None:
    """Compile the kernels for a scan, or load them where this machine has compiled them before.

    `reconstruct` does so by itself. On several ranks the first rank of each node compiles and the others
    load: ranks that compile at once would lose entries of the cache.

    Parameters
    ----------
    scan : Scan
    model : Model, optional
        Settings of the objective. Default: those of `Objective`.
    comm : communicator or None
        All ranks take part.
    """
    model = Model() if model is None else model
    folder = dots.stats.cache_path  # None without a cache
    if folder is None or not any(Path(folder).glob("*.nbi")):
        log.info("compiling kernels: once on each machine, about a minute")
    engine = resolve_engine(model.engine, scan.m)
    background = model.refine_pattern_background or scan.pattern_background is not None
    decisive = {name: getattr(model, name) for name in DECISIVE}
    link = "refractive" if isinstance(make_link(model, scan), RefractiveLink) else "linear"
    prior = "none" if model.fluorescence_prior in (None, "none") else 1.0
    kind = Model(
        engine=engine, refine_pattern_background=background, link=link, fluorescence_prior=prior, **decisive
    )
    first_on_each_node(comm, lambda: _compile(kind, scan.sampling, bool(scan.fractions.any())))
    if CACHE_FAULTS:
        warnings.warn(
            f"compiled kernels cannot be kept, and are compiled anew in each run ({CACHE_FAULTS[0]}): let "
            "NUMBA_CACHE_DIR name a folder that can be written",
            stacklevel=3,
        )


@cache
def _compile(model: Model, sampling: str | None, fractional: bool) -> None:
    """Evaluate a tiny objective of the same kind, and take steps of both solvers on it."""
    objective = Objective(
        _tiny_scan(sampling, fractional, 4 if model.engine == "vector" else 11), settings=model
    )
    objective.scale_weights()
    for solver in (QuasiNewton, TruncatedNewton):
        minimiser = solver(objective, SolverSettings(), Stops())
        state = minimiser.start(objective.initial)
        for _ in range(2):  # the first quasi-Newton step has no pairs yet
            state = minimiser.step(state)
    measure_quality(objective, state.vector, converged=True)


def _tiny_scan(sampling: str | None, fractional: bool, m: int) -> Scan:
    """Return a scan of three positions."""
    positions = np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 3.0]])
    if fractional:
        positions = positions + 0.25
    rng = np.random.default_rng(0)
    shape = (m + 4, m + 4)
    maps = {"grid": (1, *shape), "scan": (1, len(positions)), None: None}[sampling]
    return Scan(
        rng.poisson(9.0, (len(positions), m, m)).astype(np.float64),
        positions,
        rng.standard_normal((1, m, m)) + 1j,
        shape=shape,
        fluorescence=None if maps is None else rng.poisson(9.0, maps),
        attenuation=None if maps is None else [0.1],
        phase_shift=None if maps is None else [0.2],
    )
