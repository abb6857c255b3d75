"""The scale between object and probe, which the patterns of an unknown probe leave open.

A probe of twice the amplitude and an object of half of it have the same patterns. The result is scaled by
what is known beside them: vacuum transmits 1, or the probe of the start has the power of the beam.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.illumination import illumination_part

#: Pixels count that have at least this fraction of the largest illumination.
WELL_ILLUMINATED = 0.1

#: Bins of the histogram of |z| up to twice its mean, and how many of them are summed to find its mode.
BINS, SUMMED = 1000, 11


def object_factor(objective: Objective, vector: NDArray, scale_from: str) -> float:
    """Return the factor of the object, and one over that of the probe; all ranks take part.

    Parameters
    ----------
    objective : Objective
    vector : array
        Where the reconstruction ended.
    scale_from : {"vacuum", "probe"}
        The most frequent |z| of the well illuminated object becomes 1, or the probe gets the power that it
        had at the start.
    """
    if scale_from == "vacuum":
        mode = _most_frequent_modulus(objective, vector)
        return 1 / mode if mode > 0 else 1.0
    powers = [np.vdot(probe, probe).real for probe in map(objective.probe_of, (objective.initial, vector))]
    return float(np.sqrt(powers[1] / powers[0]))


def vacuum_phase(objective: Objective, vector: NDArray) -> float:
    """Return the most frequent phase of the well illuminated object, which is that of vacuum.

    All ranks take part. Patterns leave the phase of the whole object open.
    """
    phases = np.angle(_well_illuminated(objective, vector)).astype(np.float64)
    histogram = np.histogram(phases, BINS, (-np.pi, np.pi))[0].astype(np.float64)
    ends = SUMMED // 2  # the last bin lies beside the first
    sums = np.convolve(np.pad(objective.ranks.sum(histogram), ends, "wrap"), np.ones(SUMMED), "valid")
    return float((np.argmax(sums) + 0.5) * 2 * np.pi / BINS - np.pi)


def _well_illuminated(objective: Objective, vector: NDArray) -> NDArray:
    light = illumination_part(objective.scan, objective.tile, objective.ranks, objective.probe_of(vector))
    (peak,) = objective.ranks.largest(float(light.max(initial=0.0)))
    return objective.complex_object(vector)[light > WELL_ILLUMINATED * peak]


def _most_frequent_modulus(objective: Objective, vector: NDArray) -> float:
    ranks = objective.ranks
    moduli = np.abs(_well_illuminated(objective, vector)).astype(np.float64)
    total, count = ranks.sum(np.array([moduli.sum(), moduli.size]))
    largest = 2 * total / count
    histogram = np.histogram(moduli, BINS, (0, largest))[0].astype(np.float64)
    sums = np.convolve(ranks.sum(histogram), np.ones(SUMMED), "same")
    return float((np.argmax(sums) + 0.5) * largest / BINS)
