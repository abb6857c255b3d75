"""Sweeps that change object and probe after each batch of positions, many times while all are visited once.

Far from the solution a part of the patterns tells as well as all of them where to go. A step is the gradient
of a batch over the diagonal of its Hessian, with Nesterov's momentum: A. Maiden, D. Johnson and P. Li,
"Further improvements to the ptychographical iterative engine", Optica 4 (2017), where a batch is a position.
Batches are parts of the scan, not of a rank, so that all numbers of ranks take the same steps. They grow from
sweep to sweep: what one batch learns of the noise of its patterns the others have to undo.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.object_and_probe import ProbeModes
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.kernels.momentum import momentum_step

#: Positions of a batch in the first sweep, and most batches: each of them costs a pass over the object.
POSITIONS, BATCHES = 20, 26
#: Ratio of the number of batches to that of the sweep before.
FEWER = 0.7
#: Length of a step, in units of the one that explains a batch, and how much of it the next one repeats.
RATE, MOMENTUM = 0.6, 0.85
#: Fraction of the largest value of one position, or of a batch, that is added to the diagonals.
FLOOR = 0.6


class BatchSweeps:
    """Sweeps over the batches of a scan, whose momentum lasts from one to the next.

    Parameters
    ----------
    objective : Objective
        Of ptychography with an unknown probe; what else is unknown of the beam stays.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._probe = next(kind for kind in objective.beam.kinds if isinstance(kind, ProbeModes))
        self._count = float(np.clip(objective.scan.N // POSITIONS, 1, BATCHES))
        self._random = np.random.default_rng(0)
        self._velocity = np.zeros(objective.size, objective.real)

    def sweep(self, vector: NDArray[Any]) -> NDArray[Any]:
        """Return the vector after a sweep; all ranks take part.

        Parameters
        ----------
        vector : (size,) array
            That of the sweep before, or the start.
        """
        objective, vector = self._objective, vector.copy()
        count = max(round(self._count), 1)
        self._count *= FEWER
        batches = np.empty(objective.scan.N, np.int64)
        batches[self._random.permutation(len(batches))] = np.arange(len(batches)) % count
        mine, held = batches[objective.tile.positions], objective.held
        objective.held = frozenset(objective.unknowns) - {*objective.fields.names, "probe"}
        for batch in range(count):
            self._step(vector, mine == batch)
        objective.held = held
        objective.work.gradients += 1
        return vector

    def _step(self, vector: NDArray[Any], chosen: NDArray[np.bool_]) -> None:
        """Change object and probe in a vector by what the chosen positions of all ranks say."""
        objective, velocity = self._objective, self._velocity
        _, gradient = objective.value_and_gradient(vector, chosen)
        scan, beam, diagonals = objective.scan, objective.beam, objective.diagonals
        probe = beam.probe(vector)
        brightest = float((probe.real**2 + probe.imag**2).sum(axis=0).max()) * scan.exposure.mean() / scan.N
        light = diagonals.illumination(chosen) + FLOOR * brightest
        intensity = diagonals.object_intensity(beam.z, chosen)
        intensity += FLOOR * intensity.max()
        each = np.repeat(intensity, 2)  # of the real and the imaginary part
        for kind, diagonal in ((objective.fields, light), (self._probe, each)):
            slopes, speed, values = (
                kind.part(one).reshape(-1, diagonal.size) for one in (gradient, velocity, vector)
            )
            momentum_step(slopes, diagonal.reshape(-1).astype(objective.real), RATE, MOMENTUM, speed, values)
