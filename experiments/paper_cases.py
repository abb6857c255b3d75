"""The simulated scans and the solver settings of the paper, which all experiments share.

Scans have a known 64 x 64 zone-plate probe, 3 % Poisson noise in both modalities, one element with mu = 1,
and fluorescence on the grid. The solver makes 100 iterations of the plain truncated Newton method with at
most 50 inner iterations, starts from x = y = 0.5, and weights the fluorescence by gradient norms (arXiv
2511.02153, sections 2.3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.simulation.images import from_images, read_image
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.driver.simulation.specimens import Specimen
from ptyxrf.experiments.probe_shapes import probe_field

#: Changes of `Settings.paper` in the experiments: the number of iterations alone ends a run.
PAPER: dict[str, Any] = {
    "alpha": "gradnorm",
    "alpha_scale": 1.0,
    "precision": "double",
    "nonnegative": False,
    "max_iterations": 100,
    "gradient_tolerance": 0.0,
    "loss_tolerance": 0.0,
    "noise_stop": False,
}

#: Starting value of x and y.
START = 0.5
#: Noise level of both modalities.
NOISE = 0.03
#: Width of the features of a random map, in pixels.
SMOOTH = 4


@dataclass(frozen=True)
class Case:
    """A simulated scan, computed when it is first used.

    Attributes
    ----------
    label : str
        Description of the scan in tables and figures.
    settings : dict
        Arguments of `ptyxrf.simulate`; they are part of the names of cached results. A probe is a name of
        `probe_shapes`, and a specimen may be "random".
    images : pair of path, optional
        Magnitude and phase of the object, instead of a procedural specimen.
    change : callable, optional
        Takes the simulated scan and returns the scan to reconstruct, for example with a wrong model.
    changed : dict
        Settings of the change, for the names of cached results.
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
        if settings.get("specimen") == "random":
            settings["specimen"] = random_specimen(settings["n"], settings["seed"])
        if "probe" in settings:
            settings["probe"] = probe_field(settings["probe"], settings["m"])
        scan = simulate(**settings)
        return scan if self.change is None else self.change(scan)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the scan, for the names of cached results."""
        images = None if self.images is None else [crc32(path.read_bytes()) for path in self.images]
        return {"scan": dict(self.settings), "images": images, "changed": dict(self.changed)}

    @property
    def start(self) -> dict[str, Any]:
        """The paper's starting values: x = y = 0.5, with y divided evenly among the elements."""
        scan = self.scan
        total = float(np.sum(scan.attenuation)) if scan.N_e else 0.0
        elements = START / total if total > 0 else START
        return {"real_part": START, "imaginary_part": START, "elements": elements}

    @property
    def map_noise(self) -> float:
        """The noise level of the fluorescence."""
        return float(self.settings.get("fluorescence_noise", self.settings.get("noise", NOISE)))

    def but(self, label: str = "", **settings: Any) -> Case:
        """Return the case with other arguments of `ptyxrf.simulate`."""
        return replace(self, label=label or self.label, settings={**self.settings, **settings})


def random_specimen(n: int, seed: int) -> Specimen:
    """Return an object with white noise in [0.5, 1] as real part and a smooth random map in [0, 1]."""
    generator = np.random.default_rng(seed)
    real_part = generator.uniform(0.5, 1, (n, n))
    smooth = gaussian_filter(generator.normal(size=(n, n)), SMOOTH)
    return Specimen(real_part, (smooth[None] - smooth.min()) / np.ptp(smooth), np.ones(1), ("element 1",))


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
    """Return a scan that is simulated like those of the paper.

    Parameters
    ----------
    label : str
        Description of the scan; "n = ..." is put before it.
    n, m : int
        Edge of the object grid and of the probe window.
    per_side : int
        Number of positions along each side, evenly spaced over the grid inside the margin.
    margin : int
        Width of the border around the outermost windows, in pixels.
    quick : bool
        Halve all lengths in pixels.
    images : pair of path, optional
        Magnitude and phase of the object.
    specimen : str
        Procedural object if there are no images.
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
    n, per_side, m = (23, 2, 12) if quick else (62, 4, 16)
    label = f"n = {n}, m = {m}, 6.25 % overlap, noiseless"
    return Case(label, {"n": n, "per_side": per_side, "m": m, "seed": 0, "specimen": "cells", "noise": 0})


def paper_objective(case: Case, method: str, **changes: Any) -> Objective:
    """Return the paper's objective of a case: gradient-norm weight, full Hessian, double precision.

    Parameters
    ----------
    case : Case
    method : {"joint", "ptychography", "fluorescence"}
    **changes
        Other arguments of `ptyxrf.Objective`.
    """
    defaults = {"alpha": "gradnorm", "curvature": "full", "start": case.start}
    return Objective(case.scan, method, **(defaults | changes))


def vector_of(objective: Objective, object: NDArray[Any], elements: NDArray[Any]) -> NDArray[Any]:
    """Return the vector of unknowns of an (n, n) complex object and its (N_e, n, n) maps."""
    values = {"real_part": object.real, "imaginary_part": object.imag, "elements": elements}
    return objective.scatter(**{name: values[name] for name in objective.unknowns})
