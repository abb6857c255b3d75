"""Compile the kernels of the tutorials before the first of them runs, in two processes.

A tutorial then takes what it takes on a machine that has compiled its kernels before.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

import ptyxrf
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.compilation import compile_kernels

#: The fits of the tutorials, whose patterns have 64 x 64 pixels: settings on which kernels depend.
FITS: tuple[dict[str, Any], ...] = (
    {"method": "ptychography"},
    {"method": "ptychography", "refine_positions": "each"},
    {"method": "fluorescence"},
    {"method": "joint", "refine_positions": "each"},
    {"method": "joint", "refine_positions": "each", "curvature": "gauss-newton"},
)
#: The event at which sphinx-gallery runs the tutorials, at the usual priority of 500.
EVENT, EARLIER = "builder-inited", 100


def compile_for_tutorials(app: Sphinx) -> None:
    """Compile the kernels of all fits, or load them."""
    scan = ptyxrf.simulate(
        m=64, per_side=2, elements=1, margin=3, link="refractive", sampling="scan", fractional=True
    )
    for settings in FITS:
        model = Model(
            link="refractive", precision="single", refine_probe=True, fluorescence_prior="auto", **settings
        )
        compile_kernels(scan, model)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the compilation."""
    app.connect(EVENT, compile_for_tutorials, priority=EARLIER)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
