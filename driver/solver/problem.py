"""What the solvers see of an objective: neither physics nor ranks."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.solver.inverse_blocks import InverseBlocks


class Problem(Protocol):
    """A function of a real vector, of which each rank has a part."""

    initial: NDArray[Any]

    @property
    def nonnegative(self) -> slice:
        """Range of a vector that may be bounded below by 0."""

    @property
    def sweeps(self) -> float:
        """Work done so far: a gradient or a Hessian product is 1, a forward-only pass 1/2."""

    def value_and_gradient(self, vector: NDArray) -> tuple[float, NDArray[Any]]:
        """Return the value and the gradient, and remember the point."""

    def product_with_dots(
        self, direction: NDArray, residual: NDArray | None
    ) -> tuple[NDArray[Any], tuple[float, float, float]]:
        """Return H d and (r . d, H d . d, r . r)."""

    def precondition(self, residual: NDArray, free: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return M^-1 r within the free variables."""

    def dot(self, left: NDArray, right: NDArray) -> float:
        """Return the dot product over all ranks."""

    def inverse_blocks(self) -> list[InverseBlocks]:
        """Return M^-1 for the parts of a vector; replicated parts are marked."""

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of some numbers over all ranks."""

    def losses_along(self, direction: NDArray, steps: ArrayLike) -> NDArray[np.float64]:
        """Return the value at the remembered point plus t d for several t."""

    def any(self, *flags: bool) -> bool:
        """Return whether a flag is set on some rank."""

    def smallest(self, value: float) -> float:
        """Return the smallest value over all ranks."""
