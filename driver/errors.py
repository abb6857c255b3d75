"""Errors against a known truth, raw and after the null directions are removed.

Removed are the global phase and, where the probe was unknown, the scale and the linear phase ramp shared
between object and probe and a common shift by whole or fractional pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.scan import Scan
from ptyxrf.kernels.patches import add_illumination

#: A pixel is illuminated where sum_j |P_j|^2 exceeds this fraction of its maximum.
ILLUMINATED = 1e-3
#: Most least-squares steps that refine the alignment of a blind reconstruction, and the remaining shift
#: (pixels) and ramp (turns) at which they end.
REFINEMENTS, SETTLED = 5, 1e-3


def illumination(scan: Scan, probe: NDArray | None = None) -> NDArray[np.float64]:
    """Return sum_j |P_j|^2 on the object grid, each at the integer corner of its position.

    Parameters
    ----------
    scan : Scan
    probe : (K, m, m) array of complex, optional
        Default: the scan's.

    Returns
    -------
    (n_rows, n_cols) array of float64
    """
    versions = np.asarray(scan.probe if probe is None else probe, dtype=np.complex128)[None]
    total = np.zeros(scan.shape)
    add_illumination(versions, np.zeros(scan.N, np.int64), scan.corners, np.ones(scan.N), 1, total)
    return total


def illuminated_area(scan: Scan, probe: NDArray | None = None) -> NDArray[np.bool_]:
    """Return where sum_j |P_j|^2 > 1e-3 of its maximum, (n_rows, n_cols)."""
    light = illumination(scan, probe)
    return light > ILLUMINATED * light.max()


def _shifted(values: NDArray, shift: tuple[float, float]) -> NDArray[Any]:
    ramp = np.exp(-2j * np.pi * np.fft.fftfreq(values.shape[0]) * shift[0])[:, None]
    ramp = ramp * np.exp(-2j * np.pi * np.fft.fftfreq(values.shape[1]) * shift[1])
    return np.fft.ifft2(np.fft.fft2(values) * ramp)


def _peak(values: NDArray) -> tuple[float, float]:
    """Return the (row, column) of the maximum modulus, refined by a parabola, signed (wrapped)."""
    size = np.abs(values)
    row, column = (int(i) for i in np.unravel_index(np.argmax(size), size.shape))
    place = []
    for axis, centre in ((0, row), (1, column)):
        length = size.shape[axis]
        line = size[:, column] if axis == 0 else size[row]
        before, here, after = line[centre - 1], line[centre], line[(centre + 1) % length]
        bend = before - 2 * here + after
        offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
        signed = centre - length if centre > length // 2 else centre
        place.append(signed + float(np.clip(offset, -0.5, 0.5)))
    return place[0], place[1]


def align(values: NDArray, truth: NDArray, area: NDArray[np.bool_], *, blind: bool = False) -> NDArray[Any]:
    """Remove what the data cannot tell from an object.

    Parameters
    ----------
    values, truth : (n_rows, n_cols) arrays of complex
    area : (n_rows, n_cols) array of bool
        Where to compare: the illuminated area.
    blind : bool
        The probe was an unknown: remove a common shift, a linear phase ramp and the scale as well.

    Returns
    -------
    (n_rows, n_cols) array of complex
    """
    values = np.asarray(values, dtype=np.complex128)
    truth = np.asarray(truth, dtype=np.complex128)
    if not blind:
        return values * _constant(values[area], truth[area])
    down_turns, across_turns = (
        index / size for index, size in zip(np.nonzero(area), truth.shape, strict=True)
    )
    for _ in range(3):
        # the ramp is the peak of the spectrum of values^* truth, the shift that of their correlation
        values = _tilted(values, _peak(np.fft.fft2(np.where(area, values.conj() * truth, 0))))
        values = values * _constant(values[area], truth[area])
        spectra = np.fft.fft2(np.where(area, truth - truth[area].mean(), 0)) * np.conj(
            np.fft.fft2(np.where(area, values - values[area].mean(), 0))
        )
        values = _shifted(values, _peak(np.fft.ifft2(spectra)))
    for _ in range(REFINEMENTS):
        # the edge of the area biases both peaks a little; least squares in what remains do not see it:
        # truth ~ c values + 2 pi i (ramp . r) values - shift . grad values
        down, across = np.gradient(values)
        inside = values[area]
        slope = 2j * np.pi * inside
        basis = np.stack(
            [inside, 1j * inside, slope * down_turns, slope * across_turns, -down[area], -across[area]]
        ).view(np.float64)
        gram, right = basis @ basis.T, basis @ truth[area].view(np.float64)
        c_re, c_im, *small = np.linalg.lstsq(gram, right, rcond=None)[0]
        values = (c_re + 1j * c_im) * _shifted(_tilted(values, (small[0], small[1])), (small[2], small[3]))
        if np.abs(small).max() < SETTLED:
            break
    return values


def _tilted(values: NDArray, ramp: tuple[float, float]) -> NDArray[Any]:
    """Return values times a linear phase of `ramp` turns over the rows and over the columns."""
    rows, columns = np.indices(values.shape)
    turns = ramp[0] * rows / values.shape[0] + ramp[1] * columns / values.shape[1]
    return values * np.exp(2j * np.pi * turns)


def _constant(values: NDArray, truth: NDArray) -> complex:
    """Return the unit-modulus constant that takes `values` closest to `truth`."""
    overlap = np.vdot(values, truth)
    return complex(overlap / abs(overlap)) if overlap != 0 else 1.0


def measure_errors(
    object: NDArray,
    elements: NDArray,
    scan: Scan,
    *,
    blind: bool = False,
    area: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """Compare a reconstruction with the scan's truth.

    Parameters
    ----------
    object : (n_rows, n_cols) array of complex
    elements : (N_e, n_rows, n_cols) array of float
        Empty for ptychography alone.
    scan : Scan
        With a `truth`; without one the result is empty.
    blind : bool
        Whether the probe was an unknown.
    area : array of bool, optional
        The illuminated area, where it is known already.

    Returns
    -------
    dict
        "mse": ||z - z*||^2 / n^2 raw, and "mse_illuminated" on the illuminated area; "mse_aligned": there,
        without the null directions;
        "mse_real", "mse_imaginary": raw, of x and y; "mse_NAME" of each element;
        "mse_imaginary_illuminated" and "mse_NAME_illuminated" on the illuminated area.
    """
    if "object" not in scan.truth:
        return {}
    truth = scan.truth["object"]
    area = illuminated_area(scan) if area is None else area
    difference = np.asarray(object, dtype=np.complex128) - truth
    aligned = align(object, truth, area, blind=blind)
    errors = {
        "mse": float((np.abs(difference) ** 2).mean()),
        "mse_illuminated": float((np.abs(difference)[area] ** 2).mean()),
        "mse_aligned": float((np.abs(aligned - truth)[area] ** 2).mean()),
        "mse_real": float((difference.real**2).mean()),
        "mse_imaginary": float((difference.imag**2).mean()),
        "mse_imaginary_illuminated": float((difference.imag[area] ** 2).mean()),
    }
    if len(elements) and "elements" in scan.truth:
        for name, values, true in zip(scan.element_names, elements, scan.truth["elements"], strict=True):
            square = (values.astype(np.float64) - true) ** 2
            errors[f"mse_{name}"] = float(square.mean())
            errors[f"mse_{name}_illuminated"] = float(square[area].mean())
    return errors
