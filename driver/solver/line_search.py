"""The line search: the loss at several step lengths from one forward-only pass, then a parabola."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.problem import Problem

#: Step lengths of the first pass, as fractions of the longest one where that is limited; the second pass
#: is taken only where none of these lowers the loss.
FIRST_STEPS = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
SHORT_STEPS = (1e-5, 1e-4, 1e-3, 4e-3, 0.015, 0.03, 0.06)


def _parabola(steps: NDArray, losses: NDArray, best: int) -> float:
    """Return the minimum of the parabola through the best point and its neighbours."""
    if best == 0 or best == len(steps) - 1 or not np.isfinite(losses[best - 1 : best + 2]).all():
        return float(steps[best])
    (a, b, c), (fa, fb, fc) = steps[best - 1 : best + 2], losses[best - 1 : best + 2]
    denominator = (b - a) * (fb - fc) - (b - c) * (fb - fa)
    if denominator == 0:
        return float(b)
    turn = b - 0.5 * ((b - a) ** 2 * (fb - fc) - (b - c) ** 2 * (fb - fa)) / denominator
    return float(min(max(turn, a), c))


def search_step(problem: Problem, direction: NDArray[Any], value: float, longest: float) -> float:
    """Choose a step length along a descent direction.

    Parameters
    ----------
    problem : Problem
        At its point last evaluated.
    direction : array
    value : float
        The loss at t = 0.
    longest : float
        Longest step that stays within the bounds.

    Returns
    -------
    float
        The step length; 0 where no step lowers the loss.
    """
    steps = np.array(
        [t for t in FIRST_STEPS if t < longest] + ([longest] if longest < FIRST_STEPS[-1] else [])
    )
    for candidates in (steps, min(1.0, longest) * np.array(SHORT_STEPS)):
        losses = problem.losses_along(direction, candidates)
        losses = np.where(np.isfinite(losses), losses, np.inf)
        best = int(np.argmin(losses))
        if losses[best] < value:
            lengths, values = np.concatenate([[0.0], candidates]), np.concatenate([[value], losses])
            return _parabola(lengths, values, best + 1)
    return 0.0
