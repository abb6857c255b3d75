"""From what a reader finds in a file of another program to a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.files.readers.reader import MeasuredScan


def positions_in_pixels(
    rows: ArrayLike,
    columns: ArrayLike,
    pixel_size: tuple[float, float],
    *,
    swap: bool = False,
    flip_rows: bool = False,
    flip_columns: bool = False,
) -> NDArray[np.float64]:
    """Return positions of the probe window for places of the probe in metres.

    Parameters
    ----------
    rows, columns : (N,) array of float
        Along the rows and columns of the object, in metres.
    pixel_size : (float, float)
        Height and width of a pixel of the object in metres.
    swap : bool
        The file has rows and columns exchanged.
    flip_rows, flip_columns : bool
        The file has the other sign along the rows (columns).

    Returns
    -------
    (N, 2) array of float64
        In pixels, shifted so that the smallest of each is 0.
    """
    places = [np.asarray(columns), np.asarray(rows)] if swap else [np.asarray(rows), np.asarray(columns)]
    pixels = []
    with np.errstate(all="ignore"):  # pixels may be of any size; who asks looks at what is not finite
        for place, flip, size in zip(places, (flip_rows, flip_columns), pixel_size, strict=True):
            along = (-1.0 if flip else 1.0) * place.astype(np.float64) / size
            pixels.append(along - along.min())
    return np.stack(pixels, axis=1)


def arguments_of_measured(
    found: MeasuredScan, swap: bool, flip_rows: bool, flip_columns: bool
) -> dict[str, Any]:
    """Return the arguments of a `Scan` for what a reader has found.

    Raises
    ------
    ValueError
        The positions are not finite in pixels of the object.
    """
    positions = positions_in_pixels(
        found.rows, found.columns, found.pixel_size, swap=swap, flip_rows=flip_rows, flip_columns=flip_columns
    )
    height, width = found.pixel_size
    if not np.isfinite(positions).all():
        raise ValueError(
            "translation: expected lengths that are finite in pixels of the object, which energy, distance "
            f"and detector make {height:.3g} m x {width:.3g} m"
        )
    geometry = None
    if found.energy is not None and found.distance is not None and found.detector_pixel is not None:
        geometry = Geometry(found.energy, found.distance, found.detector_pixel)
    return {"patterns": found.patterns, "positions": positions, "geometry": geometry} | found.arguments
