"""What the readers of known formats say of the files of a preparation, as settings of its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptyxrf.driver.files.file_errors import FileError
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader, reading
from ptyxrf.driver.files.npz_arrays import is_npz
from ptyxrf.driver.files.readers import pattern_pairs
from ptyxrf.driver.files.readers.reader import MeasuredScan
from ptyxrf.driver.files.readers.registry import readers
from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.input_files import InputFiles, NamedArray
from ptyxrf.driver.preparation.quantities import Reference
from ptyxrf.driver.preparation.settings import Preparation

#: Group of the names by which a recipe has what a reader of scans makes of a file.
READ = "reader"
#: Settings that say the same, of which a recipe has one.
POSITIONS = ("positions", "rows", "columns", "order")


def with_known_formats(settings: Preparation, files: InputFiles, findings: Findings) -> Preparation:
    """Return settings in which files of known formats have filled what a recipe leaves open.

    Raw files say by which names they have frames, positions and the rest. What a reader makes of a scan (of
    patterns in several files, of amplitudes, of positions with their signs) has names such as
    ``FILE::reader/frames``.

    Parameters
    ----------
    settings : Preparation
    files : InputFiles
        Gets what readers make of scans.
    findings : Findings
        Gets a line for each file.

    Returns
    -------
    Preparation
        A file of a known format that it names as frames is replaced by the frames in it.
    """
    named = [settings.frames] if isinstance(settings.frames, str) else list(settings.frames or ())
    whole = [Path(text) for text in named if Path(text).is_file()]
    inside = [Path(file) for file in (Reference.of(text).file for text in named) if file is not None]
    for path in dict.fromkeys(map(Path, [*whole, *files.paths, *inside])):
        known = _known(path, files, findings)
        if known is None:
            continue
        if named == [str(path)]:
            settings = settings.replace(frames=None)
        placed = any(getattr(settings, name) is not None for name in POSITIONS)
        open_settings = {
            name: value
            for name, value in known.items()
            if value is not None and getattr(settings, name) is None and not (placed and name in POSITIONS)
        }
        settings = settings.replace(**open_settings)
    return settings


def _known(path: Path, files: InputFiles, findings: Findings) -> dict[str, Any] | None:
    """Return what a file of a known format says of the settings, or None for other files."""
    if not h5py.is_hdf5(path) and not is_npz(path):
        return None
    with reading(path) as file:
        if file.own:
            return None
        reader = next((one for one in readers() if one.kind != "maps" and one.recognises(file)), None)
        alone = reader in pattern_pairs.READERS
        if reader is None or (alone and len(files.paths) > 1):
            return None  # the positions of patterns are in a file that is given, not in any beside them
        try:
            found = reader.reads(file)
        except FileError as error:
            if reader.kind == "raw":
                raise
            if not alone:
                findings.tell("frames", f"not read as {reader.name}: {error}")
            return None
        findings.tell("frames", f"{path} is a file of {reader.name}: {reader.holds}")
        if reader.kind == "raw":
            return {name: _within(path, name, value, file) for name, value in found.items()}
        return _of_scan(path, found, files)


def _within(path: Path, setting: str, value: Any, file: Hdf5Reader) -> Any:
    """Return a setting of a raw file with its path before names of datasets."""
    if isinstance(value, tuple):
        return tuple(_within(path, setting, one, file) for one in value)
    if isinstance(value, str) and file.has(Reference.of(value).key):
        return f"{path}::{value.lstrip('/')}"
    return value


def _of_scan(path: Path, found: MeasuredScan, files: InputFiles) -> dict[str, Any]:
    """Return settings for what a reader of scans has made, which is registered by its names."""
    unit, factors = "m", (1.0, 1.0)
    geometry = {"energy": (found.energy, "J"), "distance": (found.distance, "m"),
                "detector_pixel": (found.detector_pixel, "m")}  # fmt: skip
    if any(value is None for value, _ in geometry.values()):
        geometry, unit, factors = {}, "pixels", found.pixel_size
    beside = {
        name: found.arguments.get(argument)
        for name, argument in (
            ("probe", "probe"), ("mask", "mask"), ("monitor", "exposure"), ("dark", "pattern_background"),
        )
    }  # fmt: skip
    arrays = {
        "frames": found.patterns,
        "rows": found.rows / factors[0],
        "columns": found.columns / factors[1],
    }
    arrays |= {name: np.asarray(values) for name, values in beside.items() if values is not None}
    if "mask" in arrays:  # of masks of each pattern a pixel is good where it is in all
        mask = arrays["mask"].reshape(-1, *arrays["mask"].shape[-2:])
        arrays["mask"] = mask.all(axis=0).astype(np.uint8)
    units = {"rows": unit, "columns": unit}
    files.register(
        path, [NamedArray(path, f"{READ}/{name}", values, units.get(name)) for name, values in arrays.items()]
    )
    recipe: dict[str, Any] = {
        name: f"{path}::{READ}/{name}" + (f" in {units[name]}" if name in units else "") for name in arrays
    }
    if "mask" in arrays:
        recipe["mask_good"] = 1
    return recipe | {name: f"{value:.12g} {unit}" for name, (value, unit) in geometry.items()}
