"""Fluorescence maps from the files of other programs."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ptyxrf.driver.data.count_maps import CountMaps
from ptyxrf.driver.data.unit_tables import LENGTHS, plain_unit
from ptyxrf.driver.files.hdf5_reader import reading
from ptyxrf.driver.files.readers.reader import MapsWanted
from ptyxrf.driver.files.readers.registry import reader_of


def read_maps(
    path: str | os.PathLike[str],
    elements: Sequence[str] | None = None,
    *,
    fits: bool | str = True,
    live_time: str | None = None,
    detectors: int | None = None,
    axis_unit: str | None = None,
) -> CountMaps:
    """Read element maps in counts from a file of another program; ``ptyxrf formats`` lists which.

    Parameters
    ----------
    path : path-like
        The file.
    elements : sequence of str, optional
        Channels to read, in this order; default: all.
    fits : bool or str
        True: spectra fitted at each point, False: sums over regions of interest, or the name of a dataset
        (of an analysis, a detector or a process) in the file.
    live_time : str, optional
        Scaler (in seconds) by which rates are multiplied; default as `CountMaps.exposure`.
    detectors : int, optional
        Elements of the detector over which rates are averaged; default: the fewest that make whole numbers
        of the sums over regions.
    axis_unit : str, optional
        Unit of the axes, where the file says nothing or something wrong.

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
    ValueError
        The unit is none of length.
    """
    if axis_unit is not None and plain_unit(axis_unit) not in LENGTHS:
        raise ValueError(f"axis_unit: expected a unit of length such as um, got {axis_unit!r}")
    with reading(path) as reader:
        chosen = None if elements is None else tuple(elements)
        wanted = MapsWanted(chosen, fits, live_time, detectors, axis_unit)
        maps: CountMaps = reader_of(reader, "maps").reads(reader, wanted)
        return maps if chosen is None else maps.of(chosen)
