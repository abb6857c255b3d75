"""Maps from the fluorescence alone, from which the joint reconstruction starts.

The fluorescence is a linear problem of its own, a few percent of the joint work, and its solution has every
structure that is not finer than the probe. From a flat start the patterns, whose loss is not convex, would
first draw the maps into a minimum of their own: at low overlap the joint method then ends with a larger
error than each modality alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.discrepancy import noise_level
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton

#: Most sweeps over the fluorescence if its noise is known, or there is none: a noiseless map sharpens ever
#: more slowly.
MOST_SWEEPS = 1000
#: If the noise is not known: more sweeps would soon add more noise than structure.
FEW_SWEEPS = 30


@dataclass(frozen=True)
class FirstMaps:
    """Element maps, and their cost.

    Attributes
    ----------
    elements : (N_e, rows, columns) array
        On the owned pixels.
    sweeps : float
        Over the fluorescence alone; no pattern is touched.
    """

    elements: NDArray[Any]
    sweeps: float


def first_maps(
    data: LocalData,
    weighed: NDArray[np.bool_],
    start: Mapping[str, ArrayLike],
    settings: Settings,
    pause: Callable[[], None] | None = None,
) -> FirstMaps:
    """Return the maps of the fluorescence alone, fitted to its noise level.

    Parameters
    ----------
    data : LocalData
        Of a joint reconstruction; its patterns are not used. All ranks take part.
    weighed : (N_e,) array of bool
        Elements whose data count in the joint reconstruction; the others keep their start.
    start : mapping
        Of the joint reconstruction.
    settings : Settings
        Its precision, bounds and time budget apply.
    pause : callable, optional
        Called after each iteration; may raise to stop.
    """
    objective = Objective(
        data.scan,
        "fluorescence",
        precision=settings.precision,
        start=start,
        data=replace(data, patterns=None),
    )
    objective.scale_weights()
    level = noise_level(objective)
    scales = data.scan.fluorescence_count_scale
    noiseless = scales is not None and not np.any(scales)
    most = MOST_SWEEPS if noiseless or level is not None else FEW_SWEEPS
    newton = TruncatedNewton(
        objective,
        SolverSettings(solver="newton", nonnegative=settings.nonnegative),
        Stops(max_sweeps=most, max_seconds=settings.max_seconds),
    )
    state = newton.start(objective.initial)
    while newton.reason(state) is None and not (level is not None and level.reached(objective.losses)):
        if pause is not None:
            pause()
        state = newton.step(state)
    elements = objective.elements_of(state.vector).copy()
    unseen = ~weighed
    elements[unseen] = objective.elements_of(objective.initial)[unseen]
    return FirstMaps(np.ascontiguousarray(elements), objective.sweeps)
