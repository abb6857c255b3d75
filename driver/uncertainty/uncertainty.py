"""Error bars of a result from samples of the posterior around it."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ptyxrf.driver.data.deviations import Deviations
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.setting import takes_settings
from ptyxrf.driver.job import signals
from ptyxrf.driver.uncertainty.fitted import Fitted, fit_of, loss_unit
from ptyxrf.driver.uncertainty.kept_samples import KeptSamples
from ptyxrf.driver.uncertainty.meaning import check_noise, meaning_of
from ptyxrf.driver.uncertainty.open_directions import OpenDirections
from ptyxrf.driver.uncertainty.quantities import Quantities
from ptyxrf.driver.uncertainty.sampler import UNSOLVED, Sampler
from ptyxrf.driver.uncertainty.settings import Sampling
from ptyxrf.parallel.gather import gather_tiles
from ptyxrf.parallel.startup import agreed

log = logging.getLogger("ptyxrf")

#: A result further than this from the minimum, in standard deviations, has error bars of another fit.
FAR = 0.5

#: Given the number of samples that are done, of all, and the Hessian products so far.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Estimate:
    """A number, or an array, that follows from a result.

    Attributes
    ----------
    value : float or array
        At the minimum of the fit.
    deviation : float or array
        Its standard deviation.
    low, high : float or array
        Ends of the interval of Student's t for the number of samples.
    """

    value: Any
    deviation: Any
    low: Any
    high: Any


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Uncertainty(Deviations):
    """Standard deviations of a result, with the samples that they come from: see `Deviations`.

    The objective of the fit and the samples stay in memory, as `of` needs them.

    Attributes
    ----------
    result : Result
        Whole.
    fit : Fitted
        The minimum around which the samples are.
    draws : list of array
        Each sample less that minimum: this rank's unknowns.
    """

    result: Result
    fit: Fitted
    draws: list[NDArray[Any]]

    def of(self, function: Callable[[Result], Any], level: float = 0.95) -> Estimate:
        """Return a derived number with its error; all ranks take part.

        Parameters
        ----------
        function : callable
            Given a whole `Result`, returns a number or an array: a mass in a region, a line profile, a ratio
            of two elements. It is called once for the fit and once for each sample.
        level : float
            Probability of the interval.

        Raises
        ------
        ValueError
            There are no samples, or the level is not between 0 and 1.
        """
        result, fit, draws = self.result, self.fit, self.draws
        if not draws:
            raise ValueError("samples: expected some for the error of a derived number, got 0")
        if not 0 < level < 1:
            raise ValueError(f"level: expected a probability between 0 and 1, got {level}")
        value = np.asarray(function(_view(result, fit, fit.vector)), np.float64)
        square = np.zeros(value.shape)
        for draw in draws:
            square += (np.asarray(function(_view(result, fit, fit.vector + draw))) - value) ** 2
        deviation = np.sqrt(square / len(draws))
        half = float(stdtrit(len(draws), 0.5 + level / 2)) * deviation
        return Estimate(*(one[()] for one in (value, deviation, value - half, value + half)))


def _view(result: Result, fit: Fitted, vector: NDArray) -> Result:
    """Return a result with the unknowns of a vector."""
    objective, beam = fit.objective, fit.objective.beam
    comm, tile = objective.ranks.comm, objective.tile
    matrix = objective.fields.only("matrix", vector)
    return result.replaced(
        object=gather_tiles(comm, tile, objective.complex_object(vector)[None])[0],
        elements=gather_tiles(comm, tile, objective.elements_of(vector)),
        probe=objective.probe_of(vector),
        positions=None if result.positions is None else beam.positions(vector),
        intensities=None if result.intensities is None else beam.intensities(vector),
        pattern_background=beam.background(vector),
        matrix=None if matrix is None else gather_tiles(comm, tile, matrix[None])[0],
        fallback=None,
    )


@takes_settings(Sampling, ("samples",))
def uncertainty(
    result: Result,
    scan: Scan,
    settings: Sampling,
    progress: Progress | None = None,
    comm: Any = None,
) -> Uncertainty:
    """Return the standard deviations of a result.

    Around the minimum of the fit the posterior is Gaussian with the covariance (sigma_b^2 / N) H^-1, H the
    Hessian of Gauss and Newton with the priors of the maps. Each sample is the minimum for other noise of the
    data and of the priors: one linear problem, solved by conjugate gradients. A fit that has stopped early is
    taken to its minimum first. Directions that the data leave open are removed.

    Parameters
    ----------
    result : Result
        Of `reconstruct`. On several ranks it is gathered.
    scan : Scan
        Of which it is the result, with a noise that is known: raw counts, or `count_scale`.
    {settings}
    progress : callable, optional
        Called after each sample with the number of samples done, that of all, and the products so far.
    comm : communicator or None
        The ranks that share the work; any number, with the same numbers.

    Returns
    -------
    Uncertainty

    Raises
    ------
    ValueError
        An argument is wrong, the result is not one of the scan, or the data have no noise.

    Warns
    -----
    UserWarning
        The result is far from the minimum of its fit, or a map is hardly determined by the data.
    """
    whole = result.gather()
    agreed(comm, lambda: check_noise(whole, scan))
    found = deviations_of(whole, fit_of(whole, scan, settings, comm), settings, progress)
    _warn(found)
    return found


def deviations_of(
    result: Result, fit: Fitted, settings: Sampling, progress: Progress | None = None
) -> Uncertainty:
    """Return the deviations of a fit, from samples or from its preconditioner."""
    objective, draws = fit.objective, list[NDArray[Any]]()
    facts: dict[str, Any] = {}
    quantities, opened = Quantities(objective, fit.vector), OpenDirections(objective, fit.vector)
    moved = opened.without(fit.start - fit.vector)
    if settings.samples == 0:
        deviations = quantities.diagonal(loss_unit(objective))
    else:
        sampler = Sampler(fit, settings, opened, quantities)
        kept = None
        if settings.checkpoint is not None:
            kept = KeptSamples(settings.checkpoint, result, fit, settings)
        draws = _draws(fit, settings, sampler, kept, progress)
        facts = {name: getattr(sampler, name) for name in ("products", "residual", "unsolved")}
        deviations = quantities.deviations(draws)
    facts["moved"] = float(quantities.sizes(moved, deviations).max())
    return Uncertainty(
        result=result, fit=fit, draws=draws, meaning=meaning_of(fit, len(draws)), samples=len(draws),
        iterations=fit.iterations, **(facts | deviations),
    )  # fmt: skip


def _draws(
    fit: Fitted, settings: Sampling, sampler: Sampler, kept: KeptSamples | None, progress: Progress | None
) -> list[NDArray[Any]]:
    """Return samples of the posterior, relative to its maximum."""
    objective, began = fit.objective, time.perf_counter()
    draws = kept.read(sampler)[: settings.samples] if kept is not None and settings.resume else []
    for sample in range(len(draws), settings.samples):
        draws.append(sampler.draw(sample))
        if kept is not None:
            kept.write(draws, sampler)
        if progress is not None:
            progress(len(draws), settings.samples, sampler.products)
        if objective.any(signals.STOP in signals.asked()):
            raise signals.Stopped
        late = settings.max_seconds is not None and time.perf_counter() - began >= settings.max_seconds
        if objective.any(late) and len(draws) >= 2:  # the clocks of the ranks differ
            break
    return draws


def _warn(found: Deviations) -> None:
    if found.moved > FAR:
        warnings.warn(
            f"the fit was stopped before its minimum: the result is {found.moved:.2g} standard deviations "
            "(rms) away from it, and the error bars are those of the minimum",
            stacklevel=4,
        )
    if found.unsolved > UNSOLVED:
        warnings.warn(
            f"samples would change by {100 * found.unsolved:.0f} % with more products: the data hardly "
            "determine a map, or a factor between maps and probe, and the error bars are too small. More "
            "products (max_products) solve them, or a prior of the maps (fluorescence_prior) bounds them",
            stacklevel=4,
        )
