"""Fluorescence maps of MapsPy and XRF-Maps: MAPS version 9, and the layout of version 10."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptyxrf.driver.data.count_maps import LIVE_TIMES, CountMaps
from ptyxrf.driver.files.hdf5_reader import MOST_IMAGE_VALUES, Hdf5Reader
from ptyxrf.driver.files.readers.map_arrays import (
    NO_ELEMENTS,
    Images,
    axis_of,
    channels_of,
    images_of,
    scalers_of,
)
from ptyxrf.driver.files.readers.rates import COUNTS, NEAR, RATES, CountRule, count_rule
from ptyxrf.driver.files.readers.reader import MapsWanted, Reader

GROUP = "/MAPS"
ANALYSED = "/MAPS/XRF_Analyzed"
#: Analyses of version 10, the best first.
ANALYSES = ("NNLS", "Fitted", "Hybrid_NNLS", "SVD", "ROI")


@dataclass
class _Stored:
    """Maps as a file has them; `regions` are those of regions of interest, which are counts or rates."""

    title: str
    values: Images
    regions: Images
    channels: list[str]
    units: list[str]
    x: Images
    y: Images
    scalers: dict[str, Images]
    scaler_units: dict[str, str]
    live: Images | None


def _is_version_9(reader: Hdf5Reader) -> bool:
    return reader.has(f"{GROUP}/channel_names") or (reader.has(GROUP) and not reader.has(ANALYSED))


def _read_version_9(reader: Hdf5Reader, wanted: MapsWanted) -> CountMaps:
    dataset = wanted.fits if isinstance(wanted.fits, str) else "XRF_fits" if wanted.fits else "XRF_roi"
    name, there = f"{GROUP}/{dataset}", reader.members(GROUP)
    if dataset not in there:
        raise reader.error(name, f"no such dataset in the file; it has {', '.join(there)}")
    values = images_of(reader, name)
    channels = channels_of(reader, f"{GROUP}/channel_names", len(values))
    units = reader.texts(f"{GROUP}/channel_units")[: len(channels)]
    if len(units) != len(channels):
        raise reader.error(f"{GROUP}/channel_units", f"expected {len(channels)} units, got {len(units)}")
    axes = {
        axis: axis_of(reader, f"{GROUP}/{axis}_axis", size, wanted.axis_unit, "mm")
        for axis, size in zip("yx", values.shape[1:], strict=True)
    }
    scalers = scalers_of(reader, f"{GROUP}/scalers", f"{GROUP}/scaler_names", values.shape[1:])
    named = f"{GROUP}/scaler_units"
    scaler_units = dict(zip(scalers, reader.texts(named) if reader.has(named) else [], strict=False))
    regions = images_of(reader, f"{GROUP}/XRF_roi") if "XRF_roi" in there else values
    stored = _Stored(
        f"{reader.path} {dataset}", values, regions, channels, units, axes["x"], axes["y"], scalers,
        scaler_units, None,
    )  # fmt: skip
    return _counts(stored, wanted)


def _is_version_10(reader: Hdf5Reader) -> bool:
    return reader.has(ANALYSED)


def _read_version_10(reader: Hdf5Reader, wanted: MapsWanted) -> CountMaps:
    there = [name for name in ANALYSES if reader.has(f"{ANALYSED}/{name}/Counts_Per_Sec")]
    analysis = (
        wanted.fits if isinstance(wanted.fits, str) else "ROI" if not wanted.fits else (there or ["NNLS"])[0]
    )
    group = f"{ANALYSED}/{analysis}"
    if analysis not in there:
        raise reader.error(group, f"no such analysis in the file; it has {', '.join(there) or 'none'}")
    values = images_of(reader, f"{group}/Counts_Per_Sec")
    channels = channels_of(reader, f"{group}/Channel_Names", len(values))
    shape = values.shape[1:]
    axes = {
        axis: axis_of(reader, f"{GROUP}/Scan/{axis}_axis", size, wanted.axis_unit, "mm")
        for axis, size in zip("yx", shape, strict=True)
    }
    scalers = scalers_of(reader, f"{GROUP}/Scalers/Values", f"{GROUP}/Scalers/Names", shape)
    named = f"{GROUP}/Scalers/Units"
    scaler_units = dict(zip(scalers, reader.texts(named) if reader.has(named) else [], strict=False))
    elapsed = f"{GROUP}/Spectra/Elapsed_Livetime"
    live = np.asarray(reader.array(elapsed, MOST_IMAGE_VALUES), np.float64) if reader.has(elapsed) else None
    live = live if live is not None and live.shape == shape else None
    if live is not None:
        scalers.setdefault("Elapsed_Livetime", live)  # by which counts have their exposure
    roi = f"{ANALYSED}/ROI/Counts_Per_Sec"
    regions = images_of(reader, roi) if reader.has(roi) else values
    chosen = [e for e, name in enumerate(channels) if name.lower() not in NO_ELEMENTS]
    stored = _Stored(
        f"{reader.path} {analysis}", values[chosen], regions, [channels[e] for e in chosen],
        ["cts/s"] * len(chosen), axes["x"], axes["y"], scalers, scaler_units,
        live,
    )  # fmt: skip
    return _counts(stored, wanted)


def _counts(stored: _Stored, wanted: MapsWanted) -> CountMaps:
    """Return maps in counts: numbers show whether those in another unit are rates."""
    maps = CountMaps(
        element_names=stored.channels,
        counts=stored.values,
        x=stored.x,
        y=stored.y,
        scalers=stored.scalers,
        scaler_units=stored.scaler_units,
        units=stored.units,
        title=stored.title,
    )
    names = stored.channels if wanted.elements is None else wanted.elements
    unknown = [e for e in maps.indices(names) if stored.units[e].lower() not in COUNTS]
    if not unknown:
        return maps
    live = stored.live
    if live is None or wanted.live_time is not None:
        needed = wanted.live_time is not None or all(unit.lower() in RATES for unit in stored.units)
        try:
            live = maps.scaler(wanted.live_time, LIVE_TIMES, "live time")
        except ValueError:
            if needed:
                raise
    rule = count_rule(stored.regions, live, wanted.detectors)
    maps.notes.append(rule.note)
    for e in unknown:
        rate = stored.units[e].lower() in RATES
        maps.counts[e] = _whole(stored.values[e] * _factor(rule, live, rate=rate, maps=maps))
    return maps


def _factor(rule: CountRule, live: Images | None, *, rate: bool, maps: CountMaps) -> Images | float:
    """Return the factor of a map; a unit that says rate is believed, whatever the other maps are."""
    if rate and np.ndim(rule.factor) == 0:
        return maps.scaler(None, LIVE_TIMES, "live time") if live is None else live
    return rule.factor


def _whole(counts: Images) -> Images:
    """Return counts without the rounding of the live time, where they are whole but for it."""
    nearest = np.rint(counts)
    with np.errstate(invalid="ignore"):  # infinite counts are refused where they are used
        close = np.abs(counts - nearest) < NEAR
    return np.where(close, nearest, counts) if close[np.isfinite(counts)].mean() > 0.8 else counts


READERS = (
    Reader("MAPS v9", "MapsPy, XRF-Maps", "maps", "maps, scalers, live time", _is_version_9, _read_version_9),
    Reader("XRF-Maps v10", "XRF-Maps", "maps", "maps, scalers, live time", _is_version_10, _read_version_10),
)
