"""How the paper simulates and reconstructs: what all experiments share.

m = 64, a zone plate's probe that is known, 3 % Poisson noise in both modalities, one element with mu = 1,
fluorescence on the grid; 100 steps of the plain truncated Newton method with up to 50 inner steps, from
x = y = 0.5, weighed by gradient norms (arXiv 2511.02153, sections 2.3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.simulation.images import from_images, read_image
from ptyxrf.driver.simulation.simulate import simulate

#: The paper's solver: it makes its steps, whatever the loss does.
PAPER: dict[str, Any] = {
    "solver": "paper",
    "alpha": "gradnorm",
    "alpha_scale": 1.0,
    "precision": "double",
    "nonnegative": False,
    "max_iterations": 100,
    "inner_limit": 50,
    "gradient_tolerance": 0.0,
    "loss_tolerance": 0.0,
    "noise_stop": False,
}

#: Where x and y start.
START = 0.5
#: Noise level of both modalities.
NOISE = 0.03


@dataclass(frozen=True)
class Case:
    """A simulated scan, made when it is first needed.

    Attributes
    ----------
    label : str
        What the scan is, for tables and figures.
    settings : dict
        Arguments of `ptyxrf.simulate`; they name what is stored.
    images : pair of path, optional
        Magnitude and phase of the object, in place of a procedural specimen.
    change : callable, optional
        Given the scan, returns the one that is reconstructed (a wrong model); `changed` says how.
    changed : dict
        Settings of the change.
    """

    label: str
    settings: Mapping[str, Any]
    images: tuple[Path, Path] | None = None
    change: Callable[[Scan], Scan] | None = None
    changed: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def scan(self) -> Scan:
        """The scan with its truth."""
        settings = dict(self.settings)
        if self.images is not None:
            n = settings["n"]
            settings["specimen"] = from_images(*(read_image(path) for path in self.images), shape=(n, n))
        scan = simulate(**settings)
        return scan if self.change is None else self.change(scan)

    @property
    def identity(self) -> dict[str, Any]:
        """What makes this scan, for the name of what is computed from it."""
        images = None if self.images is None else [crc32(path.read_bytes()) for path in self.images]
        return {"scan": dict(self.settings), "images": images, "changed": dict(self.changed)}

    @property
    def start(self) -> dict[str, Any]:
        """Where the paper starts: x = y = 0.5, the elements sharing y alike."""
        scan = self.scan
        total = float(np.sum(scan.attenuation)) if scan.N_e else 0.0
        elements = START / total if total > 0 else START
        return {"real_part": START, "imaginary_part": START, "elements": elements}

    @property
    def map_noise(self) -> float:
        """Noise level of the fluorescence."""
        return float(self.settings.get("fluorescence_noise", self.settings.get("noise", NOISE)))

    def but(self, label: str = "", **settings: Any) -> Case:
        """Return a case with other arguments of `ptyxrf.simulate`."""
        return replace(self, label=label or self.label, settings={**self.settings, **settings})


def paper_case(
    label: str,
    *,
    n: int,
    per_side: int,
    margin: int = 0,
    m: int = 64,
    quick: bool = False,
    images: tuple[Path, Path] | None = None,
    specimen: str = "cells",
    **settings: Any,
) -> Case:
    """Return a scan as the paper simulates it.

    Parameters
    ----------
    label : str
        What comes after "n = ...".
    n, m : int
        Edge of the object grid and of the probe window.
    per_side : int
        Positions along each side, evenly over the grid within the margin.
    margin : int
        Pixels left around the outermost windows.
    quick : bool
        Halve everything that is counted in pixels.
    images : pair of path, optional
        Magnitude and phase of the object.
    specimen : str
        Procedural object, where no images are given.
    **settings
        Further arguments of `ptyxrf.simulate`.
    """
    if quick:
        n, margin, m = n // 2, margin // 2, m // 2
    arguments: dict[str, Any] = {
        "n": n,
        "per_side": per_side,
        "margin": margin,
        "m": m,
        "seed": 0,
        "noise": NOISE,
    }
    if images is None:
        arguments["specimen"] = specimen
    return Case(f"n = {n}, {label}", arguments | settings, images)


def low_overlap_case(quick: bool) -> Case:
    """Return the scan of section 3: n = 62, m = 16, 6.25 % overlap, without noise."""
    n, per_side = (31, 2) if quick else (62, 4)
    label = f"n = {n}, m = 16, 6.25 % overlap, noiseless"
    return Case(label, {"n": n, "per_side": per_side, "m": 16, "seed": 0, "specimen": "cells", "noise": 0})
