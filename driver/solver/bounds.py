"""The bound w >= 0 as an active set: which variables may move, and how far."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.problem import Problem


class Bounds:
    """Lower bounds of 0 on a range of a vector.

    Parameters
    ----------
    problem : Problem
    nonnegative : bool
        Whether the problem's `nonnegative` range is bounded at all.

    Attributes
    ----------
    range : slice
        The bounded range on this rank.
    """

    def __init__(self, problem: Problem, nonnegative: bool) -> None:
        self._problem = problem
        self.range = problem.nonnegative if nonnegative else slice(0, 0)
        # a rank that owns none of the bounded variables still takes part in the reductions of the others
        self._any = problem.any(self.range.start != self.range.stop)

    def free(self, vector: NDArray, gradient: NDArray) -> NDArray[np.bool_] | None:
        """Return which variables may move: all but those at their bound whose gradient pushes against it."""
        where = self.range
        if not self._any:
            return None
        free = np.ones(len(vector), bool)
        free[where] = (vector[where] > 0) | (gradient[where] < 0)
        return free

    def cut(self, vector: NDArray, direction: NDArray) -> float:
        """Shorten components so that a full step stays within the bounds; return the longest such step."""
        where = self.range
        np.maximum(direction[where], -vector[where], out=direction[where])
        downward = direction[where] < 0
        room = vector[where][downward] / -direction[where][downward]
        return max(1.0, self._problem.smallest(float(room.min(initial=np.inf))))

    def moved(self, vector: NDArray, direction: NDArray, length: float) -> NDArray[Any]:
        """Return the point at a step length along a direction."""
        moved = vector + vector.dtype.type(length) * direction
        bounded = moved[self.range]
        np.maximum(bounded, 0, out=bounded)  # rounding may end below 0 by one unit in the last place
        return moved

    def norm(self, gradient: NDArray, free: NDArray[np.bool_] | None) -> float:
        """Return the norm of a gradient over the free variables."""
        held = gradient if free is None else gradient * free
        return float(np.sqrt(self._problem.dot(held, held)))
