"""What a reader is, and what it makes of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.hdf5_reader import Hdf5Reader


@dataclass(frozen=True)
class Reader:
    """A format of files, and how they are read.

    Packages add readers by the entry point group ``ptyxrf.readers``, each an object of this class.

    Attributes
    ----------
    name : str
        Short, for messages.
    programs : str
        Which programs write it.
    kind : {"scan", "maps", "raw"}
        Raw files have frames of a whole detector, which `prepare` turns into a scan.
    holds : str
        What is read, in a few words.
    recognises : callable
        Given an `Hdf5Reader`, returns whether the file has this format: by what is in it, not by its name.
    reads : callable
        Given an `Hdf5Reader`, returns a `MeasuredScan`; or, for maps, given also a `MapsWanted`, `CountMaps`;
        or, for raw files, what a recipe of `prepare` says of them: settings, with names of datasets.
    """

    name: str
    programs: str
    kind: Literal["scan", "maps", "raw"]
    holds: str
    recognises: Callable[[Hdf5Reader], bool]
    reads: Callable[..., Any]


@dataclass
class MeasuredScan:
    """What a reader finds in a file of another program, in SI units.

    Attributes
    ----------
    patterns : (N, m, m) array or lazy source
        The zero frequency at index m//2.
    rows, columns : (N,) array of float64
        Where the probe is, in metres along the rows and the columns of the object.
    pixel_size : (float, float)
        Height and width of a pixel of the object in metres.
    energy, distance, detector_pixel : float or None
        Joules, metres, metres; None where the file does not say, or a pixel is not square.
    arguments : dict
        Further arguments of `Scan`; without "probe" the file has none.
    """

    patterns: Any
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    pixel_size: tuple[float, float]
    energy: float | None = None
    distance: float | None = None
    detector_pixel: float | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MapsWanted:
    """Which maps are read of a file, and what the user knows of them; see `read_maps`."""

    elements: tuple[str, ...] | None = None
    fits: bool | str = True
    live_time: str | None = None
    detectors: int | None = None
    axis_unit: str | None = None
