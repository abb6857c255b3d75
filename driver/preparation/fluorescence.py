"""Fluorescence of a recipe at the positions of a scan: counts, exposure and variances."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.count_maps import known_variances, leave_out, relative_exposure
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.calibration_file import calibration_of
from ptyxrf.driver.files.hdf5_reader import reading
from ptyxrf.driver.files.maps_file import read_maps
from ptyxrf.driver.files.readers.registry import is_maps
from ptyxrf.driver.preparation.beam import unit_in_name
from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.guesses import COLUMNS, ROWS, Guesses, name_of
from ptyxrf.driver.preparation.input_files import InputFiles, NamedArray
from ptyxrf.driver.preparation.map_placement import Axes, Placed, placement, registered
from ptyxrf.driver.preparation.quantities import (
    ENERGIES,
    LENGTHS,
    TIMES,
    as_quantity,
    factor_of,
    plain_unit,
)
from ptyxrf.driver.preparation.settings import Preparation
from ptyxrf.driver.preparation.spectra import counts_of_lines, energy_of_line

Values = NDArray[np.float64]
#: A map may be so many times as large, or as small, as the scan, where its unit is guessed.
LARGEST_MAP, SMALLEST_MAP = 30.0, 0.3


@dataclass
class _Maps:
    """Maps as files have them.

    Attributes
    ----------
    values : (N_e, rows, columns) or (N_e, P) array of float64
    names : list of str
    axes : (array, array) or None
        y and x in metres.
    exposure : array of float64 or None
        Of the fluorescence detector at the points of the maps, relative, where the file has it.
    variances : array of float64 or None
        Of the values.
    """

    values: Values
    names: list[str]
    axes: Axes | None = None
    exposure: Values | None = None
    variances: Values | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one map."""
        return self.values.shape[1:]


def attach_fluorescence(
    scan: Scan, settings: Preparation, files: InputFiles, guesses: Guesses, placed: Placed, findings: Findings
) -> Scan:
    """Return a scan with the counts of the maps at its positions, or the scan itself without maps.

    Raises
    ------
    ValueError
        Naming the setting that does not fit.
    """
    maps = _of_spectra(scan, settings, files, placed, findings)
    if maps is None:
        maps = _found(settings, files, guesses, placed, findings)
    if maps is None:
        return scan
    if settings.map_fast == "y" and len(maps.shape) == 2:
        maps.values = np.swapaxes(maps.values, 1, 2)
        maps.exposure = None if maps.exposure is None else maps.exposure.T
    live = _live_time(settings, files, guesses, maps, findings)
    if settings.map_values == "rates":
        if live is None:
            raise ValueError("live_time: expected it beside map_values = 'rates', got none")
        maps.values = maps.values * live
    chosen = list(settings.elements or maps.names)
    for element in chosen:
        if element not in maps.names:
            raise ValueError(f"elements: expected some of {', '.join(maps.names)}, got {element!r}")
    rows = [maps.names.index(element) for element in chosen]
    at_positions = placement(maps.shape, maps.axes, settings, placed, findings)
    shift = (0.0, 0.0)
    if settings.map_register and maps.axes is not None and len(maps.shape) == 2:
        shift, likeness = registered(maps.values[rows], maps.axes, at_positions, placed)
        text = f"shifted by y {shift[0]:.3g} m, x {shift[1]:.3g} m (correlation {likeness:.2f})"
        findings.tell("map_register", text)
    changes: dict[str, Any] = {
        "fluorescence": at_positions(maps.values[rows], shift),
        "element_names": chosen,
        "attenuation": settings.attenuation,
        **calibration_of(settings.sensitivity, chosen),
        "background": settings.map_background,
        "fluorescence_count_scale": 1.0,
        "units": "counts",
    }
    variances = _variances(settings, files, maps)
    if variances is not None:
        changes["fluorescence_variance"] = known_variances(at_positions(variances[rows], shift))
    live_or_exposure = maps.exposure if live is None else live
    if live_or_exposure is not None:
        seen = at_positions(np.broadcast_to(live_or_exposure, maps.shape), shift)
        changes["fluorescence"][:, ~(seen > 0)] = np.nan
        if live is not None:
            seen = seen * placed.exposure[placed.places]
        changes["fluorescence_exposure"] = relative_exposure(seen)
    leave_out(changes["fluorescence"], "the maps")
    return scan.replace(**changes)


def _of_spectra(
    scan: Scan, settings: Preparation, files: InputFiles, placed: Placed, findings: Findings
) -> _Maps | None:
    """Return counts around the lines of elements, where a recipe has spectra and no maps."""
    if settings.spectra is None or settings.maps is not None:
        return None
    spectra = files.find("spectra", settings.spectra)
    if settings.elements is None:
        text = f"{spectra.key} {spectra.shape}: with elements (--elements Fe,Cu) it would give their counts"
        findings.tell("elements", text)
        return None
    if scan.geometry is None:
        raise ValueError("energy: expected it beside spectra, got none")
    if spectra.shape[0] != len(placed.metres):
        raise ValueError(
            f"spectra: expected one at each of {len(placed.metres)} positions in {spectra.reference}, got "
            f"{spectra.shape}"
        )
    beam = scan.geometry.energy / ENERGIES["ev"]
    lines = [energy_of_line(name, beam) for name in settings.elements]
    widths = [_electronvolts(text) for text in (settings.spectrum_bin, settings.spectrum_region)]
    at = ", ".join(f"{name} {line:.0f} eV" for name, line in zip(settings.elements, lines, strict=True))
    findings.tell("spectra", f"counts within {widths[1]:g} eV around {at}", spectra.reference)
    return _Maps(counts_of_lines(spectra, lines, *widths), list(settings.elements))


def _electronvolts(text: str) -> float:
    quantity = as_quantity(text)
    if quantity is None:
        raise ValueError(f"spectrum_bin, spectrum_region: expected energies such as '10 eV', got {text!r}")
    return quantity[0] * ENERGIES[plain_unit(quantity[1])] / ENERGIES["ev"]


def _found(
    settings: Preparation, files: InputFiles, guesses: Guesses, placed: Placed, findings: Findings
) -> _Maps | None:
    """Return maps of a file in a known format, or those of an array."""
    path = _maps_file(settings, files)
    if path is not None:
        counts = read_maps(path)
        counts = counts.of_elements() if settings.elements is None else counts
        findings.tell("maps", f"{counts.title}: {', '.join(counts.element_names)}", str(path))
        try:
            exposure = counts.exposure()
        except ValueError:
            exposure = None  # no ion chamber, or no live time
        for note in counts.notes:
            findings.tell("maps", note)
        return _Maps(counts.counts, counts.element_names, (counts.y, counts.x), exposure, counts.variances)
    count = len(placed.metres)
    array = guesses.maps(count) if settings.maps is None else files.find("maps", settings.maps)
    if array is None:
        return None
    values = np.asarray(array.read(), dtype=np.float64)
    names = _names(settings, files, guesses, values.shape)
    if values.ndim == 2 and values.shape[1] != count and values.shape[0] == count:
        values = values.T
    elif values.ndim == 2 and values.shape[1] != count:
        values = values[None]
    elif values.ndim == 3 and names and len(names) == values.shape[2] != values.shape[0]:
        values = np.moveaxis(values, 2, 0)
    if values.ndim not in (2, 3) or (names and len(names) != len(values)):
        raise ValueError(
            f"maps: expected {len(names) or 'N_e'} maps (N_e, rows, columns), or counts at {count} "
            f"positions, in {array.reference}, got {values.shape}"
        )
    findings.tell("maps", f"{array.key} {array.shape}", array.reference)
    axes = _axes(settings, files, guesses, array, values.shape[1:], placed)
    return _Maps(values, names or [f"element {e + 1}" for e in range(len(values))], axes)


def _maps_file(settings: Preparation, files: InputFiles) -> Path | None:
    """Return the file of maps in a format that has axes and scalers of its own, if there is one."""
    given = settings.maps
    paths = [Path(path) for path in files.paths] if given is None else [Path(given)]
    return next((path for path in paths if path.is_file() and _has_maps(path)), None)


def _has_maps(path: Path) -> bool:
    if not h5py.is_hdf5(path):
        return False
    with reading(path) as reader:
        return is_maps(reader)


def _names(settings: Preparation, files: InputFiles, guesses: Guesses, shape: tuple[int, ...]) -> list[str]:
    given = settings.map_names
    if given is not None and (len(given) > 1 or not _is_there(files, given[0])):
        return list(given)
    found = [guesses.texts(size) for size in shape] if given is None else [files.find("map_names", given[0])]
    array = next((one for one in found if one is not None), None)
    if array is None:
        return []
    texts = (one.decode() if isinstance(one, bytes) else str(one) for one in np.ravel(array.read()).tolist())
    return [text.strip() for text in texts]


def _is_there(files: InputFiles, key: str) -> bool:
    try:
        files.find("map_names", key)
    except (ValueError, FileNotFoundError):
        return False
    return True


def _axes(
    settings: Preparation,
    files: InputFiles,
    guesses: Guesses,
    maps: NamedArray,
    shape: tuple[int, ...],
    placed: Placed,
) -> Axes | None:
    """Return y and x of maps in metres, or None where nothing has them."""
    if len(shape) != 2:
        return None
    shape = shape[::-1] if settings.map_fast == "y" else shape
    found = []
    group = maps.key.rpartition("/")[0]
    for k, (given, pattern) in enumerate(((settings.map_rows, ROWS), (settings.map_columns, COLUMNS))):
        if given is not None:
            array: NamedArray | None = files.find(("map_rows", "map_columns")[k], given)
        else:
            beside = (
                one
                for one in guesses.arrays
                if one.path == maps.path and one.key.rpartition("/")[0] == group and one.shape == (shape[k],)
            )
            array = next((one for one in beside if pattern.search(name_of(one))), None)
        if array is None:
            return None
        values = np.ravel(array.read()).astype(np.float64)
        if values.shape != (shape[k],):
            raise ValueError(f"map_{('rows', 'columns')[k]}: expected {shape[k]} numbers, got {len(values)}")
        found.append(values * _metres(array, values, float(np.ptp(placed.metres[:, k]))))
    return found[0], found[1]


def _metres(array: NamedArray, values: Values, extent: float) -> float:
    """Return the metres in the unit of an axis: given, named, or one that makes the map fit the scan."""
    for unit in (array.unit, unit_in_name(name_of(array))):
        factor = None if unit is None else factor_of(unit, LENGTHS)
        if factor is not None:
            return factor
    for unit in ("m", "mm", "um", "nm"):
        if SMALLEST_MAP <= np.ptp(values) * LENGTHS[unit] / max(extent, 1e-300) <= LARGEST_MAP:
            return LENGTHS[unit]
    raise ValueError(f"maps: expected a unit for {array.reference} ({array.key} in UNIT), got none")


def _live_time(
    settings: Preparation, files: InputFiles, guesses: Guesses, maps: _Maps, findings: Findings
) -> Values | None:
    """Return the live time at the points of the maps, or one for all, in seconds; of a dead time its rest."""
    given = settings.live_time
    number = None if given is None else as_quantity(given)
    if number is not None:
        return np.array(number[0] * TIMES[number[1].lower()])
    if given is not None:
        array: NamedArray | None = files.find("live_time", given)
    else:
        array = next((one for one in (guesses.each("live_time", size) for size in maps.shape[:1])
                      if one is not None and len(maps.shape) == 1), None)  # fmt: skip
    if array is not None:
        values = np.asarray(array.read(), np.float64) * (TIMES.get((array.unit or "s").lower(), 1.0))
        findings.tell("live_time", f"{array.key}, mean {values.mean():.4g} s", array.reference)
        return _on_points("live_time", values, maps.shape)
    if settings.dead_time is None:
        return None
    array = files.find("dead_time", settings.dead_time)
    dead = np.asarray(array.read(), np.float64)
    dead = dead / 100.0 if dead.max() > 1.0 else dead
    if not ((dead >= 0) & (dead < 1)).all():
        raise ValueError(f"dead_time: expected shares from 0 to 1, or per cent, in {array.reference}")
    findings.tell("dead_time", f"{array.key}, mean {100 * dead.mean():.3g} %")
    return _on_points("dead_time", 1.0 - dead, maps.shape)


def _on_points(name: str, values: Values, shape: tuple[int, ...]) -> Values:
    if values.size == 1:
        return values.reshape(())
    if values.size != np.prod(shape):
        raise ValueError(
            f"{name}: expected one number, or one for each of {shape} points, got {values.shape}"
        )
    return values.reshape(shape)


def _variances(settings: Preparation, files: InputFiles, maps: _Maps) -> Values | None:
    """Return the variances of all maps, where the recipe or their file has them."""
    if settings.map_variances is None:
        return maps.variances
    variances = np.asarray(files.find("map_variances", settings.map_variances).read(), np.float64)
    if len(maps.shape) == 2 and settings.map_fast == "y":
        variances = np.swapaxes(variances, -1, -2)
    if variances.shape != maps.values.shape:
        raise ValueError(
            f"map_variances: expected the shape {maps.values.shape} of the maps, got {variances.shape}"
        )
    return variances
