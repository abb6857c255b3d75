"""Compile the kernels that a reconstruction will use, on a scan of a few pixels."""

from __future__ import annotations

from functools import cache

import numpy as np

from ptyxrf.driver.data.scan import Scan


@cache
def warm_up(
    method: str, precision: str, curvature: str, refine_probe: bool, sampling: str | None, fractional: bool,
    engine: str,
) -> None:  # fmt: skip
    """Reconstruct a tiny scan of the same kind, which compiles the kernels or loads them from the cache.

    Parameters
    ----------
    method, precision, curvature, refine_probe
        As for `ptyxrf.Objective`.
    sampling : {"grid", "scan", None}
        Of the fluorescence.
    fractional : bool
        Whether positions have fractions.
    engine : {"vector", "library"}
        What transforms the patterns.
    """
    from ptyxrf.driver.reconstruction.reconstruct import reconstruct

    m = 4 if engine == "vector" else 11  # a size that leads to it
    positions = np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 3.0]])
    if fractional:
        positions = positions + 0.25
    rng = np.random.default_rng(0)
    shape = (m + 4, m + 4)
    maps = {"grid": (1, *shape), "scan": (1, len(positions)), None: None}[sampling]
    scan = Scan(
        rng.poisson(9.0, (len(positions), m, m)).astype(np.float64),
        positions,
        rng.standard_normal((1, m, m)) + 1j,
        shape=shape,
        fluorescence=None if maps is None else rng.poisson(9.0, maps),
    )
    for solver in ("quasi-newton", "newton"):
        reconstruct(
            scan,
            method,
            solver=solver,
            precision=precision,
            curvature=curvature,
            refine_probe=refine_probe,
            noise_stop=False,
            max_iterations=2,
        )
