"""Compare the misfit of the patterns with what their noise explains, at the end of a reconstruction."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.comparison import chi_square
from ptyxrf.driver.reconstruction.distortion import distortion_score
from ptyxrf.driver.reconstruction.illumination import ILLUMINATED
from ptyxrf.driver.reconstruction.verdict import Misfit, verdict_of, without_floor
from ptyxrf.kernels.noise_floor import CLASSES, add_misfit, floor_table

#: Columns of the sums over a pattern and over a detector pixel, before those of the classes.
POSITION_SUMS, PIXEL_SUMS = 5, 3
#: A detector pixel whose floor over all patterns is below this many counts says nothing.
LEAST_FLOOR = 1.0


@dataclass(frozen=True)
class Sums:
    """Sums of squared residuals and of their floor over the patterns of all ranks, in photons.

    Attributes
    ----------
    positions : (5, N) array of float64
        Misfit, floor, intensity of model and data, product of their amplitudes.
    pixels : (3, m, m) array of float64
        Misfit, floor, number of good patterns.
    """

    positions: NDArray[np.float64]
    pixels: NDArray[np.float64]


def measure_quality(objective: Objective, vector: NDArray, *, converged: bool) -> Quality | None:
    """Judge the fit of the patterns at a vector of unknowns, in two passes; all ranks take part.

    Parameters
    ----------
    objective : Objective
        Last evaluated at the vector.
    vector : (size,) array
    converged : bool
        Whether the reconstruction ended because there was nothing left to gain.

    Returns
    -------
    Quality or None
        None where the method has no patterns.
    """
    patterns, scan = objective.data.patterns, objective.scan
    if patterns is None:
        return None
    scales, known = scan.count_scale, True
    if scales is None:
        scales, known = np.ones(scan.N), patterns.whole
    if not known or not (scales > 0).all():
        sums = sum_misfit(objective, vector, np.ones(scan.N))
        found = without_floor(_relative(sums), noiseless=known and not scales.any())
        return replace(found, chi_square=chi_square(objective, vector))
    sums = sum_misfit(objective, vector, scales)
    pixels = float(sums.pixels[2].sum())
    share = min(_unknowns(objective, vector) / pixels, 1.0)
    distortion = distortion_score(objective, float(np.mean(scales))) if converged else None
    misfit = Misfit(sums.positions, sums.pixels, share, converged, distortion)
    left = misfit.left
    verdict, good = verdict_of(misfit)
    dark = sums.pixels[1] < LEAST_FLOOR
    per_pixel = np.where(dark, np.nan, sums.pixels[0] / (left * np.where(dark, 1.0, sums.pixels[1])))
    return Quality(
        misfit_over_floor=misfit.ratio,
        per_position=misfit.per_position,
        per_pixel=per_pixel,
        noise_floor=left * float(scales @ sums.positions[1]) / (2 * scan.N),
        relative_misfit=_relative(sums),
        verdict=verdict,
        good=good,
        distortion=distortion,
        chi_square=chi_square(objective, vector),
    )


def sum_misfit(objective: Objective, vector: NDArray, scales: NDArray[np.float64]) -> Sums:
    """Return misfit and floor by position and by detector pixel, for counts of so many units a photon.

    Fits of amplitudes take intensities of few counts down (`ptyxrf.kernels.noise_floor`). The excess of the
    data over the model tells how far: in each class of intensities the floor lies as far between F and H as
    the mean count between the model's intensity and that plus H.
    """
    ranks, tile, scan = objective.ranks, objective.tile, objective.scan
    diffraction = objective.terms.diffraction
    assert diffraction is not None
    photons = objective.mean_count / scales[tile.positions]
    classes, table = CLASSES, floor_table()
    shape = diffraction.amplitudes.shape[1:]
    positions = np.zeros((diffraction.count, POSITION_SUMS + len(classes)))
    pixels = np.zeros((PIXEL_SUMS + len(classes), math.prod(shape)))
    counts = np.zeros((len(classes), 2))
    for first, last, intensities in objective.intensities(vector):
        here = slice(first, last)
        add_misfit(
            intensities.reshape(last - first, -1), diffraction.amplitudes[here].reshape(last - first, -1),
            photons[here], classes, table, positions[here], pixels, counts,
        )  # fmt: skip
    counts = ranks.sum(counts)
    missing = np.clip(counts[:, 0] / np.where(counts[:, 1] > 0, counts[:, 1], 1.0), 0.0, 1.0)
    positions[:, 1] += positions[:, POSITION_SUMS:] @ missing
    pixels[1] += missing @ pixels[PIXEL_SUMS:]
    whole = np.zeros((POSITION_SUMS, scan.N))
    whole[:, tile.positions] = positions[:, :POSITION_SUMS].T
    planes = pixels[:PIXEL_SUMS].reshape(PIXEL_SUMS, *shape)
    planes = np.fft.fftshift(diffraction.in_order(planes), axes=(-2, -1))
    return Sums(ranks.sum(whole), ranks.sum(np.ascontiguousarray(planes)))


def _relative(sums: Sums) -> float:
    """Return the root of the misfit over the sum of the counts."""
    total = float(sums.positions[3].sum())
    return math.sqrt(float(sums.positions[0].sum()) / total) if total > 0 else math.nan


def _unknowns(objective: Objective, vector: NDArray) -> float:
    """Return how many real numbers the patterns determine: of the illuminated object and of the probe."""
    illumination, ranks = objective.diagonals.illumination(), objective.ranks
    (peak,) = ranks.largest(float(illumination.max(initial=0.0)))
    (lit,) = ranks.sum(np.array([np.count_nonzero(illumination > ILLUMINATED * peak)], dtype=np.float64))
    probe = objective.probe_of(vector).size if objective.settings.refine_probe else 0
    return 2.0 * (float(lit) + probe)
