"""Starting values by the names of the unknowns, and a check that the precision can represent the maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.data_checks import check_probe
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.fluorescence_counts import FluorescenceData

#: Names that a start may give.
NAMES = (
    "real_part",
    "imaginary_part",
    "absorption",
    "phase",
    "matrix",
    "elements",
    "probe",
    "displacement",
    "distortion",
    "log_amplitude",
    "background_amplitude",
)

#: Least part of the mean count that is taken for light where the scan has a background.
LEAST_LIGHT = 0.01

#: Element maps larger than this, or smaller than its inverse, have squares beyond the range of a precision.
MOST_IN_MAPS = {np.dtype(np.float64): 1e120, np.dtype(np.float32): 1e15}


def starting_probe(
    scan: Scan, start: Mapping[str, ArrayLike], mean_count: float | None
) -> NDArray[np.complex128]:
    """Return the probe of a start, or of the scan, in the units of the data.

    Parameters
    ----------
    scan : Scan
    start : mapping
    mean_count : float or None
        Scale the scan's probe so that z = 1 explains this mean count, less the background that the scan has,
        unless the start has a probe. The
        unitary DFT keeps sums, so the pattern of z = 1 has a mean of sum |P|^2 / m^2.

    Raises
    ------
    ValueError
        An unknown name, or a probe that is not finite, of a wrong shape, or 0 everywhere.
    """
    if not isinstance(start, Mapping):
        raise ValueError(f"start: expected a mapping of names to values, got {type(start).__name__}")
    for name in start:
        if name not in NAMES:
            raise ValueError(f"start: expected names among {', '.join(NAMES)}, got {name!r}")
    try:
        probe = np.array(start.get("probe", scan.probe), dtype=np.complex128)
    except (TypeError, ValueError):
        raise ValueError("start: expected a probe of complex numbers, got something else") from None
    if probe.shape != scan.probe.shape:
        raise ValueError(f"start: expected a probe of shape {scan.probe.shape}, got {probe.shape}")
    check_probe("start", probe)
    if mean_count is not None and "probe" not in start:
        light = max(mean_count - _mean_background(scan), LEAST_LIGHT * mean_count)
        probe *= np.sqrt(light * scan.m**2 / (np.abs(probe) ** 2).sum())
    return probe


def _mean_background(scan: Scan) -> float:
    """Return the mean background of the patterns, over the good pixels where all patterns share a mask."""
    if scan.pattern_background is None:
        return 0.0
    shared = scan.mask is not None and len(scan.mask.shape) == 2
    return float((scan.pattern_background[scan.mask] if shared else scan.pattern_background).mean())


def starting_values(
    start: Mapping[str, ArrayLike], probe: NDArray, link_offset: float, count: int, background: ArrayLike
) -> dict[str, ArrayLike]:
    """Return a value for each name: that of a start, or its default."""
    defaults: dict[str, ArrayLike] = {"real_part": 1.0, "imaginary_part": link_offset}
    defaults |= dict.fromkeys(("absorption", "phase", "matrix", "elements"), 0.0)
    defaults |= {
        "displacement": np.zeros((count, 2)),
        "distortion": np.zeros((2, 2)),
        "log_amplitude": np.zeros((count, 1)),
        "background_amplitude": background,
    }
    return defaults | dict(start) | {"probe": probe}


def check_range(scan: Scan, counts: FluorescenceData, probe: NDArray, real: np.dtype[Any]) -> None:
    """Refuse maps whose squares overflow or underflow in a precision.

    Raises
    ------
    ValueError
        Naming the element, its counts, its sensitivity and the intensity of the probe.
    """
    intensity = float((np.abs(probe) ** 2).sum())
    if scan.sampling == "scan":
        intensity *= float(scan.fluorescence_exposure.mean())
    roots = np.sqrt(counts.mean_square)
    most = MOST_IN_MAPS[real]
    for e in np.flatnonzero(roots > 0):
        size = float(roots[e] / (scan.sensitivity[e] * intensity))
        if not 1 / most < size < most:
            raise ValueError(
                f"fluorescence: expected counts that sensitivity and probe explain by maps between "
                f"{1 / most:g} and {most:g} (precision {real}), got a map of about {size:.3g} for "
                f"element {e}: {roots[e]:.3g} counts, sensitivity {scan.sensitivity[e]:.3g}, "
                f"sum |P|^2 {intensity:.3g}"
            )
