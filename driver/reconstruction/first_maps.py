"""Maps from the fluorescence alone, from which a reconstruction starts.

The fluorescence is a linear problem of its own, a few percent of the joint work, and its solution has every
structure that is not finer than the probe. From a flat start the patterns, whose loss is not convex, would
first draw the maps into a minimum of their own: at low overlap the joint method then ends with a larger
error than each modality alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.discrepancy import NoiseLevel, noise_level
from ptyxrf.driver.reconstruction.map_search import search_strengths
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.state import State
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton

#: Most sweeps over the fluorescence if its noise is known, or there is none: a noiseless map sharpens ever
#: more slowly.
MOST_SWEEPS = 1000
#: If the noise is not known: more sweeps would soon add more noise than structure.
FEW_SWEEPS = 30


#: Most sweeps of a fit during the search for the strengths of a prior, and the relative decrease of the loss
#: in an iteration that ends it.
SEARCH_SWEEPS, SEARCH_TOLERANCE = 40, 3e-3


@dataclass(frozen=True)
class FirstMaps:
    """Element maps, and their cost.

    Attributes
    ----------
    elements : (N_e, rows, columns) array
        On the owned pixels.
    sweeps : float
        Over the fluorescence alone; no pattern is touched.
    weights : dict
        What `FluorescenceWeights.restore` takes: strengths of a prior, and weights of the samples.
    """

    elements: NDArray[Any]
    sweeps: float
    weights: dict[str, NDArray[Any]]


def first_maps(
    data: LocalData,
    weighed: NDArray[np.bool_],
    start: Mapping[str, ArrayLike],
    settings: Settings,
    pause: Callable[[], None] | None = None,
) -> FirstMaps:
    """Return the maps of the fluorescence alone, with their prior or, without one, at their noise level.

    Parameters
    ----------
    data : LocalData
        Of a reconstruction; patterns are not used. All ranks take part.
    weighed : (N_e,) array of bool
        Elements whose data count in the reconstruction; the others keep their start.
    start : mapping
        Of the reconstruction.
    settings : Settings
        Its precision, prior, bounds and time budget apply.
    pause : callable, optional
        Called after each iteration; may raise to stop.
    """
    objective = Objective(
        data.scan,
        "fluorescence",
        alpha=settings.alpha,
        precision=settings.precision,
        fluorescence_prior=settings.fluorescence_prior or "none",
        start=start,
        data=replace(data, patterns=None),
    )
    objective.scale_weights()
    if settings.fluorescence_prior in (None, "none"):
        level, scales = noise_level(objective), data.scan.fluorescence_count_scale
        noiseless = scales is not None and not np.any(scales)
        most = MOST_SWEEPS if noiseless or level is not None else FEW_SWEEPS
        vector = _fit(
            objective, settings, pause, most, Stops().loss_tolerance, objective.initial, level
        ).vector
    else:
        vector = fit_with_prior(objective, settings, pause)
    elements = objective.elements_of(vector).copy()
    unseen = ~weighed
    elements[unseen] = objective.elements_of(objective.initial)[unseen]
    return FirstMaps(np.ascontiguousarray(elements), objective.sweeps, objective.weights.memory())


def fit_with_prior(
    objective: Objective, settings: Settings, pause: Callable[[], None] | None = None
) -> NDArray[Any]:
    """Find the weights of the samples, and the strength of each map's prior unless it is given.

    Parameters
    ----------
    objective : Objective
        Of the fluorescence alone; it gets the weights and the strengths. Nothing but the maps moves.
    settings : Settings
    pause : callable, optional
        Called after each iteration; may raise to stop.

    Returns
    -------
    (size,) array
        The fit with them.
    """
    held, objective.held = objective.held, frozenset(objective.unknowns) - {"elements"}
    seconds = np.inf if settings.max_seconds is None else settings.max_seconds
    end = time.perf_counter() + seconds

    def expired() -> bool:
        return objective.any(time.perf_counter() >= end)  # the clocks of the ranks differ

    def fit(vector: NDArray) -> State:
        left = None if np.isinf(end) else max(end - time.perf_counter(), 0.0)
        timed = settings.replace(max_seconds=left)
        return _fit(objective, timed, pause, SEARCH_SWEEPS, SEARCH_TOLERANCE, vector)

    noise = objective.weights.noise
    if settings.fluorescence_prior == "auto" and noise is not None and noise.noisy:
        vector = search_strengths(objective, fit, expired, objective.initial).vector
    else:
        objective.weigh(fit(objective.initial).vector)
        vector = fit(objective.initial).vector
    objective.held = held
    return vector


def _fit(
    objective: Objective,
    settings: Settings,
    pause: Callable[[], None] | None,
    sweeps: float,
    tolerance: float,
    vector: NDArray,
    level: NoiseLevel | None = None,
) -> State:
    """Fit the maps from a vector, in at most so many sweeps, and down to a noise level at most."""
    newton = TruncatedNewton(
        objective,
        SolverSettings(solver="newton", nonnegative=settings.nonnegative),
        Stops(
            max_sweeps=objective.sweeps + sweeps, max_seconds=settings.max_seconds, loss_tolerance=tolerance
        ),
    )
    state = newton.start(vector)
    while newton.reason(state) is None and not (level is not None and level.reached(objective.losses)):
        if pause is not None:
            pause()
        state = newton.step(state)
    return state
