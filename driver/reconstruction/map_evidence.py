"""What the counts tell of the strength that the prior of their map needs.

Two measures, of each element by itself. The evidence of the counts is largest where the strength times the
sum of squared differences of the map is the number of degrees of freedom that the counts determine (D. J. C.
MacKay, Neural Computation 4, 1992). The risk, the squared error of the expected counts in units of their
variance, has an unbiased estimate: misfit - samples + 2 degrees of freedom (C. L. Mallows, Technometrics 15,
1973; C. M. Stein, Ann. Statist. 9, 1981). The evidence finds the order of magnitude from far away. The risk
is the better measure near its minimum: maps have edges and empty areas, which no Gaussian describes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.solver.conjugate_gradients import respond
from ptyxrf.driver.solver.state import State
from ptyxrf.kernels.checksum import STEP, mixed

#: Random changes of the data whose responses are averaged. They are the same whatever the strengths, so that
#: differences of risks have less noise than the risks.
PROBES = 2
#: Most Hessian products of a response, and the growth at which it counts as found.
MOST_PRODUCTS = 100
SETTLED = 0.1


@dataclass(frozen=True)
class Evidence:
    """What a fit of the fluorescence tells of each element; all are (N_e,) arrays of float64.

    Attributes
    ----------
    samples : array
        How many counts have a weight.
    freedom : array
        Degrees of freedom that they determine.
    misfit : array
        Sum of squared residuals over the variances of the weights in use.
    roughness : array
        Sum of squared differences of neighbouring pixels.
    """

    samples: NDArray[np.float64]
    freedom: NDArray[np.float64]
    misfit: NDArray[np.float64]
    roughness: NDArray[np.float64]

    @property
    def risk(self) -> NDArray[np.float64]:
        """The estimate of the squared error of the expected counts."""
        return self.misfit - self.samples + 2 * self.freedom

    @property
    def variance(self) -> NDArray[np.float64]:
        """The estimate of the variance of the counts over that of the weights in use."""
        return self.misfit / np.maximum(self.samples - self.freedom, 1.0)

    def strengths(self, present: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the next strengths of the fixed point of largest evidence; as at present for flat maps."""
        known = (self.roughness > 0) & (self.freedom > 0)
        return np.where(known, self.freedom / np.where(known, self.roughness, 1.0), present)


def random_signs(objective: Objective, key: int) -> NDArray[np.float64]:
    """Return 1 or -1 for each sample of this rank, whatever the number of ranks; `key` tells them apart."""
    scan, tile = objective.scan, objective.tile
    if scan.sampling == "scan":
        places, count = tile.positions, scan.N
    else:
        rows = np.arange(tile.owned.row_start, tile.owned.row_stop)[:, None]
        columns = np.arange(tile.owned.column_start, tile.owned.column_stop)
        places, count = rows * scan.shape[1] + columns, scan.shape[0] * scan.shape[1]
    elements = np.arange(key * scan.N_e, (key + 1) * scan.N_e).reshape(-1, *[1] * places.ndim)
    words = (elements * count + places).astype(np.uint64)
    return np.where(mixed(words * STEP) >> np.uint64(63), 1.0, -1.0)


def degrees_of_freedom(
    objective: Objective, free: NDArray[np.bool_] | None, probes: int = PROBES
) -> NDArray[np.float64]:
    """Return how many degrees of freedom the counts of each element determine, (N_e,).

    The trace of d(expected counts)/d(counts), from the responses to random changes of the counts (M. F.
    Hutchinson, Commun. Stat. Simul. 19, 1990).

    Parameters
    ----------
    objective : Objective
        At the point last evaluated, a minimum.
    free : array of bool or None
        Variables that no bound holds.
    probes : int
        Random changes; each takes some fifteen products.
    """
    total = np.zeros(objective.scan.N_e)
    for key in range(probes):
        force = _pulled(objective, random_signs(objective, key))
        if free is not None:
            force *= free
        response = respond(objective, force.copy(), free, limit=MOST_PRODUCTS, tolerance=SETTLED)
        pairs = objective.elements_of(force).astype(np.float64) * objective.elements_of(response)
        total += pairs.sum(axis=(1, 2))
    return objective.sum(total) / probes


def _pulled(objective: Objective, deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how the downhill gradient changes when samples change by so many of their deviations."""
    vector = np.zeros(objective.size, objective.real)
    changes = objective.weights.pulling(deviations)
    objective.fields.view(vector)[objective.fields.elements] = objective.diagonals.pulled(changes)
    return vector


def _squares(objective: Objective, vector: NDArray) -> NDArray[np.float64]:
    """Return this rank's share (N_e,) of the sums of squared differences of neighbours in each map."""
    fields, prior = objective.fields, objective.terms.prior
    assert prior is not None
    halo = fields.halo()
    maps = halo.fill(fields.view(vector))[fields.elements]
    shares = prior.squares(maps, maps)
    halo.close()
    return shares


def measure_evidence(objective: Objective, state: State) -> Evidence:
    """Return what a fit of the fluorescence alone tells; all ranks take part.

    Parameters
    ----------
    objective : Objective
        At the state: the point last evaluated.
    state : State
        The best fit with the strengths in use.
    """
    predicted, net = objective.predicted_fluorescence(state.vector), objective.data.net
    assert predicted is not None and net is not None
    residual = (predicted - net).reshape(len(net), -1) - objective.scan.background[:, None]
    variances = np.broadcast_to(objective.weights.variances(), net.shape).reshape(residual.shape)
    counted = np.isfinite(variances).sum(axis=1)
    shares = np.stack([counted, (residual**2 / variances).sum(axis=1), _squares(objective, state.vector)])
    samples, misfit, roughness = objective.sum(shares.reshape(-1)).reshape(shares.shape)
    return Evidence(samples, degrees_of_freedom(objective, state.free), misfit, roughness)
