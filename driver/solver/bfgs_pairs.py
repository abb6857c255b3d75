"""The pairs of steps and changes of the gradient that quasi-Newton steps keep, and the passes over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.driver.solver.problem import Problem
from ptyxrf.driver.solver.state import Stored
from ptyxrf.kernels.bfgs_passes import (
    CHANGE_CHANGE,
    CHANGE_INVERSE_CHANGE,
    LEARNED,
    RESIDUAL_RESIDUAL,
    STEP_STEP,
    first_loop,
    learn_pair,
    second_loop,
)
from ptyxrf.kernels.reductions import BLOCK


class Pairs:
    """The steps s and changes of the gradient y that are kept, and their dot products.

    Parameters
    ----------
    count : int
        Largest number of pairs.
    size : int
        Of a vector.
    dtype : float32 or float64

    Attributes
    ----------
    scale : float
        Factor of the preconditioner, from the newest pair.
    along : (count,) array
        Steps . residual at the present point, where there are pairs.
    """

    def __init__(self, count: int, size: int, dtype: Any) -> None:
        self.count = count
        self.steps, self.changes = (np.zeros((count, size), dtype) for _ in range(2))
        self.scale = 1.0
        self.along = np.zeros(count)
        self._products = np.zeros((count, count))  # s_i . y_j where j is not older than i
        self._order: list[int] = []  # rows from the oldest to the newest pair

    def __bool__(self) -> bool:
        return bool(self._order)

    def stored(self) -> Stored:
        """Return the pairs as numbers and vectors; the vectors are views."""
        numbers = {
            "order": list(self._order),
            "products": self._products.tolist(),
            "scale": self.scale,
            "along": self.along.tolist(),
        }
        vectors = {f"step_{row}": self.steps[row] for row in self._order}
        return Stored(numbers, vectors | {f"change_{row}": self.changes[row] for row in self._order})

    def restore(self, stored: Stored) -> None:
        """Restore what `stored` has returned; without numbers, stay empty."""
        numbers, vectors = stored.numbers, stored.vectors
        if not numbers:
            return
        self._order[:] = numbers["order"]
        self._products[...] = numbers["products"]
        self.scale = numbers["scale"]
        self.along = np.array(numbers["along"])
        for row in self._order:
            self.steps[row], self.changes[row] = vectors[f"step_{row}"], vectors[f"change_{row}"]

    def clear(self) -> None:
        """Drop all pairs."""
        self._order.clear()

    def room(self) -> int:
        """Return the row for the next pair; the oldest pair is dropped if all are in use."""
        if len(self._order) == self.count:
            return self._order.pop(0)
        return next(row for row in range(self.count) if row not in self._order)

    def wipe(self, row: int) -> None:
        """Zero an unused row, so that passes over all rows never see NaN."""
        self.steps[row] = self.changes[row] = 0

    def keep(self, row: int, across: NDArray, scale: float) -> None:
        """Keep the pair in `row`, given steps . its change."""
        self._order.append(row)
        self._products[self._order, row] = across[self._order]
        self.scale = scale

    def first(self, along: NDArray) -> NDArray[np.float64]:
        """Return a: the first loop subtracts sum_i a_i y_i from a vector with steps . vector = along."""
        a = np.zeros(self.count)
        for place in reversed(range(len(self._order))):
            i, newer = self._order[place], self._order[place + 1 :]
            a[i] = (along[i] - self._products[i, newer] @ a[newer]) / self._products[i, i]
        return a

    def second(self, a: NDArray, along: NDArray) -> NDArray[np.float64]:
        """Return c: the second loop adds sum_i c_i s_i to a vector with changes . vector = along."""
        c = np.zeros(self.count)
        for place, i in enumerate(self._order):
            older = self._order[:place]
            c[i] = a[i] - (along[i] + c[older] @ self._products[older, i]) / self._products[i, i]
        return c


@dataclass(frozen=True)
class Learned:
    """Dot products from the pass over a new pair.

    Attributes
    ----------
    along, across : (count,) arrays
        Steps . residual at the new point, and steps . change.
    step_step, change_change, change_inverse_change, residual_residual : float
        Dot products of the step, of the change, of the change with M^-1 change, and of the residual: minus
        the gradient where it is free.
    """

    along: NDArray[np.float64]
    across: NDArray[np.float64]
    step_step: float
    change_change: float
    change_inverse_change: float
    residual_residual: float


@dataclass(frozen=True)
class Move:
    """A direction, the slope along it, and the point at its end."""

    direction: NDArray[Any]
    slope: float
    vector: NDArray[Any]


#: Given a part of M^-1, its scratch and totals to add to.
Pass = Callable[[InverseBlocks, NDArray[Any], NDArray[Any], NDArray[np.float64]], None]


class Passes:
    """The passes over the pairs of a problem, each with one reduction over the ranks.

    Parameters
    ----------
    problem : Problem
    pairs : Pairs
    bounded : slice
        Range of a vector that is bounded below by 0.
    """

    def __init__(self, problem: Problem, pairs: Pairs, bounded: slice) -> None:
        self.problem, self.pairs, self._bounded = problem, pairs, bounded
        self._no_mask = np.zeros(0, bool)

    def _totals(self, count: int, run: Pass) -> NDArray[np.float64]:
        """Return the totals of a pass over all ranks; replicated parts count once."""
        own, replicated = np.zeros(count), np.zeros(count)
        for part in self.problem.inverse_blocks():
            run(part, *part.scratch(), replicated if part.replicated else own)
        return self.problem.sum(own) + replicated

    def learn(
        self,
        row: int,
        vector: NDArray,
        before: NDArray,
        gradient: NDArray,
        gradient_before: NDArray,
        free: NDArray[np.bool_] | None,
    ) -> Learned:
        """Write the pair of a step into a row; return its dot products.

        Parameters
        ----------
        row : int
        vector, before : array
            The point, at which the problem was last evaluated, and the one before.
        gradient, gradient_before : array
            There.
        free : array of bool or None
            Variables that may move from the point; None: all.
        """
        pairs, mask = self.pairs, self._no_mask if free is None else free

        def run(part: InverseBlocks, block: NDArray, sums: NDArray, totals: NDArray) -> None:
            learn_pair(
                part.start, vector, before, gradient, gradient_before, pairs.steps, pairs.changes, row,
                *part.matrix, mask, free is not None, block, sums, totals,
            )  # fmt: skip

        count = pairs.count
        totals = self._totals(2 * count + LEARNED, run)
        numbers = totals[2 * count :]
        return Learned(
            totals[:count],
            totals[count : 2 * count],
            float(numbers[STEP_STEP]),
            float(numbers[CHANGE_CHANGE]),
            float(numbers[CHANGE_INVERSE_CHANGE]),
            float(numbers[RESIDUAL_RESIDUAL]),
        )

    def move(self, vector: NDArray, gradient: NDArray, free: NDArray[np.bool_] | None) -> Move:
        """Return minus the approximate inverse Hessian times the gradient, cut at the bounds.

        Parameters
        ----------
        vector, gradient : array
        free : array of bool or None
            Variables that may move; None: all, and there are no bounds.
        """
        pairs, mask, masked = self.pairs, self._no_mask if free is None else free, free is not None
        a = pairs.first(pairs.along)
        direction, moved = np.empty_like(vector), np.empty_like(vector)

        def run(part: InverseBlocks, block: NDArray, sums: NDArray, totals: NDArray) -> None:
            first_loop(
                part.start, gradient, pairs.changes, a, pairs.scale, *part.matrix, mask, masked, block, sums,
                direction, totals,
            )  # fmt: skip

        *across, slope = self._totals(pairs.count + 1, run)
        c = pairs.second(a, np.array(across))
        where = self._bounded
        second_loop(pairs.steps, c, mask, masked, where.start, where.stop, vector, direction, moved, BLOCK)
        # if mask and bounds have cut the direction, its slope does not follow from the products
        slope = self.problem.dot(gradient, direction) if masked else slope - float(c @ pairs.along)
        return Move(direction, slope, moved)
