"""Fluorescence maps from MAPS files (version 9)."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.count_maps import LIVE_TIMES, CountMaps
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader, reading

MILLIMETRE = 1e-3

#: Units that are counts for each second of live time.
RATES = ("cts/s", "counts/s", "counts/sec", "cps", "c/s")


def read_maps(
    path: str | os.PathLike[str],
    elements: Sequence[str] | None = None,
    *,
    fits: bool | str = True,
    live_time: str | None = None,
) -> CountMaps:
    """Read element maps from a MAPS file (version 9).

    Parameters
    ----------
    path : path-like
        The file.
    elements : sequence of str, optional
        Channels to read, in this order; default: all.
    fits : bool or str
        True: "XRF_fits" (spectra fitted at each point), False: "XRF_roi" (regions of interest), or the name
        of a dataset in the group MAPS.
    live_time : str, optional
        Scaler (in seconds) by which channels are multiplied whose unit the file gives as a rate; default as
        `CountMaps.exposure`.

    Returns
    -------
    CountMaps
        In counts, axes in metres.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        Something is missing or damaged; where it is a channel, the message names those that are there.
    """
    dataset = fits if isinstance(fits, str) else "XRF_fits" if fits else "XRF_roi"
    with reading(path) as reader:
        group = reader.group("/MAPS")
        name = f"/MAPS/{dataset}"
        if dataset not in group:
            raise reader.error(name, f"no such dataset in the file; it has {', '.join(sorted(group))}")
        counts = _images(reader, name)
        channels, units = _channels(reader, len(counts))
        y, x = (_axis(reader, name, size) for name, size in zip("yx", counts.shape[1:], strict=True))
        scalers, scaler_units = _scalers(reader, counts.shape[1:])
        chosen = [_channel(reader, channels, e) for e in (channels if elements is None else elements)]
        maps = CountMaps(
            element_names=[channels[e] for e in chosen],
            counts=counts[chosen],
            x=x,
            y=y,
            scalers=scalers,
            scaler_units=scaler_units,
            units=[units[e] for e in chosen],
            title=f"{path} {dataset}",
        )
        for e, unit in enumerate(maps.units):
            if unit.lower() in RATES:
                maps.counts[e] *= maps.scaler(live_time, LIVE_TIMES, "live time")
        return maps


def _channels(reader: Hdf5Reader, count: int) -> tuple[list[str], list[str]]:
    """Return names and units of the channels."""
    name = "/MAPS/channel_names"
    channels = reader.texts(name)
    units = [unit.strip() for unit in reader.texts("/MAPS/channel_units")[: len(channels)]]
    if len(channels) != count or len(units) != count:
        raise reader.error(name, f"expected {count} names and units, got {len(channels)}, {len(units)}")
    if len(set(channels)) != len(channels) or "" in channels:
        raise reader.error(name, f"expected different names, got {channels}")
    return channels, units


def _channel(reader: Hdf5Reader, channels: Sequence[str], element: str) -> int:
    if element not in channels:
        raise reader.error("/MAPS/channel_names", f"no {element!r}; it has {', '.join(channels)}")
    return channels.index(element)


def _axis(reader: Hdf5Reader, axis: str, size: int) -> NDArray[np.float64]:
    """Return an axis in metres."""
    name = f"/MAPS/{axis}_axis"
    values = np.asarray(reader.array(name))
    if values.shape != (size,) or values.dtype.kind not in "fiu":
        raise reader.error(name, f"expected {size} numbers, got {values.dtype} of shape {values.shape}")
    if not np.isfinite(values).all():
        raise reader.error(name, "expected finite numbers, got NaN or infinity")
    return values.astype(np.float64) * MILLIMETRE


def _images(reader: Hdf5Reader, name: str) -> NDArray[np.float64]:
    values = reader.array(name)
    if np.ndim(values) != 3 or values.dtype.kind not in "fiu":
        raise reader.error(name, f"expected maps (channels, rows, columns), got shape {np.shape(values)}")
    return values.astype(np.float64)


def _scalers(
    reader: Hdf5Reader, shape: tuple[int, ...]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """Return scalers and their units by name; a file may have none."""
    if not reader.has("/MAPS/scalers"):
        return {}, {}
    values = _images(reader, "/MAPS/scalers")
    names = reader.texts("/MAPS/scaler_names")
    if values.shape[1:] != shape or len(names) != len(values):
        raise reader.error(
            "/MAPS/scalers", f"expected {len(names)} scalers on {shape} points, got shape {values.shape}"
        )
    units = reader.texts("/MAPS/scaler_units") if reader.has("/MAPS/scaler_units") else [""] * len(names)
    return dict(zip(names, values, strict=True)), dict(zip(names, units, strict=False))
