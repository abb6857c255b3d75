"""Errors to be expected before an experiment, from the curvature of the loss at the truth."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from ptyxrf.driver.data.deviations import Deviations
from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.setting import takes_settings
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.solver.conjugate_gradients import solve_linear
from ptyxrf.driver.uncertainty.experiment import Choice, choices_of, measured_under, photon_value
from ptyxrf.driver.uncertainty.fitted import fit_of
from ptyxrf.driver.uncertainty.open_directions import OpenDirections
from ptyxrf.driver.uncertainty.quantities import Quantities
from ptyxrf.driver.uncertainty.sampler import UNSOLVED
from ptyxrf.driver.uncertainty.settings import AXES, Conditions, Expectation, Sampling
from ptyxrf.driver.uncertainty.uncertainty import deviations_of
from ptyxrf.parallel.startup import agreed, from_first_rank

MEANING = "Roots of mean squared errors: noise of the data, and what the prior of the maps smooths away."


@dataclass(frozen=True)
class Expected:
    """The errors of a scan under some conditions.

    Attributes
    ----------
    choice : Choice
        Step, dwell time and dose.
    positions : int
    counts : float
        Mean of a pattern pixel, in photons.
    deviations : Deviations
        Of each pixel: roots of the mean squared errors.
    errors : dict of str to float
        Medians over the illuminated pixels of "amplitude" and of "phase" in radians, and of "positions" in
        pixels. For each element, by its name: the root mean square over these pixels, relative to that of its
        true map.
    """

    choice: Choice
    positions: int
    counts: float
    deviations: Deviations
    errors: dict[str, float]


@dataclass(frozen=True)
class ExpectedErrors:
    """What `expected_errors` returns.

    Attributes
    ----------
    axes : tuple of str
        What was varied, of "step", "dwell" and "dose".
    table : list of Expected
        All combinations, the last axis fastest.
    """

    axes: tuple[str, ...]
    table: list[Expected]

    def facts(self) -> dict[str, Any]:
        """Return everything but the maps as plain numbers and texts."""
        rows = [
            {name: getattr(one.choice, name) for name in AXES}
            | {"positions": one.positions, "counts": one.counts, "errors": one.errors}
            | one.deviations.facts
            for one in self.table
        ]
        return {"axes": list(self.axes), "conditions": rows}


@takes_settings(Expectation)
def expected_errors(
    scan: Scan,
    settings: Expectation,
    progress: Callable[[int, int], None] | None = None,
    comm: Any = None,
) -> ExpectedErrors:
    """Return the errors that a scan would have for other steps, dwell times and doses.

    For each combination the scan is simulated without noise. The inverse of the Fisher information at the
    truth gives the spread of fits to repeated measurements, from the samples of `uncertainty`; the prior of
    the maps adds a bias, which one linear problem tells. Its strength belongs to the specimen: it is found
    once, under the conditions of the scan. The errors are those of fits that have converged to
    the right minimum, with nothing but counting noise, and without bounds on the maps.

    Parameters
    ----------
    scan : Scan
        Simulated, with its true object and maps; `replace` gives a measured scan those of its result.
    {settings}
    progress : callable, optional
        Called after each combination with how many are done, and of how many.
    comm : communicator or None
        The ranks that share the work; any number, with the same numbers.

    Returns
    -------
    ExpectedErrors

    Raises
    ------
    ValueError
        An argument is wrong, or the scan has no truth or no noise.

    Warns
    -----
    UserWarning
        Something is hardly determined by the data under some conditions.
    """
    choices = agreed(comm, lambda: choices_of(scan, settings))
    settings = _with_strengths(scan, settings, comm)
    table: list[Expected] = []
    for choice in choices:
        clean = agreed(comm, lambda choice=choice: measured_under(scan, choice))  # type: ignore[misc]
        found = _deviations(clean, settings, comm)
        counts = float(np.mean(clean.patterns)) / photon_value(clean)
        table.append(Expected(choice, clean.N, counts, found, _errors(found, clean)))
        if progress is not None:
            progress(len(table), len(choices))
    axes = tuple(name for name in AXES if isinstance(getattr(settings, name), tuple))
    _warn(table)
    return ExpectedErrors(axes, table)


def _deviations(clean: Scan, settings: Expectation, comm: Any) -> Deviations:
    """Return the roots of the mean squared errors of fits to a scan: their noise, and the prior's bias."""
    names = ("samples", "tolerance", "max_products", "precision")
    sampling = Sampling(finish_iterations=0, **{name: getattr(settings, name) for name in names})
    truth = _true_result(clean, settings)
    fit = replace(fit_of(truth, clean, sampling, comm), true=True)
    objective = fit.objective
    # without noise a fit would move downhill by this much
    downhill = solve_linear(
        objective, -fit.gradient, None, limit=sampling.max_products, tolerance=sampling.tolerance
    )
    quantities = Quantities(objective, fit.vector)
    bias = quantities.deviations([OpenDirections(objective, fit.vector).without(downhill.vector)])
    noise = deviations_of(truth, fit, sampling).plain
    errors: dict[str, Any] = {name: np.hypot(values, bias[name]) for name, values in noise.arrays.items()}
    return replace(noise, meaning=MEANING, **errors)


def _method(scan: Scan, settings: Expectation) -> str:
    return settings.method if scan.sampling is not None else "ptychography"


def _with_strengths(scan: Scan, settings: Expectation, comm: Any) -> Expectation:
    """Return settings with the strength of each map's prior in numbers."""
    prior = settings.fluorescence_prior
    if _method(scan, settings) == "ptychography" or prior == "none":
        return settings.replace(fluorescence_prior="none")
    (own,) = choices_of(scan, Conditions())
    # where a search stops depends on last bits: one rank makes it for all
    found = from_first_rank(comm, lambda: strengths_of_fit(measured_under(scan, own), prior))
    return settings.replace(fluorescence_prior=tuple(found.tolist()))


def _true_result(clean: Scan, settings: Expectation) -> Result:
    """Return the result that is the truth of a scan."""
    method, prior = _method(clean, settings), settings.fluorescence_prior
    known: dict[str, Any] = {"nonnegative": False}
    elements = np.zeros((0, *clean.shape))
    if method != "ptychography":
        elements = np.asarray(clean.truth["elements"])
        known["prior_used"] = np.zeros(clean.N_e) if prior == "none" else np.asarray(prior)
        known["fluorescence_count_scale_used"] = clean.fluorescence_count_scale
    free: dict[str, Any] = {"positions": clean.positions} if settings.refine_positions != "none" else {}
    if settings.refine_intensities:
        free["intensities"] = clean.exposure
    return Result(
        clean.truth["object"], elements, clean.probe, (), Reason.ITERATIONS, method,
        settings.replace(method=method).as_dict() | known,
        pattern_background=clean.pattern_background if settings.refine_pattern_background else None, **free,
    )  # fmt: skip


def strengths_of_fit(clean: Scan, prior: str | float | tuple[float, ...]) -> NDArray[np.float64]:
    """Return the strength of each map's prior, (N_e,); with "auto" what a fit to the expected counts finds.

    A search in drawn counts would scatter: by a factor of ten where a map has some hundred of them.
    """
    if prior != "auto":
        return np.broadcast_to(np.asarray(prior, np.float64), clean.N_e)
    result = reconstruct(clean, "fluorescence", fluorescence_prior="auto", max_iterations=1)
    return np.asarray(result.settings["prior_used"], np.float64)


def _errors(found: Deviations, clean: Scan) -> dict[str, float]:
    """Return the error of each quantity."""
    # the median of a root mean square of n normal numbers lies below their deviation
    low = np.sqrt(2 * gammaincinv(found.samples / 2, 0.5) / found.samples) if found.samples else 1.0
    errors = {}
    for name, values in found.arrays.items():
        if name == "elements":
            maps = np.asarray(clean.truth["elements"])
            for label, one, w in zip(clean.element_names, values, maps, strict=True):
                lit = np.isfinite(one)
                size, of_map = (float(np.linalg.norm(values[lit])) for values in (one, w))
                errors[label] = size / of_map if of_map > 0 else np.inf
        elif name in ("amplitude", "phase", "positions"):
            errors[name] = float(np.nanmedian(values) / low)
    return errors


def _warn(table: list[Expected]) -> None:
    unsolved = [one for one in table if one.deviations.unsolved > UNSOLVED]
    if unsolved:
        worst = max(unsolved, key=lambda one: one.deviations.unsolved)
        warnings.warn(
            f"{len(unsolved)} of {len(table)} conditions hardly determine a map, or a factor between maps "
            f"and probe: the errors there are larger than said (step {worst.choice.step:.3g}, dwell "
            f"{worst.choice.dwell:.3g}: samples would change by {100 * worst.deviations.unsolved:.0f} % with "
            "more products)",
            stacklevel=3,
        )
