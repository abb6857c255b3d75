"""The search for the strength of each map's prior, beside a fit of the fluorescence alone.

It proceeds in rounds. The first ones follow the evidence and take the weights of the samples anew, from the
counts that the maps predict. Then some weaker strengths are tried with the weights that are in use, and each
element gets the one of least risk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.map_evidence import measure_evidence
from ptyxrf.driver.solver.state import State

log = logging.getLogger("ptyxrf")

#: Rounds that follow the evidence.
EVIDENCE_ROUNDS = 2
#: Strengths that are tried, as fractions of the one of largest evidence.
TRIALS = 3.0 ** -np.arange(4)
#: Smallest fraction that an element may get.
LEAST = TRIALS[-1] / 3
#: Smallest factor by which an estimate of the variance may fall in a round.
LEAST_VARIANCE = 1e-6


def search_strengths(
    objective: Objective, fit: Callable[[NDArray], State], expired: Callable[[], bool], start: NDArray
) -> State:
    """Give an objective of the fluorescence alone its weights and strengths; return the fit with them.

    Parameters
    ----------
    objective : Objective
    fit : callable
        Minimises the objective from a vector.
    expired : callable
        Whether the time budget is used up, on all ranks alike; the search then ends where it is.
    start : (size,) array
    """
    noise = objective.weights.noise
    assert noise is not None
    objective.weights.regularise(_first_strengths(objective))
    state = fit(start)
    for _ in range(EVIDENCE_ROUNDS):
        if expired():
            return state
        evidence = measure_evidence(objective, state)
        if not noise.known:
            objective.weights.rescale(noise.scales * np.maximum(evidence.variance, LEAST_VARIANCE))
        objective.weights.regularise(evidence.strengths(objective.weights.strengths))
        objective.weigh(state.vector)
        state = fit(state.vector)
    strongest, risks = objective.weights.strengths, []
    for fraction in TRIALS:
        if expired():
            objective.weights.regularise(strongest)
            return fit(state.vector)
        objective.weights.regularise(fraction * strongest)
        state = fit(state.vector)
        risks.append(measure_evidence(objective, state).risk)
    objective.weights.regularise(least_risk(np.array(risks)) * strongest)
    log.debug("strengths of the prior of the maps: %s", objective.weights.strengths)
    return fit(state.vector)


def least_risk(risks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction of least risk of each element, from the risks (trials, N_e) at `TRIALS`.

    The minimum of a parabola through all trials in the logarithm of the strength: single risks are noisy.
    """
    logs = np.log(TRIALS)
    bend, slope, _ = np.polyfit(logs, risks, 2)
    inside = bend > 0
    lowest = np.where(inside, -slope / np.where(inside, 2 * bend, 1.0), logs[risks.argmin(axis=0)])
    return np.exp(np.clip(lowest, np.log(LEAST), 0.0))


def _first_strengths(objective: Objective) -> NDArray[np.float64]:
    """Return strengths to begin with: differences as large as a flat map with the mean count of each."""
    ones, counts = np.array(objective.initial), objective.data.counts
    objective.fields.view(ones)[objective.fields.elements] = 1
    of_ones = objective.predicted_fluorescence(ones)
    assert of_ones is not None and counts is not None
    totals = objective.sum(of_ones.reshape(len(of_ones), -1).sum(axis=1))
    samples = np.prod(objective.scan.fluorescence.shape[1:])
    known = (totals > 0) & (counts.mean_modulus > 0)
    flat = np.where(known, counts.mean_modulus * samples / np.where(known, totals, 1.0), 1.0)
    return np.asarray(1 / flat**2)
