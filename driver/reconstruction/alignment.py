"""Alignment of a reconstruction with a known truth along the directions that the data do not determine.

These are the global phase and, if the probe was unknown, also the scale and the linear phase ramp that object
and probe share, and a common shift by whole or fractional pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.simulation.plain_model import fourier_shift

#: Rounds in which ramp and shift are read off the peaks of spectra.
PEAK_ROUNDS = 3
#: Least-squares steps that refine the alignment, at most.
REFINEMENTS = 5
#: The refinement ends when shift (pixels) and ramp (turns) change by less than this.
SETTLED = 1e-3


def align(values: NDArray, truth: NDArray, area: NDArray[np.bool_], *, blind: bool = False) -> NDArray[Any]:
    """Align an object with the truth along the directions that the data do not determine.

    Parameters
    ----------
    values, truth : (n_rows, n_cols) arrays of complex
        The reconstructed object and the true one.
    area : (n_rows, n_cols) array of bool
        Where the two are compared, usually `illuminated_area`.
    blind : bool
        Whether the probe was an unknown. If so, a common shift, a linear phase ramp and the scale are removed
        as well as the global phase.

    Returns
    -------
    (n_rows, n_cols) array of complex128
    """
    values = np.asarray(values, dtype=np.complex128)
    truth = np.asarray(truth, dtype=np.complex128)
    if not blind:
        return values * unit_phase(np.vdot(values[area], truth[area]))
    for _ in range(PEAK_ROUNDS):
        values = _aligned_by_peaks(values, truth, area)
    for _ in range(REFINEMENTS):
        constant, ramp, shift = _remaining(values, truth, area)
        values = constant * _shifted(_tilted(values, ramp), shift)
        if np.abs([*ramp, *shift]).max() < SETTLED:
            break
    return values


def without_null_directions(field: NDArray[Any], area: NDArray[np.bool_], *, ramp: bool) -> NDArray[Any]:
    """Return an object without its mean phase and, if asked for, without its mean phase ramp.

    This needs no truth. The result is 0 outside the area.

    Parameters
    ----------
    field : (rows, columns) array of complex
        The object.
    area : (rows, columns) array of bool
        Where the object is known.
    ramp : bool
        Remove the linear phase too: it is arbitrary if the probe was refined.
    """
    field = np.where(area, field, 0)
    if ramp:
        for axis in (0, 1):
            lines = np.moveaxis(field, axis, 0)
            slope = np.angle(np.sum(lines[1:] * np.conj(lines[:-1]), dtype=np.complex128))
            turn = np.exp(-1j * slope * np.arange(len(lines)))
            field = field * (turn[:, None] if axis == 0 else turn[None, :])
    return field * np.exp(-1j * np.angle(np.sum(field, dtype=np.complex128)))


def unit_phase(overlap: complex) -> complex:
    """Return a number divided by its modulus; 1 for 0."""
    return overlap / abs(overlap) if overlap != 0 else 1.0


def _aligned_by_peaks(values: NDArray, truth: NDArray, area: NDArray[np.bool_]) -> NDArray[Any]:
    """Remove ramp, phase and shift; the first is the peak of a spectrum, the last that of a correlation."""
    values = _tilted(values, _peak(np.fft.fft2(np.where(area, values.conj() * truth, 0))))
    values = values * unit_phase(np.vdot(values[area], truth[area]))
    spectra = np.fft.fft2(np.where(area, truth - truth[area].mean(), 0)) * np.conj(
        np.fft.fft2(np.where(area, values - values[area].mean(), 0))
    )
    return _shifted(values, _peak(np.fft.ifft2(spectra)))


def _remaining(
    values: NDArray, truth: NDArray, area: NDArray[np.bool_]
) -> tuple[complex, tuple[float, float], tuple[float, float]]:
    """Return the constant, ramp and shift that remain, by linear least squares.

    The model is truth ~ c values + 2 pi i (ramp . r) values - shift . grad values. Unlike the peaks, it is
    not biased by the edge of the area.
    """
    row_turns, column_turns = (
        index / size for index, size in zip(np.nonzero(area), truth.shape, strict=True)
    )
    down, across = np.gradient(values)
    inside = values[area]
    slope = 2j * np.pi * inside
    basis = np.stack(
        [inside, 1j * inside, slope * row_turns, slope * column_turns, -down[area], -across[area]]
    ).view(np.float64)
    gram, right = basis @ basis.T, basis @ truth[area].view(np.float64)
    c_re, c_im, *rest = np.linalg.lstsq(gram, right, rcond=None)[0]
    return c_re + 1j * c_im, (rest[0], rest[1]), (rest[2], rest[3])


def _peak(values: NDArray) -> tuple[float, float]:
    """Return the (row, column) of the maximum modulus, refined by a parabola, signed (wrapped)."""
    size = np.abs(values)
    row, column = (int(i) for i in np.unravel_index(np.argmax(size), size.shape))
    place = []
    for axis, centre in ((0, row), (1, column)):
        length = size.shape[axis]
        line = size[:, column] if axis == 0 else size[row]
        before, here, after = line[centre - 1], line[centre], line[(centre + 1) % length]
        curvature = before - 2 * here + after
        offset = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
        signed = centre - length if centre > length // 2 else centre
        place.append(signed + float(np.clip(offset, -0.5, 0.5)))
    return place[0], place[1]


def _tilted(values: NDArray, ramp: tuple[float, float]) -> NDArray[Any]:
    """Return values times a linear phase of `ramp` turns over the rows and over the columns."""
    rows, columns = np.indices(values.shape)
    turns = ramp[0] * rows / values.shape[0] + ramp[1] * columns / values.shape[1]
    return values * np.exp(2j * np.pi * turns)


def _shifted(values: NDArray, shift: tuple[float, float]) -> NDArray[Any]:
    """Return values with their content moved by a shift in pixels."""
    return fourier_shift(values, np.array([shift]))[0]
