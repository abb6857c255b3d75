"""A tiny reconstruction that uses the kernels of a real one, whole or in two halves."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.batch_sweeps import BatchSweeps
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.illumination import illuminated_part
from ptyxrf.driver.reconstruction.quality import measure_quality
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton
from ptyxrf.kernels.probe_shift import AdjointSum
from ptyxrf.kernels.simd.diffraction import VectorDiffraction


@dataclass(frozen=True)
class Kind:
    """What decides which kernels a reconstruction uses.

    Attributes
    ----------
    model : Model
        With nothing but the settings that matter.
    sampling : {"grid", "scan"} or None
        Of the fluorescence.
    fractional : bool
        Whether positions have fractions of pixels.
    products : bool
        Whether Hessian products are asked for.
    """

    model: Model
    sampling: str | None
    fractional: bool
    products: bool

    def as_text(self) -> str:
        """Return the kind for the command line of another process."""
        model = {name: value for name, value in self.model.as_dict().items() if value is not None}
        return json.dumps([model, self.sampling, self.fractional, self.products])

    @classmethod
    def of_text(cls, text: str) -> Kind:
        """Undo `as_text`."""
        model, *others = json.loads(text)
        return cls(Model(**model), *others)


@cache
def rehearse(kind: Kind) -> None:
    """Evaluate a tiny objective of the same kind, and take steps of the solvers on it."""
    scan = _scan(kind, kind.model.engine, fractional=kind.fractional)
    _take_steps(Objective(scan, settings=kind.model), products=kind.products)
    _fit_maps_alone(scan, kind.model)


def rehearse_patterns(kind: Kind) -> None:
    """Evaluate the patterns alone."""
    model = kind.model.replace(method="ptychography", link="linear", fluorescence_prior="none")
    objective = Objective(_scan(kind, model.engine, fractional=kind.fractional), settings=model)
    _, gradient = objective.value_and_gradient(objective.initial)
    objective.losses_along(gradient, [1.0])
    if kind.products:
        objective.hessian_product(gradient)
    for _ in objective.intensities(objective.initial):
        pass


def rehearse_rest(kind: Kind) -> None:
    """Take the same steps without patterns, at whole pixels, where no probe is shifted."""
    model = kind.model.replace(refine_positions="none")
    scan = _scan(kind, "vector", fractional=False)
    objective = Objective(scan, settings=model)
    terms = objective.terms
    terms.diffraction = _HalfSquare(
        np.ones((scan.N, scan.m, scan.m), objective.real), terms.corners, objective.data.exposure,
        terms.positioned, model.curvature, loss=model.pattern_loss,
        background="refined" if model.refine_pattern_background else "none",
    )  # fmt: skip
    _take_steps(objective, products=kind.products)
    _fit_maps_alone(scan, model)


class _HalfSquare(VectorDiffraction):
    """In place of the patterns, half the square of the object."""

    def gradient(
        self, tile: NDArray, gradient: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        self._tile = tile
        gradient += tile
        self.pattern_losses[first:last] = 0.5 * np.linalg.norm(tile) ** 2

    def product(
        self, change: NDArray, product: NDArray, first: int, last: int, probe_sum: AdjointSum | None
    ) -> None:
        product += change

    def losses_along(
        self, change: NDArray, steps: NDArray, losses: NDArray, first: int, last: int, with_probe: bool
    ) -> None:
        losses += [0.5 * (last - first) * np.linalg.norm(self._tile + t * change) ** 2 for t in steps]

    def intensities(self, tile: NDArray, first: int, last: int) -> NDArray[Any]:
        return np.ones((last - first, *self.amplitudes.shape[1:]), self.real)


def _take_steps(objective: Objective, *, products: bool) -> None:
    """Take two steps of each solver that is used, as the first quasi-Newton step has no pairs yet."""
    objective.scale_weights()
    vector = objective.initial
    if objective.method == "ptychography" and "probe" in objective.unknowns:
        BatchSweeps(objective).sweep(vector)
    for solver in (QuasiNewton, TruncatedNewton) if products else (QuasiNewton,):
        minimiser = solver(objective, SolverSettings(), Stops())
        state = minimiser.start(objective.initial)
        for _ in range(2):
            state = minimiser.step(state)
        vector = state.vector
    measure_quality(objective, vector, converged=True)
    illuminated_part(objective.scan, objective.tile, objective.ranks)


def _fit_maps_alone(scan: Scan, model: Model) -> None:
    """Fit the maps as a joint reconstruction does before its first step."""
    if model.method == "joint":
        _take_steps(Objective(scan, settings=model.replace(method="fluorescence")), products=True)


def _scan(kind: Kind, engine: str, *, fractional: bool) -> Scan:
    """Return a scan of three positions, of a size that only the engine transforms."""
    sampling, m = kind.sampling, 4 if engine == "vector" else 11
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


if __name__ == "__main__":  # the process that compiles beside another
    rehearse_patterns(Kind.of_text(sys.argv[1]))
