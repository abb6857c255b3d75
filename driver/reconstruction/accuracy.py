"""Errors of a reconstruction against a known truth, as they are and after alignment."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.reconstruction.alignment import align, unit_phase
from ptyxrf.driver.reconstruction.illumination import illuminated_part
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed
from ptyxrf.parallel.tile import Tile, whole_plane


class ErrorMeter:
    """Compare the parts of a reconstruction that the ranks hold with the truth of the scan.

    Parameters
    ----------
    scan : Scan
        Without a `truth` there are no errors to measure.
    tile : Tile
        The pixels that this rank owns.
    ranks : Ranks
        All ranks make the same calls.
    blind : bool
        Whether the probe was an unknown.
    area : (rows, columns) array of bool, optional
        The illuminated area on the owned pixels, if it is already known.
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
        self._truth: NDArray[Any] | None = None
        self._elements: dict[str, NDArray[Any]] = {}
        if "object" not in scan.truth:
            return
        self._truth = agreed(ranks.comm, lambda: np.asarray(scan.truth["object"][owned]))
        if "elements" in scan.truth:
            maps = agreed(ranks.comm, lambda: np.asarray(scan.truth["elements"][(slice(None), *owned)]))
            self._elements = dict(zip(scan.element_names, maps, strict=True))
        self._pixels = scan.shape[0] * scan.shape[1]
        self._illuminated = float(ranks.sum(np.array([self.area.sum()], dtype=np.float64))[0])

    def measure(self, z: NDArray, elements: NDArray) -> dict[str, float]:
        """Return the errors of a reconstruction, see `measure_errors`.

        Parameters
        ----------
        z : (rows, columns) array of complex
            On the owned pixels.
        elements : (N_e, rows, columns) array of float
            Empty for ptychography alone.
        """
        truth, area = self._truth, self.area
        if truth is None:
            return {}
        values = np.asarray(z, dtype=np.complex128)
        difference = values - truth
        pixels, illuminated = self._pixels, self._illuminated
        squares = {
            "mse": (np.sum(np.abs(difference) ** 2), pixels),
            "mse_illuminated": (np.sum(np.abs(difference[area]) ** 2), illuminated),
            "mse_aligned": (self._aligned(values, truth), illuminated),
            "mse_real": (np.sum(difference.real**2), pixels),
            "mse_imaginary": (np.sum(difference.imag**2), pixels),
            "mse_imaginary_illuminated": (np.sum(difference.imag[area] ** 2), illuminated),
        }
        named = dict(zip(self._elements, elements, strict=False))  # without elements for ptychography
        differences = {
            name: (map_.astype(np.float64) - self._elements[name]) ** 2 for name, map_ in named.items()
        }
        for name, square in differences.items():
            squares[_unused(f"mse_{name}_illuminated", squares)] = (square[area].sum(), illuminated)
        for name, square in differences.items():
            squares[_unused(f"mse_{name}", squares)] = (square.sum(), pixels)
        sums = self._ranks.sum(np.array([value for value, _ in squares.values()], dtype=np.float64))
        means = sums / np.array([count for _, count in squares.values()])
        errors = {name: float(mean) for name, mean in zip(squares, means, strict=True)}
        if self._blind and self._ranks.size > 1:
            del errors["mse_aligned"]
        return errors

    def _aligned(self, values: NDArray[np.complex128], truth: NDArray[Any]) -> float:
        """Return this rank's share of the squared error after alignment."""
        area = self.area
        if self._blind:
            # shift and ramp can only be found on the whole object
            if self._ranks.size > 1:
                return 0.0
            return float(np.sum(np.abs(align(values, truth, area, blind=True) - truth)[area] ** 2))
        overlap = np.vdot(values[area], truth[area])
        overlap = complex(*self._ranks.sum(np.array([overlap.real, overlap.imag])))
        return float(np.sum(np.abs(values[area] * unit_phase(overlap) - truth[area]) ** 2))


def measure_errors(
    z: NDArray,
    elements: NDArray,
    scan: Scan,
    *,
    blind: bool = False,
    area: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """Compare a reconstruction with the truth of the scan.

    Parameters
    ----------
    z : (n_rows, n_cols) array of complex
    elements : (N_e, n_rows, n_cols) array of float
        Empty for ptychography alone.
    scan : Scan
        Without a `truth` the result is empty.
    blind : bool
        Whether the probe was an unknown.
    area : array of bool, optional
        The illuminated area, if it is already known.

    Returns
    -------
    dict
        "mse" is ||z - z*||^2 / n^2, "mse_real" and "mse_imaginary" are the same of x and y, "mse_NAME" of an
        element. "mse_illuminated", "mse_imaginary_illuminated" and "mse_NAME_illuminated" are means over the
        illuminated area; "mse_aligned" is the mean there after `align`. A history leaves "mse_aligned" out if
        the probe is an unknown and several ranks hold the object: measure it on the gathered result.
    """
    if "object" not in scan.truth:
        return {}
    meter = ErrorMeter(scan, whole_plane(scan.shape, scan.N), Ranks(), blind=blind, area=area)
    return meter.measure(z, elements)


def _unused(key: str, known: Container[str]) -> str:
    """Return a key for the error of an element whose name may be that of another error."""
    while key in known:
        key += " (element)"
    return key
