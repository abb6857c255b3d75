"""Maps from the fluorescence alone, from which the joint reconstruction starts.

The fluorescence is a linear problem of its own, a few percent of the joint work, and its solution has every
structure that is not finer than the probe. From a flat start the patterns, whose loss is not convex, would
first draw the maps into a minimum of their own: at low overlap the joint method then ends with a larger
error than each modality alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.discrepancy import noise_level
from ptyxrf.driver.solver.minimiser import SolverOptions
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton

#: Most sweeps over the fluorescence where its noise is known, or none: a noiseless map gets sharper ever more
#: slowly. Where it is not known, soon more noise than structure would come.
MOST_SWEEPS, FEW_SWEEPS = 1000, 30
#: For so many iterations of the joint method the maps stay, while the rest of the object comes to them: some
#: forty sweeps.
HELD_ITERATIONS = {"quasi-newton": 4, "newton": 8, "paper": 8}
#: But not for more than this fraction of the sweeps that there are.
HELD_BUDGET = 0.25


@dataclass(frozen=True)
class FirstMaps:
    """Element maps, and what they took.

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
    scan: Scan,
    weighed: NDArray[np.bool_],
    start: Mapping[str, ArrayLike],
    precision: str,
    nonnegative: bool,
    max_seconds: float,
    comm: Any,
    pause: Callable[[], None] | None = None,
) -> FirstMaps:
    """Return what the fluorescence alone makes of the maps, stopped at its noise level.

    Parameters
    ----------
    scan : Scan
        With fluorescence.
    weighed : (N_e,) array of bool
        Elements whose data count in the joint reconstruction; the others keep their start.
    start : mapping
        Of the joint reconstruction.
    precision : {"single", "double"}
    nonnegative : bool
        Hold w >= 0.
    max_seconds : float
    comm : communicator or None
        All ranks take part.
    pause : callable, optional
        Called after each iteration; what it raises ends all.
    """
    objective = Objective(scan, "fluorescence", precision=precision, start=start, comm=comm)
    objective.scale_weights()
    level = noise_level(objective)
    scales = scan.fluorescence_count_scale
    noiseless = scales is not None and not np.any(scales)
    most = MOST_SWEEPS if noiseless or level is not None else FEW_SWEEPS
    options = SolverOptions(max_sweeps=most, max_seconds=max_seconds, nonnegative=nonnegative)
    newton = TruncatedNewton(
        objective,
        options,
        lambda: objective.work.sweeps,
        lambda iteration: level is not None and level.reached(objective.losses),
        pause=None if pause is None else lambda standing: pause(),
    )
    vector, _ = newton.run(objective.initial)
    elements = objective.elements_of(vector).copy()
    unseen = ~weighed
    elements[unseen] = objective.elements_of(objective.initial)[unseen]
    return FirstMaps(np.ascontiguousarray(elements), objective.work.sweeps)
