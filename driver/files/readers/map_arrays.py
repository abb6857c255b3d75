"""Arrays that files of fluorescence maps have in common: images, axes, scalers, names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.unit_tables import LENGTHS, plain_unit
from ptyxrf.driver.files.hdf5_reader import MOST_IMAGE_VALUES, Hdf5Reader

Images = NDArray[np.float64]

#: Channels of files that are no elements.
NO_ELEMENTS = ("num_iter", "residual", "fit_residual", "r2_adjust", "chisq", "total_fluorescence_yield")


def images_of(reader: Hdf5Reader, name: str) -> Images:
    """Return maps (channels, rows, columns)."""
    values = reader.array(name, MOST_IMAGE_VALUES)
    if np.ndim(values) != 3 or values.dtype.kind not in "fiu":
        raise reader.error(name, f"expected maps (channels, rows, columns), got shape {np.shape(values)}")
    return values.astype(np.float64)


def axis_of(reader: Hdf5Reader, name: str, size: int, unit: str | None, customary: str) -> Images:
    """Return an axis in metres.

    Parameters
    ----------
    reader : Hdf5Reader
    name : str
        Dataset.
    size : int
        Number of points.
    unit : str, optional
        What the user says that the unit is; default: what the dataset says, or the customary unit.
    customary : str
    """
    values = np.asarray(reader.array(name))
    if values.shape != (size,) or values.dtype.kind not in "fiu":
        raise reader.error(name, f"expected {size} numbers, got {values.dtype} of shape {values.shape}")
    if not np.isfinite(values).all():
        raise reader.error(name, "expected finite numbers, got NaN or infinity")
    word = unit or reader.unit(name) or customary
    if plain_unit(word) not in LENGTHS:
        raise reader.error(name, f"expected a unit of length, got {word!r}")
    return values.astype(np.float64) * LENGTHS[plain_unit(word)]


def scalers_of(reader: Hdf5Reader, name: str, names: str, shape: tuple[int, ...]) -> dict[str, Images]:
    """Return scalers (n, rows, columns) by name; a file may have none."""
    if not reader.has(name):
        return {}
    values, keys = images_of(reader, name), reader.texts(names)
    if values.shape[1:] != shape or len(keys) != len(values):
        raise reader.error(name, f"expected {len(keys)} scalers on {shape} points, got shape {values.shape}")
    return dict(zip(keys, values, strict=True))


def channels_of(reader: Hdf5Reader, name: str, count: int) -> list[str]:
    """Return the names of channels, which have to differ."""
    channels = reader.texts(name)
    if len(channels) != count:
        raise reader.error(name, f"expected {count} names, got {len(channels)}")
    if len(set(channels)) != len(channels) or "" in channels:
        raise reader.error(name, f"expected different names, got {channels}")
    return channels
