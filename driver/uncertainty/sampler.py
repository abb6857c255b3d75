"""Samples of the posterior of a fit, and how exactly they are solved."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.conjugate_gradients import Solution, solve_linear
from ptyxrf.driver.uncertainty.fitted import Fitted
from ptyxrf.driver.uncertainty.noise import PerturbedGradient
from ptyxrf.driver.uncertainty.open_directions import OpenDirections
from ptyxrf.driver.uncertainty.quantities import Quantities
from ptyxrf.driver.uncertainty.settings import Sampling

#: The first sample is solved again to this fraction of the tolerance, with so many times the products at
#: most, which tells how exact all are.
FINER, MORE = 0.1, 4
#: A sample that more products would change by more than this fraction is not solved.
UNSOLVED = 0.2


class Sampler:
    """Solves for samples; all ranks make the same calls.

    The tolerance falls until more products would hardly change the first sample, or would be too many: along
    directions of little curvature a small residual is a large error.

    Parameters
    ----------
    fit : Fitted
    settings : Sampling
    opened : OpenDirections
        Of the fit; samples have no part along them.
    quantities : Quantities
        Of the fit.

    Attributes
    ----------
    products : int
        Of all samples so far.
    tolerance : float
        At present.
    residual, unsolved : float
        See `Deviations`.
    """

    def __init__(
        self, fit: Fitted, settings: Sampling, opened: OpenDirections, quantities: Quantities
    ) -> None:
        self._fit, self._most, self.tolerance = fit, settings.max_products, settings.tolerance
        self._opened, self._quantities = opened, quantities
        self._perturbed = PerturbedGradient(
            fit.objective, fit.vector, settings.seed, prior=not fit.true, poisson=fit.poisson
        )
        self.products, self.residual, self.unsolved = 0, 0.0, math.nan

    def draw(self, sample: int) -> NDArray:
        """Return a sample less the maximum of the posterior."""
        force = self._perturbed(sample)
        if self._fit.free is not None:
            force *= self._fit.free
        solution = self._solved(force, self.tolerance, self._most)
        if sample == 0:
            solution = self._refined(force, solution)
        self.residual = max(self.residual, solution.residual)
        return self._opened.without(solution.vector)

    def _solved(self, force: NDArray, tolerance: float, limit: int) -> Solution:
        solution = solve_linear(self._fit.objective, force, self._fit.free, limit=limit, tolerance=tolerance)
        self.products += solution.steps
        return solution

    def _refined(self, force: NDArray, solution: Solution) -> Solution:
        """Return the first sample to a tolerance that is fine enough, which the others get too."""
        while True:
            finer = self._solved(force, FINER * self.tolerance, MORE * self._most)
            self.unsolved = self._difference(solution, finer)
            if self.unsolved <= UNSOLVED or finer.steps > self._most:
                return solution
            solution, self.tolerance = finer, FINER * self.tolerance

    def _difference(self, solution: Solution, finer: Solution) -> float:
        """Return by how much two solutions differ, the most of the object and each map."""
        exact = self._opened.without(finer.vector)
        sizes = self._quantities.sizes(exact)
        left = self._quantities.sizes(exact - self._opened.without(solution.vector))
        return float((left / np.where(sizes > 0, sizes, 1.0)).max())
