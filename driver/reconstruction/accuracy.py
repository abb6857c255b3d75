"""Errors against a known truth, raw and after the null directions are removed.

Removed are the global phase and, where the probe was unknown, the scale and the linear phase ramp shared
between object and probe and a common shift by whole or fractional pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.kernels.patches import add_illumination
from ptyxrf.parallel.halo import HaloField
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed
from ptyxrf.parallel.tile import Tile, whole_plane

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
    return illumination_part(scan, whole_plane(scan.shape, scan.N), Ranks(), probe)


def illuminated_area(scan: Scan, probe: NDArray | None = None) -> NDArray[np.bool_]:
    """Return where sum_j |P_j|^2 > 1e-3 of its maximum, (n_rows, n_cols)."""
    light = illumination(scan, probe)
    return light > ILLUMINATED * light.max()


def illumination_part(
    scan: Scan, tile: Tile, ranks: Ranks, probe: NDArray | None = None
) -> NDArray[np.float64]:
    """Return `illumination` on the pixels that a rank owns; all ranks take part."""
    field = HaloField(ranks, tile, 1, np.float64)
    corners = scan.corners[tile.positions] - (tile.covered.row_start, tile.covered.column_start)
    versions = np.asarray(scan.probe if probe is None else probe, dtype=np.complex128)[None]
    count = len(corners)
    add_illumination(versions, np.zeros(count, np.int64), corners, np.ones(count), 1, field.covered[0])
    light = field.collect()[0]
    field.close()
    return light


def illuminated_part(scan: Scan, tile: Tile, ranks: Ranks) -> NDArray[np.bool_]:
    """Return the illuminated area on the pixels that a rank owns; all ranks take part."""
    light = illumination_part(scan, tile, ranks)
    return light > ILLUMINATED * ranks.largest(float(light.max(initial=0.0)))[0]


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
    return _direction(complex(np.vdot(values, truth)))


def _direction(overlap: complex) -> complex:
    """Return a number divided by its modulus; 1 for 0."""
    return overlap / abs(overlap) if overlap != 0 else 1.0


class ErrorMeter:
    """Compares the parts of a reconstruction that ranks hold with the scan's truth.

    Parameters
    ----------
    scan : Scan
        With a `truth`; without one there are no errors.
    tile : Tile
        What this rank owns.
    ranks : Ranks
        All of them make the same calls.
    blind : bool
        Whether the probe was an unknown.
    area : (rows, columns) array of bool, optional
        The illuminated area on the owned pixels, where it is known already.

    Attributes
    ----------
    area : (rows, columns) array of bool
    """

    def __init__(
        self,
        scan: Scan,
        tile: Tile,
        ranks: Ranks,
        *,
        blind: bool = False,
        area: NDArray[np.bool_] | None = None,
    ) -> None:
        self._ranks, self._blind = ranks, blind
        self.area = illuminated_part(scan, tile, ranks) if area is None else area
        owned = tile.owned.slices
        self._object: NDArray[Any] | None = None
        self._elements: dict[str, NDArray[Any]] = {}
        if "object" not in scan.truth:
            return
        self._object = agreed(ranks.comm, lambda: np.asarray(scan.truth["object"][owned]))
        if "elements" in scan.truth:
            maps = agreed(ranks.comm, lambda: np.asarray(scan.truth["elements"][(slice(None), *owned)]))
            self._elements = dict(zip(scan.element_names, maps, strict=True))
        self._pixels = scan.shape[0] * scan.shape[1]
        self._lit = float(ranks.sum(np.array([self.area.sum()], dtype=np.float64))[0])

    def measure(self, object: NDArray, elements: NDArray) -> dict[str, float]:
        """Return the errors of a reconstruction, see `measure_errors`.

        Parameters
        ----------
        object : (rows, columns) array of complex
            On the owned pixels.
        elements : (N_e, rows, columns) array of float
            Empty for ptychography alone.
        """
        truth, area = self._object, self.area
        if truth is None:
            return {}
        values = np.asarray(object, dtype=np.complex128)
        difference = values - truth
        pixels, lit = self._pixels, self._lit
        squares = {
            "mse": (np.sum(np.abs(difference) ** 2), pixels),
            "mse_illuminated": (np.sum(np.abs(difference[area]) ** 2), lit),
            "mse_aligned": (self._aligned(values, truth), lit),
            "mse_real": (np.sum(difference.real**2), pixels),
            "mse_imaginary": (np.sum(difference.imag**2), pixels),
            "mse_imaginary_illuminated": (np.sum(difference.imag[area] ** 2), lit),
        }
        if len(elements):
            for (name, true), map_ in zip(self._elements.items(), elements, strict=False):
                square = (map_.astype(np.float64) - true) ** 2
                squares[f"mse_{name}"] = (square.sum(), pixels)
                squares[f"mse_{name}_illuminated"] = (square[area].sum(), lit)
        sums = self._ranks.sum(np.array([value for value, _ in squares.values()], dtype=np.float64))
        means = sums / np.array([count for _, count in squares.values()])
        errors = {name: float(mean) for name, mean in zip(squares, means, strict=True)}
        if self._blind and self._ranks.size > 1:
            del errors["mse_aligned"]
        return errors

    def _aligned(self, values: NDArray[np.complex128], truth: NDArray[Any]) -> float:
        """Return this rank's share of the squared error without the null directions."""
        area = self.area
        if self._blind:
            # a shift and a ramp are found on the whole object only
            return (
                float(np.sum(np.abs(align(values, truth, area, blind=True) - truth)[area] ** 2))
                if self._ranks.size == 1
                else 0.0
            )
        overlap = np.vdot(values[area], truth[area])
        overlap = complex(*self._ranks.sum(np.array([overlap.real, overlap.imag])))
        return float(np.sum(np.abs(values[area] * _direction(overlap) - truth[area]) ** 2))


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
        without the null directions (left out of the history where the probe is an unknown and several ranks
        hold the object: measure it on the gathered result);
        "mse_real", "mse_imaginary": raw, of x and y; "mse_NAME" of each element;
        "mse_imaginary_illuminated" and "mse_NAME_illuminated" on the illuminated area.
    """
    if "object" not in scan.truth:
        return {}
    meter = ErrorMeter(scan, whole_plane(scan.shape, scan.N), Ranks(), blind=blind, area=area)
    return meter.measure(object, elements)
