"""The objective of a result at its minimum."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.link_choice import make_link, with_link
from ptyxrf.driver.objective.links import Link
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.compilation import compile_kernels
from ptyxrf.driver.solver.bounds import Bounds
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton
from ptyxrf.driver.uncertainty.settings import Sampling

log = logging.getLogger("ptyxrf")

#: A fit is at its minimum when an iteration lowers the negative log posterior by less than this for each of
#: the unknowns, which contribute 1/2 each: its distance is then a small part of their deviations.
SETTLED = 1e-4
#: The `model_tolerance` of the steps that take it there.
INNER = 0.05
#: `object_floor` and `probe_floor` of the preconditioner: with those of a reconstruction, which guard it far
#: from a minimum, samples of patterns alone or with positions take twice as many products.
FLOOR = 2e-3


@dataclass(frozen=True)
class Fitted:
    """The minimum of an objective, which was evaluated there last.

    Attributes
    ----------
    objective : Objective
        With the curvature of Gauss and Newton and, whatever the loss of the fit, the residuals of
        amplitudes: both losses have that curvature.
    start, vector : (size,) array
        The unknowns of the result, and those at the minimum.
    gradient : (size,) array
        At the minimum.
    free : (size,) array of bool or None
        Unknowns that no bound holds; None: all.
    iterations : int
        From the one to the other.
    bounded : bool
        Whether maps were kept non-negative.
    poisson : bool
        Whether the fit minimised the deviance of Poisson counts.
    true : bool
        Whether the point is the truth instead: the prior of the maps is a bias then, and no noise.
    """

    objective: Objective
    start: NDArray[Any]
    vector: NDArray[Any]
    gradient: NDArray[Any]
    free: NDArray[np.bool_] | None
    iterations: int
    bounded: bool
    poisson: bool = False
    true: bool = False


def fit_of(result: Result, scan: Scan, sampling: Sampling, comm: Any) -> Fitted:
    """Return the objective of a result, at its minimum; all ranks take part.

    Parameters
    ----------
    result : Result
        Whole.
    scan : Scan
    sampling : Sampling
    comm : communicator or None

    Raises
    ------
    ValueError
        The result is not one of the scan, or its link has no name.
    """
    model = _model(result, scan, sampling)
    scan = scan.replace(probe=np.asarray(result.probe, np.complex128), truth={})
    compile_kernels(scan, model, comm)
    objective = Objective(scan, settings=model, start=_start(result, scan, make_link(model, scan)), comm=comm)
    start = _entered(objective, result)
    bounded = bool(result.settings.get("nonnegative", True))
    vector, iterations = _finished(objective, start, sampling, bounded)
    _, gradient = objective.value_and_gradient(vector)
    free = Bounds(objective, bounded).free(vector, gradient)
    poisson = model.pattern_loss == "poisson" and model.method != "fluorescence"
    if poisson:
        of_amplitudes = Objective(scan, settings=model.replace(pattern_loss="amplitude"), comm=comm)
        of_amplitudes.restore_memory(objective.memory())
        if objective.beam.pinned:
            of_amplitudes.beam.pin(vector)
        objective = of_amplitudes
        _, gradient = objective.value_and_gradient(vector)
    return Fitted(objective, start, vector, gradient, free, iterations, bounded, poisson)


def _model(result: Result, scan: Scan, sampling: Sampling) -> Model:
    """Return the settings of the objective of a result."""
    if result.object.shape != scan.shape:
        raise ValueError(
            f"scan: expected that of the result, whose object has the shape {result.object.shape}, got one "
            f"with {scan.shape}"
        )
    given = result.settings
    if isinstance(given.get("link"), Mapping):
        raise ValueError(f"result: expected one with a named link, got {given['link'].get('name')}")
    known = {name: given[name] for name in Model.declared() if given.get(name) is not None}
    model = Model(**known).replace(
        method=result.method, curvature="gauss-newton", precision=sampling.precision, memory="cached",
        rescale_probe=False, object_floor=FLOOR, probe_floor=FLOOR,
    )  # fmt: skip
    return with_link(model, scan)


def _start(result: Result, scan: Scan, link: Link) -> dict[str, ArrayLike]:
    """Return the unknowns of a result by name."""
    z = np.asarray(result.object, np.complex128)
    start: dict[str, ArrayLike] = {"real_part": z.real, "imaginary_part": z.imag}
    if not link.linear:
        materials = 0.0
        if result.matrix is not None:
            materials = link.weights[-len(result.elements) - 1] * result.matrix
        start = dict(link.fields_of(z * np.exp(-materials), result.elements))
    if result.matrix is not None:
        start["matrix"] = result.matrix
    if len(result.elements):
        start["elements"] = result.elements
    if result.positions is not None:
        lever = scan.positions - scan.positions.mean(axis=0)
        moves = result.positions - scan.positions
        distortion = np.linalg.lstsq(lever, moves, rcond=None)[0]
        separate = result.settings["refine_positions"] != "each"
        start["distortion"] = distortion.T * separate
        start["displacement"] = moves - separate * (lever @ distortion)
    if result.intensities is not None:
        start["log_amplitude"] = 0.5 * np.log(result.intensities / scan.exposure)[:, None]
    return start


def _entered(objective: Objective, result: Result) -> NDArray[Any]:
    """Give the objective the weights of a result; return the vector of its unknowns."""
    settings, weights, vector = result.settings, objective.weights, objective.initial.copy()
    if weights.noise is not None and "prior_used" in settings:
        weights.rescale(np.asarray(settings["fluorescence_count_scale_used"], np.float64))
        if result.sensitivity is not None:
            weights.calibrate(result.sensitivity.values)
        weights.regularise(np.asarray(settings["prior_used"], np.float64))
    for kind in objective.layout.kinds:
        if kind.names == ("background_amplitude",) and result.pattern_background is not None:
            rest = result.pattern_background - objective.terms.known_background()
            kind.view(vector)[...] = np.sqrt(np.maximum(rest, 0.0))
    if objective.settings.fluorescence_prior != "none":
        objective.weigh(vector)
    if settings.get("probe_scale_held"):
        objective.beam.pin(vector)
    objective.value_and_gradient(vector)
    moved = objective.beam.followed(vector, search=False)
    return vector if moved is None else moved


def loss_unit(objective: Objective) -> float:
    """Return the loss that is a negative log likelihood of 1: sigma_b^2 / N, or that of a mean element."""
    if objective.data.patterns is not None:
        scale = objective.scan.count_scale
        return (1.0 if scale is None else float(scale.mean())) / (4 * objective.scan.N)
    units = objective.weights.unit
    return float(units[units > 0].mean()) if (units > 0).any() else 1.0


def _finished(
    objective: Objective, start: NDArray[Any], sampling: Sampling, bounded: bool
) -> tuple[NDArray[Any], int]:
    """Return the minimum from a start nearby, and the iterations that it has taken."""
    began = time.perf_counter()
    stops = Stops(
        max_iterations=sampling.finish_iterations, max_seconds=sampling.max_seconds, loss_tolerance=0.0,
        gradient_tolerance=0.0,
    )  # fmt: skip
    (unknowns,) = objective.sum(np.array([float(objective.layout.cut)]))
    small = SETTLED * unknowns * loss_unit(objective)
    # long inner solves: what is left of a fit that has stopped lies along directions of little curvature
    settings = SolverSettings(
        solver="newton", nonnegative=bounded, inner_limit=sampling.max_products, model_tolerance=INNER,
        residual_tolerance=0.0,
    )  # fmt: skip
    solver = TruncatedNewton(objective, settings, stops)
    state = solver.start(start)
    while solver.reason(state) is None:
        before, state = state.value, solver.step(state)
        if before - state.value < small:
            break
    log.info("the fit was finished in %d iterations, %.1f s", state.number, time.perf_counter() - began)
    return state.vector, state.number
