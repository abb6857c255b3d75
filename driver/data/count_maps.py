"""Fluorescence maps on their own axes, and their values at the positions of a scan."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.optical_constants import symbol_of
from ptyxrf.driver.data.scan import Scan

#: Names of scalers at beamlines, in order of preference. Upstream of the specimen comes first: the downstream
#: chamber sees what the specimen transmits.
ION_CHAMBERS = ("us_ic", "upstream_ic", "ic_us", "i0", "ic", "ion_chamber", "ds_ic", "downstream_ic", "ic_ds")
LIVE_TIMES = tuple("elt1 elt live_time livetime elt_1 elapsed_livetime ert1 ert real_time realtime".split())

MATCHES = ("order", "nearest", "bilinear")


def _plain_name(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


@dataclass(frozen=True)
class CountMaps:
    """Maps of a fluorescence scan, in counts.

    Attributes
    ----------
    element_names : list of str
        As in the file.
    counts : (N_e, rows, columns) array of float64
        Counts for each element; rows along y, columns along x.
    x : (columns,) array of float64
        Positioner of the columns in metres.
    y : (rows,) array of float64
        Positioner of the rows in metres.
    scalers : dict of str to (rows, columns) array of float64
        What else was recorded at each point, by the names of the file.
    scaler_units : dict of str to str
        Units of the scalers, as the file has them.
    units : list of str
        Unit that the file gives for each element. MAPS names the unit that its calibration leads to, the
        numbers before calibration being counts; only a rate ("cts/s") was undone.
    title : str
        File and dataset.
    notes : list of str
        How the counts were made of the values of the file.
    variances : (N_e, rows, columns) array of float64 or None
        Variances of the counts, where the file has them.
    """

    element_names: list[str]
    counts: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    scalers: dict[str, NDArray[np.float64]]
    scaler_units: dict[str, str]
    units: list[str]
    title: str
    notes: list[str] = field(default_factory=list)
    variances: NDArray[np.float64] | None = None

    def of(self, elements: Sequence[str]) -> CountMaps:
        """Return the maps of some elements, in this order."""
        chosen = self.indices(elements)
        return replace(
            self,
            element_names=[self.element_names[e] for e in chosen],
            counts=self.counts[chosen],
            units=[self.units[e] for e in chosen],
            variances=None if self.variances is None else self.variances[chosen],
        )

    def of_elements(self) -> CountMaps:
        """Return the maps named after elements or their lines, not scattered light; all where none is."""
        others = [name for name in self.element_names if not symbol_of(name)]
        if len(others) in (0, len(self.element_names)):
            return self
        note = f"channels that are no elements, left out: {', '.join(others)}"
        named = [name for name in self.element_names if name not in others]
        return replace(self.of(named), notes=[*self.notes, note])

    def scaler(self, name: str | None, customary: Sequence[str], what: str) -> NDArray[np.float64]:
        """Return a scaler by its name, or by the first customary one.

        Parameters
        ----------
        name : str, optional
            Name in the file; case and "-" or "_" do not matter.
        customary : sequence of str
            Names to look for if none is given.
        what : str
            For the message.

        Returns
        -------
        (rows, columns) array of float64

        Raises
        ------
        ValueError
            Naming what is missing, and the names that are there.
        """
        present = {_plain_name(key): key for key in self.scalers}
        wanted = [_plain_name(name)] if name is not None else customary
        for key in wanted:
            if key in present:
                return self.scalers[present[key]]
        raise ValueError(
            f"{what}: {self.title} has no scaler {' or '.join(wanted)}; it has {', '.join(self.scalers)}"
        )

    def exposure(self, ion_chamber: str | None = None, live_time: str | None = None) -> NDArray[np.float64]:
        """Return the photons that each point saw while the detector was live, on an arbitrary scale.

        Parameters
        ----------
        ion_chamber, live_time : str, optional
            Names of the scalers; default: the first of those that beamlines use (`ION_CHAMBERS`: the
            upstream one before the downstream one; `LIVE_TIMES`: live before real).

        Returns
        -------
        (rows, columns) array of float64
            Ion chamber times live time.

        Raises
        ------
        ValueError
            If a scaler is missing.
        """
        return self.scaler(ion_chamber, ION_CHAMBERS, "ion chamber") * self.scaler(
            live_time, LIVE_TIMES, "live time"
        )

    def indices(self, elements: Sequence[str]) -> list[int]:
        """Return which maps are those of some elements."""
        for element in elements:
            if element not in self.element_names:
                raise ValueError(
                    f"elements: {self.title} has no {element!r}; it has {', '.join(self.element_names)}"
                )
        return [self.element_names.index(element) for element in elements]


def runs_with_the_raster(positions: NDArray[np.float64], columns: int) -> bool:
    """Whether every line of a raster was scanned in the same direction."""
    if columns < 2:
        return True
    lines = positions.reshape(-1, columns, 2)
    extent = np.ptp(lines, axis=1).mean(axis=0)
    steps = lines[:, -1, int(extent.argmax())] - lines[:, 0, int(extent.argmax())]
    return bool((steps > 0).all() or (steps < 0).all())


def fractional_index(
    values: NDArray[np.float64], axis: NDArray[np.float64], name: str
) -> NDArray[np.float64]:
    """Return where coordinates lie on an axis, in steps from its first point."""
    index = np.arange(len(axis), dtype=np.float64)
    if len(axis) == 1:
        return np.zeros(len(values))
    steps = np.diff(axis)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError(f"maps: expected a {name} axis that rises or falls throughout, got {axis.tolist()}")
    if steps[0] < 0:
        axis, index = axis[::-1], index[::-1]
    # Half a step beyond the edge still belongs to the sample at the edge.
    reach = np.abs(steps).max() / 2
    outside = (values < axis[0] - reach) | (values > axis[-1] + reach)
    if outside.any():
        j = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"maps: expected positions inside the map, whose {name} goes from {axis[0]} to {axis[-1]} m, "
            f"got {values[j]} m at position {j}"
        )
    return np.interp(values, axis, index)


def values_at_positions(
    values: NDArray[np.float64],
    maps: CountMaps,
    scan: Scan,
    *,
    match: str | None = None,
    origin: tuple[float, float] | None = None,
    flip_rows: bool = False,
    flip_columns: bool = False,
) -> NDArray[np.float64]:
    """Return the values of maps at the positions of a scan.

    Parameters
    ----------
    values : (..., rows, columns) array of float
        The maps.
    maps : CountMaps
        Their axes.
    scan : Scan
        Its positions, and its geometry where coordinates are needed.
    match : {"order", "nearest", "bilinear"}, optional
        "order": the points of the map are the positions, row after row in the same direction. "nearest": the
        sample closest to the position, which keeps the statistics of counts. "bilinear": between the four
        samples around it, which smooths. Default: "order" if the numbers agree, otherwise "nearest".
    origin : (float, float), optional
        (y, x) in metres, on the axes of the map, of the position at the smallest row and column of the
        scan; default: the smallest y and x of the map. Not used for "order".
    flip_rows, flip_columns : bool
        The positioner y (x) of the map runs against the rows (columns) of the object: the scan then
        extends from the origin (default: the largest y or x) towards smaller values.

    Returns
    -------
    (..., N) array of float64

    Raises
    ------
    ValueError
        If the numbers do not agree ("order") or the lines run back and forth, if the geometry is not known
        or a position is outside the map (otherwise).
    """
    points = len(maps.y) * len(maps.x)
    if match is None:
        match = "order" if points == scan.N else "nearest"
    if match not in MATCHES:
        raise ValueError(f"match: expected one of {', '.join(MATCHES)}, got {match!r}")
    if match == "order":
        return _in_order(values, maps, scan)
    rows, columns = _indices(maps, scan, origin, (flip_rows, flip_columns))
    if match == "nearest":
        return values[..., np.rint(rows).astype(int), np.rint(columns).astype(int)]
    return between(values, rows, columns)


def _in_order(values: NDArray[np.float64], maps: CountMaps, scan: Scan) -> NDArray[np.float64]:
    """Return maps whose points are the positions, in the same order."""
    if len(maps.y) * len(maps.x) != scan.N:
        raise ValueError(
            f"maps: expected {scan.N} points, one for each position, got {len(maps.y)} x {len(maps.x)}"
        )
    if not runs_with_the_raster(scan.positions, len(maps.x)):
        raise ValueError(
            "maps: the scan does not run row after row in the same direction as the map does; "
            'match by coordinates ("nearest" or "bilinear")'
        )
    return values.reshape(*values.shape[:-2], scan.N)


def _indices(
    maps: CountMaps, scan: Scan, origin: tuple[float, float] | None, flips: tuple[bool, bool]
) -> list[NDArray[np.float64]]:
    """Return where the positions lie on the axes of a map, in steps."""
    if scan.pixel_size is None:
        raise ValueError(
            f"geometry: expected one, to find the {scan.N} positions in metres on a map of {len(maps.y)} x "
            f"{len(maps.x)} points"
        )
    metres = (scan.positions - scan.positions.min(axis=0)) * scan.pixel_size
    indices = []
    for i, (name, axis, flip) in enumerate(zip(("y", "x"), (maps.y, maps.x), flips, strict=True)):
        if origin is None:
            there = _measured_part(maps, i)
            _check_extent(name, axis[there], float(np.ptp(metres[:, i])))
            start = axis[there].max() if flip else axis[there].min()
        else:
            start = origin[i]
        indices.append(fractional_index(start + (-metres[:, i] if flip else metres[:, i]), axis, name))
    used = len(np.unique(np.rint(np.stack(indices)), axis=1).T)
    if 2 * used < scan.N:
        warnings.warn(
            f"maps: the {scan.N} positions fall on only {used} map points: the map is too coarse",
            stacklevel=4,
        )
    return indices


def _measured_part(maps: CountMaps, axis: int) -> NDArray[np.bool_]:
    """Return which rows (axis 0) or columns (1) of a map were measured: lines that a scan left out are 0."""
    values = [maps.counts, *(array[None] for array in maps.scalers.values())]
    points = np.any([np.nan_to_num(array).any(axis=0) for array in values], axis=0)
    there: NDArray[np.bool_] = points.any(axis=1 - axis)
    return there if there.any() else np.ones_like(there)


def _check_extent(name: str, axis: NDArray[np.float64], extent: float) -> None:
    """Refuse a map that is larger than the scan, whose place in it nothing tells."""
    step = float(np.abs(np.diff(axis)).max()) if len(axis) > 1 else 0.0
    if np.ptp(axis) > extent + 1.5 * step:
        raise ValueError(
            f"origin: expected the place of the scan on the map, whose {name} covers {np.ptp(axis):.4g} m "
            f"(the scan {extent:.4g} m): (y, x) in metres of its first row and column on the axes of the map"
        )


def between(
    values: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate maps bilinearly."""
    high, wide = values.shape[-2:]
    top = np.clip(np.floor(rows).astype(int), 0, max(high - 2, 0))
    left = np.clip(np.floor(columns).astype(int), 0, max(wide - 2, 0))
    bottom, right = np.minimum(top + 1, high - 1), np.minimum(left + 1, wide - 1)
    down, along = rows - top, columns - left
    upper = (1 - along) * values[..., top, left] + along * values[..., top, right]
    lower = (1 - along) * values[..., bottom, left] + along * values[..., bottom, right]
    return (1 - down) * upper + down * lower


def attach_maps(
    scan: Scan,
    maps: CountMaps,
    elements: Sequence[str] | None = None,
    *,
    exposure: bool = True,
    ion_chamber: str | None = None,
    live_time: str | None = None,
    match: str | None = None,
    origin: tuple[float, float] | None = None,
    flip_rows: bool = False,
    flip_columns: bool = False,
    **arguments: Any,
) -> Scan:
    """Return a scan with the counts of maps at its positions: ``scan`` sampling, one photon adds 1.

    Parameters
    ----------
    scan : Scan
    maps : CountMaps
    elements : sequence of str, optional
        Which maps, in this order; default: all.
    exposure : bool
        The ion chamber becomes the exposure of the patterns, and the ion chamber times the live time of the
        fluorescence detector that of the counts. Counts are lost (NaN) where that is not positive.
    ion_chamber, live_time, match, origin, flip_rows, flip_columns
        As `CountMaps.exposure` and `values_at_positions` have them.
    **arguments
        Arguments of `Scan` that belong to the maps.

    Raises
    ------
    ValueError
        A map or a scaler is missing, or they do not fit the positions.
    """
    chosen = maps.element_names if elements is None else list(elements)
    how: dict[str, Any] = {"flip_rows": flip_rows, "flip_columns": flip_columns}
    how |= {"match": match, "origin": origin, "maps": maps, "scan": scan}
    at_positions: Callable[..., NDArray[np.float64]] = partial(values_at_positions, **how)
    fluorescence = at_positions(maps.counts[maps.indices(chosen)])
    measured: dict[str, Any] = {}
    if exposure:
        beam = at_positions(maps.scaler(ion_chamber, ION_CHAMBERS, "ion chamber"))
        seen = at_positions(maps.exposure(ion_chamber, live_time))
        measured = {"exposure": relative_exposure(beam), "fluorescence_exposure": relative_exposure(seen)}
        fluorescence[:, ~(seen > 0)] = np.nan
    leave_out(fluorescence, maps.title)
    if maps.variances is not None:
        variances = at_positions(maps.variances[maps.indices(chosen)])
        measured["fluorescence_variance"] = known_variances(variances)
    changes = {
        **dict.fromkeys(("attenuation", "phase_shift", "sensitivity", "background")),
        "fluorescence": fluorescence,
        "element_names": chosen,
        "fluorescence_count_scale": 1.0,
        "units": "counts",
        "truth": {name: array for name, array in scan.truth.items() if name != "elements"},
    }
    return scan.replace(**(changes | measured | arguments))


def leave_out(fluorescence: NDArray[np.float64], title: str) -> None:
    """Make all counts NaN where some are not known; an element without any data does not matter."""
    lost = ~np.isfinite(fluorescence[~np.isnan(fluorescence).all(axis=1)]).all(axis=0)
    if lost.any():
        fluorescence[:, lost] = np.nan
        warnings.warn(
            f"maps: {int(lost.sum())} of {lost.size} positions have no counts or no exposure in {title}; "
            "their fluorescence is left out",
            stacklevel=3,
        )


def known_variances(variances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return variances, NaN where a fit has none."""
    return np.where(variances > 0, variances, np.nan)


def relative_exposure(exposure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an exposure with mean 1, and 1 where it is not known."""
    known = np.isfinite(exposure) & (exposure > 0)
    return np.where(known, exposure / exposure[known].mean(), 1.0) if known.any() else np.ones(len(exposure))
