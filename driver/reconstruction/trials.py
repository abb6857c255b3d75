"""Short reconstructions of a part of a scan, which rank hypotheses about it: orientations, starting probes.

A wrong hypothesis leaves a loss that iterations do not remove, on a hundred patterns as on all of them. The
patterns come from neighbouring positions: only patterns that share a part of the object can disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.job import signals
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed

Candidate = TypeVar("Candidate")


def middle_positions(positions: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the indices, in order, of the positions nearest to the middle of the scan.

    Parameters
    ----------
    positions : (N, 2) array of float
    count : int
        Number of positions, at most.
    """
    middle = np.median(positions, axis=0)
    distance = np.sum((positions - middle) ** 2, axis=1)
    return np.sort(np.argsort(distance, kind="stable")[:count])


def part_of(
    scan: Scan,
    chosen: NDArray[np.intp],
    turn: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
    patterns: NDArray[Any] | None = None,
) -> Scan:
    """Return some positions of a scan, with their patterns, on an object of their own.

    Parameters
    ----------
    scan : Scan
        Lazy patterns are read at these positions alone.
    chosen : array of int
        Indices of positions, in order.
    turn : callable, optional
        Takes positions to others. Default: the positions as they are, the smallest moved to the edge.
    patterns : (n, m, m) array, optional
        Those of the positions, where they have been read already.

    Returns
    -------
    Scan
        Without fluorescence.
    """
    positions = scan.positions[chosen]
    positions = positions - np.floor(positions.min(axis=0)) if turn is None else turn(positions)
    mask = scan.mask_at(chosen)
    return Scan(
        np.asarray(scan.patterns[chosen]) if patterns is None else patterns,
        positions,
        scan.probe,
        mask=None if mask is None else np.asarray(mask),
        exposure=scan.exposure[chosen],
        count_scale=None if scan.count_scale is None else scan.count_scale[chosen],
        geometry=scan.geometry,
    )


def trial_loss(part: Scan, model: Model, max_sweeps: float) -> float:
    """Return the loss of ptychography after a few sweeps, in units of the mean count.

    Parameters
    ----------
    part : Scan
    model : Model
    max_sweeps : float

    Returns
    -------
    float
        Infinity where it is no number.

    Raises
    ------
    Stopped
        A signal asks this rank to stop.
    """
    objective = Objective(part, settings=model)
    solver = QuasiNewton(objective, SolverSettings(), Stops(max_sweeps=max_sweeps))
    state = solver.start(objective.initial)
    while solver.reason(state) is None:
        signals.stop_if_asked()
        state = solver.step(state)
    loss = objective.losses.ptychography / objective.mean_count
    return float(loss) if np.isfinite(loss) else np.inf


def ranked(
    candidates: Sequence[Candidate], loss_of: Callable[[Candidate], float], comm: Any = None
) -> list[tuple[Candidate, float]]:
    """Return candidates with their losses, the lowest loss first.

    Parameters
    ----------
    candidates : sequence
        The same on every rank.
    loss_of : callable
        Gives the loss of a candidate, on one rank alone.
    comm : communicator or None
        The ranks share the candidates. A loss does not depend on the rank that computes it, so all numbers
        of ranks have one answer.
    """
    ranks = Ranks(comm)
    mine = range(ranks.rank, len(candidates), ranks.size)
    losses = np.zeros(len(candidates))
    losses[mine.start :: mine.step] = agreed(comm, lambda: [loss_of(candidates[k]) for k in mine])
    losses = ranks.sum(losses)  # each is one loss and zeros
    return [(candidates[k], float(losses[k])) for k in np.argsort(losses, kind="stable")]
