"""The objective at one point: value, gradient, losses, and the Hessian as an operator."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator

from ptyxrf.driver.data.history import Losses


class Evaluator(Protocol):
    """The objective as its points see it."""

    size: int
    real: np.dtype[Any]
    losses: Losses
    evaluations: int

    def value_and_gradient(self, vector: NDArray) -> tuple[float, NDArray[Any]]:
        """Evaluate at a vector, and remember the point."""

    def hessian_product(self, direction: NDArray) -> NDArray[Any]:
        """Return the Hessian product at the point last evaluated."""

    def losses_along(self, direction: NDArray, steps: ArrayLike) -> NDArray[np.float64]:
        """Return the losses along a line from the point last evaluated."""


class Point:
    """An objective at one vector of unknowns; all ranks make the same calls.

    The objective remembers the point last evaluated. An older one is evaluated again when it is asked for a
    product or for losses, which costs a gradient.

    Attributes
    ----------
    vector : (size,) array
        This rank's unknowns.
    value : float
    gradient : (size,) array
    losses : Losses
        The value by modality.
    """

    def __init__(self, objective: Evaluator, vector: NDArray) -> None:
        self._objective, self.vector = objective, np.array(vector)
        self.value, self.gradient = objective.value_and_gradient(self.vector)
        self.losses, self._evaluation = objective.losses, objective.evaluations

    def _current(self) -> Evaluator:
        """Return the objective, evaluated at this point."""
        if self._objective.evaluations != self._evaluation:
            self._objective.value_and_gradient(self.vector)
            self._evaluation = self._objective.evaluations
        return self._objective

    @property
    def hessian(self) -> Hessian:
        """The Hessian at this point: ``hessian @ direction``."""
        return Hessian(self, self._objective.size, self._objective.real)

    def hessian_product(self, direction: NDArray) -> NDArray[Any]:
        """Return the Hessian at this point times a direction."""
        return self._current().hessian_product(direction)

    def losses_along(self, direction: NDArray, steps: ArrayLike) -> NDArray[np.float64]:
        """Return the objective at ``vector + t * direction`` for each t in `steps`."""
        return self._current().losses_along(direction, steps)


class Hessian(LinearOperator):
    """The symmetric Hessian at a point, as an operator for the solvers of scipy.

    On several ranks a direction is this rank's part of it, and ``@`` is collective. Scipy's solvers take dot
    products of one rank only: there they apply on one rank.

    Attributes
    ----------
    products : int
        How many products were computed.
    """

    def __init__(self, point: Point, size: int, dtype: Any) -> None:
        super().__init__(dtype=np.dtype(dtype), shape=(size, size))
        self._point, self.products = point, 0

    def _matvec(self, direction: NDArray) -> NDArray[Any]:
        self.products += 1
        return self._point.hessian_product(direction.reshape(-1))

    _rmatvec = _matvec  # symmetric
