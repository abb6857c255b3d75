"""Result files: what a reconstruction found, and how, in the same HDF5 layout as scans."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.words import METHODS
from ptyxrf.driver.files.cxi import ENTRY, FLUORESCENCE, GEOMETRY, ILLUMINATION, SAMPLE, placed
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader, reading
from ptyxrf.driver.files.hdf5_writer import Hdf5Writer, creating, writing
from ptyxrf.driver.files.history_record import read_history, write_history
from ptyxrf.driver.files.quality_record import read_quality, write_quality
from ptyxrf.driver.files.sensitivity_record import read_sensitivity, write_sensitivity
from ptyxrf.driver.files.tiled_file import whole_shared_file, write_tiles
from ptyxrf.driver.files.uncertainty_record import read_uncertainty, write_uncertainty
from ptyxrf.driver.files.whole_file import check_space
from ptyxrf.parallel.gather import gather_positions
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import from_first_rank
from ptyxrf.parallel.tile import Tile

PROCESS = f"{ENTRY}/process_1"
METHOD = f"{PROCESS}/method"
PREDICTED = f"{FLUORESCENCE}/predicted"
MISFIT = f"{PROCESS}/pattern_misfit"
POSITIONS, INTENSITIES = f"{PROCESS}/positions", f"{PROCESS}/intensities"
BACKGROUND, MATRIX = f"{PROCESS}/pattern_background", f"{PROCESS}/matrix"
#: What came before a joint fit: a group with the layout of the entry.
FALLBACK = f"{ENTRY}/fallback_1"

#: Longest list of settings that is repeated as an attribute (HDF5 holds attributes of 64 kB).
ATTRIBUTE_LENGTH = 1000


def image_name(index: int) -> str:
    """Return the CXI group of an image: 0 is the object, e + 1 the map of element e."""
    return f"{ENTRY}/image_{index + 1}"


def _plain(value: Any) -> Any:
    """Return numpy numbers and arrays as what JSON has."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise ValueError(f"settings: expected numbers, strings and lists of them, got {type(value).__name__}")


def write_result(path: str | os.PathLike[str], result: Result, scan: Scan | None = None) -> None:
    """Write a result to a CXI file, whole or not at all.

    A result that several ranks hold goes to one file, in tiles: all ranks call this, and no rank ever holds
    the whole object. The file is the same as from one rank.

    ``image_1`` holds the object and is what viewers open first, ``image_2`` and so on one element map
    each, under its name.

    Parameters
    ----------
    path : path-like
        The file; a file that is there is replaced when the new one is complete.
    result : Result
    scan : Scan, optional
        Adds what belongs to the scan: element names, positions, and axes in metres where its geometry is
        known.

    Raises
    ------
    ValueError
        If the path cannot be written, or a setting is neither a number nor a string.
    """
    if result.shared is not None:
        _write_tiled(path, result, scan, *result.shared)
        return
    title = scan.title if scan is not None else ""
    _check_settings(result)
    with writing(path, title, "image_1") as writer:
        _write_frame(writer, result, scan, result.object.shape)
        tiles = _tiles(result)
        check_space(Path(path).absolute().parent, sum(values.nbytes for values in tiles.values()))
        for name, values in tiles.items():
            writer.file[name][...] = values


def _settings_text(result: Result) -> str:
    return json.dumps(result.settings, default=_plain)


def _check_settings(result: Result) -> None:
    """Refuse settings that JSON does not have before there is a file."""
    for one in (result, result.fallback):
        if one is not None:
            _settings_text(one)


def _tiles(result: Result, root: str = ENTRY) -> dict[str, NDArray[Any]]:
    """Return what covers the pixels of the grid, by its place in the file."""
    tiles = {f"{image_name(0)}/data": result.object}
    tiles |= {f"{image_name(e + 1)}/data": values for e, values in enumerate(result.elements)}
    predicted = result.predicted_fluorescence
    if predicted is not None and predicted.ndim == 3:
        tiles[PREDICTED] = predicted
    if result.matrix is not None:
        tiles[MATRIX] = result.matrix
    tiles = {placed(name, root): values for name, values in tiles.items()}
    return tiles if result.fallback is None else tiles | _tiles(result.fallback, FALLBACK)


def _write_tiled(
    path: str | os.PathLike[str], result: Result, scan: Scan | None, tile: Tile, ranks: Ranks
) -> None:
    """Write the parts of all ranks: the first one makes the file, then each adds its tiles."""
    comm, part = ranks.comm, _with_whole_positions(result.part, tile, ranks)

    def make(temporary: Path) -> None:
        _check_settings(part)
        with creating(temporary, "" if scan is None else scan.title, "image_1") as writer:
            _write_frame(writer, part, scan, tile.grid)

    with whole_shared_file(comm, path) as temporary:
        from_first_rank(comm, lambda: make(temporary))
        write_tiles(comm, temporary, tile.owned, _tiles(part))


def _with_whole_positions(part: Result, tile: Tile, ranks: Ranks) -> Result:
    """Return a part with what belongs to the positions of all ranks, which is as small as these."""
    predicted, misfit, fallback = part.predicted_fluorescence, part.pattern_misfit, part.fallback
    if predicted is not None and predicted.ndim == 2:
        predicted = gather_positions(ranks.comm, tile, predicted)
    if misfit is not None:
        misfit = gather_positions(ranks.comm, tile, misfit)
    if fallback is not None:
        fallback = _with_whole_positions(fallback, tile, ranks)
    return part.replaced(predicted_fluorescence=predicted, pattern_misfit=misfit, fallback=fallback)


def _write_frame(writer: Hdf5Writer, result: Result, scan: Scan | None, grid: tuple[int, ...]) -> None:
    """Write everything but the pixels; for these there are datasets, to be filled at once or in tiles."""
    names = [f"element {e + 1}" for e in range(len(result.elements))]
    if scan is not None and scan.N_e == len(names):
        names = scan.element_names
    pixel = None if scan is None else scan.pixel_size
    _make_image(writer, 0, grid, result.object.dtype, "object", pixel)
    for e, name in enumerate(names):
        _make_image(writer, e + 1, grid, result.elements.dtype, name, pixel)
    writer.probe(result.probe)
    write_history(writer, result.history)
    _write_process(writer, result)
    if names:
        writer.texts(f"{PROCESS}/element_names", names)
    predicted = result.predicted_fluorescence
    if predicted is not None:
        writer.group(FLUORESCENCE, "NXdata", signal="predicted")
        if predicted.ndim == 3:
            shape = (len(predicted), *grid)
            writer.create(PREDICTED, shape, predicted.dtype, interpretation="image")
            writer.note_optional(PREDICTED)
        else:
            writer.optional(PREDICTED, predicted, interpretation="spectrum")
    writer.optional(MISFIT, result.pattern_misfit)
    if result.matrix is not None:
        writer.create(MATRIX, grid, result.matrix.dtype, interpretation="image")
        writer.note_optional(MATRIX)
    writer.optional(POSITIONS, result.positions, units="pixel")
    writer.optional(INTENSITIES, result.intensities)
    write_quality(writer, result.quality)
    write_sensitivity(writer, result.sensitivity)
    write_uncertainty(writer, result.uncertainty)
    writer.optional(BACKGROUND, result.pattern_background, interpretation="image")
    if scan is not None:
        writer.group(SAMPLE, "NXsample")
        writer.group(GEOMETRY, "NXcollection")
        writer.array(f"{GEOMETRY}/positions", scan.positions, units="pixel")
    if result.fallback is not None:
        writer.group(FALLBACK, "NXcollection")
        _write_frame(writer.within(FALLBACK), result.fallback, scan, grid)
        writer.note_optional(placed(METHOD, FALLBACK))


def _make_image(
    writer: Hdf5Writer, index: int, shape: tuple[int, ...], dtype: Any, title: str, pixel_size: float | None
) -> None:
    """Make the group and the dataset of one image."""
    name = image_name(index)
    group = writer.group(name, "NXdata", signal="data", title=title)
    writer.create(f"{name}/data", shape, dtype, interpretation="image")
    writer.text(f"{name}/data_space", "real")
    if pixel_size is None:
        return
    for axis, size in zip(("y", "x"), shape, strict=True):
        if index == 0:
            writer.array(f"{name}/{axis}", np.arange(size) * pixel_size, units="m")
        else:
            writer.link(f"{name}/{axis}", f"{image_name(0)}/{axis}")
    group.attrs["axes"] = ["y", "x"]
    extent = [shape[1] * pixel_size, shape[0] * pixel_size, 0.0]
    writer.array(f"{name}/image_size", extent, units="m")


def _write_process(writer: Hdf5Writer, result: Result) -> None:
    process = writer.group(PROCESS, "NXprocess", program="ptyxrf", version=version("ptyxrf"))
    writer.text(METHOD, result.method)
    writer.text(f"{PROCESS}/reason", result.reason.name)
    writer.text(f"{PROCESS}/reason_sentence", result.reason.value)
    dataset = writer.text(f"{PROCESS}/settings", _settings_text(result))
    for key, value in result.settings.items():
        array = np.asarray(value) if not isinstance(value, dict) else np.asarray(None)
        if isinstance(value, str):
            if len(value) < ATTRIBUTE_LENGTH:
                # the name of a file need not be Unicode
                dataset.attrs[key] = value.encode(errors="backslashreplace").decode()
        elif array.dtype.kind in "fiub" and array.size < ATTRIBUTE_LENGTH:
            dataset.attrs[key] = array
    process.attrs["elements"] = len(result.elements)
    process.attrs["elements_dtype"] = np.bytes_(result.elements.dtype.str)


def read_result(path: str | os.PathLike[str]) -> Result:
    """Read a result as `write_result` left it.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Result
        With the dtypes that were written; settings as JSON has them (lists for tuples and arrays). Files of
        earlier versions have no quality.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        The file is not HDF5, truncated or damaged, or lacks something.
    """
    with reading(path) as reader:
        if not reader.own or not reader.has(PROCESS):
            raise reader.error(PROCESS, "no such group: the file is not a result")
        return _read(reader)


@dataclass(frozen=True)
class Placement:
    """What a result file says of its scan, and of the program that wrote it.

    Attributes
    ----------
    names : list of str
        Of the elements.
    positions : (N, 2) array of float64, or None
        As they were recorded, (row, column) in pixels.
    pixel_size : float or None
        In metres.
    title : str
        Of the scan.
    version : str
        Of ptyxrf; empty in files of earlier versions.
    """

    names: list[str]
    positions: NDArray[np.float64] | None
    pixel_size: float | None
    title: str = ""
    version: str = ""


def read_placement(path: str | os.PathLike[str]) -> Placement:
    """Return what a result file says of its scan; parameters and errors as of `read_result`."""
    with reading(path) as reader:
        names = f"{PROCESS}/element_names"
        axis = reader.array(f"{image_name(0)}/y") if reader.has(f"{image_name(0)}/y") else np.zeros(0)
        places = f"{GEOMETRY}/positions"
        return Placement(
            reader.texts(names) if reader.has(names) else [],
            np.asarray(reader.array(places), np.float64) if reader.has(places) else None,
            float(axis[1] - axis[0]) if np.size(axis) > 1 else None,
            reader.text(f"{ENTRY}/title"),
            str(reader.group(PROCESS).attrs.get("version", "")),
        )


def _read(reader: Hdf5Reader) -> Result:
    """Return what `_write_frame` wrote."""
    image = _values(reader, f"{image_name(0)}/data", 2, "fc")
    method = _word(reader, METHOD, METHODS)
    earlier = reader.optional_dataset(placed(METHOD, FALLBACK)) is not None
    elements = _elements(reader, image.shape)
    return Result(
        object=image,
        elements=elements,
        probe=_values(reader, ILLUMINATION, 3, "fc"),
        history=read_history(reader, method),
        reason=Reason[_word(reader, f"{PROCESS}/reason", Reason.__members__)],
        method=method,
        settings=_settings(reader),
        predicted_fluorescence=_optional_values(reader, PREDICTED, gaps=True),  # elements without data
        pattern_misfit=_optional_values(reader, MISFIT),
        positions=_optional_values(reader, POSITIONS),
        intensities=_optional_values(reader, INTENSITIES),
        quality=read_quality(reader),
        sensitivity=read_sensitivity(reader, len(elements)),
        uncertainty=read_uncertainty(reader),
        pattern_background=_optional_values(reader, BACKGROUND),
        matrix=_optional_values(reader, MATRIX),
        fallback=_read(reader.within(FALLBACK)) if earlier else None,
    )


def _values(reader: Hdf5Reader, name: str, ndim: int, kinds: str) -> NDArray[Any]:
    """Return finite numbers; reconstructions have no others."""
    values = np.asarray(reader.array(name))
    if values.ndim != ndim or values.dtype.kind not in kinds:
        raise reader.error(
            name, f"expected numbers in {ndim} dimension(s), got {values.dtype} of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise reader.error(name, "expected finite numbers, got NaN or infinity")
    return values


def _optional_values(reader: Hdf5Reader, name: str, *, gaps: bool = False) -> NDArray[Any] | None:
    """Return finite numbers, or NaN where there may be gaps; None where the file never had them."""
    values = reader.optional(name)
    if values is None:
        return None
    if np.ndim(values) == 0 or values.dtype.kind != "f":
        raise reader.error(name, f"expected numbers, got {values.dtype} of shape {np.shape(values)}")
    if (np.isinf(values) if gaps else ~np.isfinite(values)).any():
        raise reader.error(name, f"expected finite numbers, got {'infinity' if gaps else 'NaN or infinity'}")
    return values


def _elements(reader: Hdf5Reader, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the maps of all elements."""
    attributes = reader.group(PROCESS).attrs
    count, noted = attributes["elements"], attributes["elements_dtype"]
    if not isinstance(count, int | np.integer) or count < 0:
        raise reader.error(PROCESS, f"elements: expected how many there are, got {count!r}")
    text = noted.decode("latin-1") if isinstance(noted, bytes) else noted
    if text not in ("<f4", ">f4", "<f8", ">f8"):
        raise reader.error(PROCESS, f"elements_dtype: expected that of real numbers, got {noted!r}")
    names = []
    for e in range(count):  # before there is memory for as many as are said to be there
        names.append(f"{image_name(e + 1)}/data")
        reader.dataset(names[e])
    reader.require_memory(names[0] if names else PROCESS, (int(count), *shape), np.dtype(text))
    elements = np.empty((count, *shape), np.dtype(text))
    for name, element in zip(names, elements, strict=True):
        values = _values(reader, name, 2, "f")
        if values.shape != shape:
            raise reader.error(name, f"expected an image of shape {shape}, got {values.shape}")
        element[...] = values
    return elements


def _word(reader: Hdf5Reader, name: str, words: Collection[str]) -> str:
    """Return a text that has to be one of a few words."""
    word = reader.text(name)
    if word not in words:
        raise reader.error(name, f"expected one of {', '.join(words)}, got {word!r}")
    return word


def _settings(reader: Hdf5Reader) -> dict[str, Any]:
    name = f"{PROCESS}/settings"
    try:
        settings = json.loads(reader.text(name))
    except json.JSONDecodeError as error:
        raise reader.error(name, f"expected settings in JSON, got {error}") from None
    if not isinstance(settings, dict):
        raise reader.error(name, f"expected settings by name, got {type(settings).__name__}")
    return settings
