"""How noise of data and priors changes the gradient: the right-hand sides of samples of the posterior.

A sample is the minimum for other data, drawn around those at hand, and other values of the prior's
differences: H x = gradient(data) - gradient(other data) at the minimum. The random numbers are those of
streams by sample and by the place of a pattern pixel, a count or a difference in the whole scan, so that
all numbers of ranks draw the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.kernels.noise_floor import root_variances
from ptyxrf.kernels.normal_numbers import LARGEST, normal_numbers, stream_key

#: Streams of each sample.
PATTERNS, COUNTS, ROWS, COLUMNS = range(4)
#: Numbers drawn at a time.
BLOCK = 2**17


class PerturbedGradient:
    """The change of an objective's gradient by noise, at one point.

    The gradient is linear in the amplitudes and in the counts, and the curvature of Gauss and Newton depends
    on neither. So amplitudes are replaced by noise around a number that keeps them positive, as a negative
    one marks a masked pixel; the objective cannot be used for a fit afterwards.

    Parameters
    ----------
    objective : Objective
        Of amplitudes, with the curvature "gauss-newton" and cached memory; all ranks take part.
    vector : (size,) array
        The point.
    seed : int
    prior : bool
        Whether the differences of the prior get noise, too.
    poisson : bool
        Whether the fit minimised the deviance of Poisson counts, whose noise is that of amplitudes of many.
    """

    def __init__(
        self, objective: Objective, vector: NDArray, seed: int, *, prior: bool = True, poisson: bool = False
    ) -> None:
        self._objective, self._vector, self._seed = objective, vector, seed
        self._prior = prior and bool(objective.weights.strengths.any())
        tile, terms = objective.tile, objective.terms
        self._diffraction, self._fluorescence = terms.diffraction, terms.fluorescence
        if self._diffraction is not None:
            amplitudes = self._diffraction.amplitudes
            assert isinstance(amplitudes, np.ndarray)
            self._amplitudes, self._masked = amplitudes, amplitudes < 0
            self._deviations = self._of_roots(tile.positions, poisson=poisson)
            self._set_amplitudes(None)
        predicted = objective.predicted_fluorescence(vector)
        if self._fluorescence is not None and predicted is not None:
            variance = objective.weights.variance(predicted)
            # a lost count has no noise
            self._of_counts = np.sqrt(np.where(np.isfinite(variance), variance, 0.0))
            self._counts = self._fluorescence.data.copy()
        _, self._undisturbed = objective.value_and_gradient(vector)

    def __call__(self, sample: int) -> NDArray[Any]:
        """Return the right-hand side of a sample; all ranks take part."""
        objective = self._objective
        if self._diffraction is not None:
            self._set_amplitudes(sample)
        if self._fluorescence is not None:
            drawn = self._of_counts * self._draw(sample, COUNTS, self._places(objective.scan.N_e))
            self._fluorescence.data[...] = self._counts + objective.units.counts(drawn, self._counts.dtype)
        _, gradient = objective.value_and_gradient(self._vector)
        change = self._undisturbed - gradient
        if self._prior:
            objective.fields.view(change)[objective.fields.elements] += self._of_prior(sample)
        return change

    def _of_roots(self, positions: NDArray[np.int64], *, poisson: bool) -> NDArray[Any]:
        """Return the deviation of each amplitude: a root of counts of the model's mean, times eta.

        At least that of many counts, 1/4: the root of a rare count varies less, at the price of a bias that
        an error bar does not know.
        """
        objective, scan = self._objective, self._objective.scan
        scale = np.ones(scan.N) if scan.count_scale is None else scan.count_scale
        variances = np.full_like(self._amplitudes, 0.25)
        unit = scale[positions].reshape(-1, *[1] * (variances.ndim - 1)) / objective.mean_count
        for first, last, intensities in () if poisson else objective.intensities(self._vector):
            means = intensities / unit[first:last]
            variances[first:last] = np.maximum(root_variances(means), 0.25)
        return np.sqrt(unit * variances)

    def _draw(self, sample: int, stream: int, places: NDArray[np.int64]) -> NDArray[np.float64]:
        return normal_numbers(stream_key(self._seed, sample, stream), places)

    def _set_amplitudes(self, sample: int | None) -> None:
        """Replace the amplitudes by noise around a number; None: by that number."""
        amplitudes = self._amplitudes
        pixels = int(np.prod(amplitudes.shape[1:]))
        within, step = np.arange(pixels).reshape(amplitudes.shape[1:]), max(1, BLOCK // pixels)
        positions = self._objective.tile.positions
        for first in range(0, len(positions), step):
            here = slice(first, first + step)
            extra = (-1, *[1] * within.ndim)
            noise: NDArray[Any] | float = 0.0
            if sample is not None:
                places = positions[here].reshape(extra) * pixels + within
                noise = self._draw(sample, PATTERNS, places)
            values = self._deviations[here] * (LARGEST + noise)
            amplitudes[here] = np.where(self._masked[here], -1.0, values)

    def _pixels(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of pixels in the whole grid."""
        return rows[:, None] * self._objective.scan.shape[1] + columns

    def _places(self, elements: int) -> NDArray[np.int64]:
        """Return the places of this rank's counts (N_e, ...) among all."""
        scan, tile, owned = self._objective.scan, self._objective.tile, self._objective.tile.owned
        if scan.sampling == "scan":
            here, count = tile.positions, scan.N
        else:
            rows, columns = (
                np.arange(owned.row_start, owned.row_stop),
                np.arange(owned.column_start, owned.column_stop),
            )
            here, count = self._pixels(rows, columns), scan.shape[0] * scan.shape[1]
        return np.arange(elements).reshape(-1, *[1] * here.ndim) * count + here

    def _of_prior(self, sample: int) -> NDArray[np.float64]:
        """Return the change of the downhill gradient in the owned maps by the prior, (N_e, rows, columns).

        The differences d of neighbours have the precision `strengths`, in units of `unit`: noise of their
        gradient is unit sqrt(strength) D^T xi.
        """
        objective, owned, shape = self._objective, self._objective.tile.owned, self._objective.scan.shape
        sizes = objective.weights.unit * np.sqrt(objective.weights.strengths)
        force = np.zeros((len(sizes), *owned.shape))
        for axis, stream in enumerate((ROWS, COLUMNS)):
            starts, stops = [owned.row_start, owned.column_start], [owned.row_stop, owned.column_stop]
            starts[axis] -= 1  # the pixel before has a difference from the first
            rows, columns = (np.arange(*ends) for ends in zip(starts, stops, strict=True))
            along = (rows, columns)[axis]
            inside = (along >= 0) & (along < shape[axis] - 1)
            inside = inside[:, None] if axis == 0 else inside
            places = np.maximum(self._pixels(rows, columns), 0)
            for e, size in enumerate(sizes):
                drawn = self._draw(sample, stream, places + e * shape[0] * shape[1]) * inside
                force[e] -= size * np.diff(drawn, axis=axis)
        return force
