"""Result files: what a reconstruction found, and how, in the same HDF5 layout as scans."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.history import History, IterationRecord, Reason
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.words import METHODS
from ptyxrf.driver.files.cxi import ENTRY, FLUORESCENCE, GEOMETRY, ILLUMINATION, SAMPLE
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader, reading
from ptyxrf.driver.files.hdf5_writer import Hdf5Writer, creating, writing
from ptyxrf.driver.files.quality_record import read_quality, write_quality
from ptyxrf.driver.files.tiled_file import whole_shared_file, write_tiles
from ptyxrf.driver.files.whole_file import check_space
from ptyxrf.parallel.gather import gather_positions
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import from_first_rank
from ptyxrf.parallel.tile import Tile

PROCESS = f"{ENTRY}/process_1"
HISTORY = f"{ENTRY}/history_1"
PREDICTED = f"{FLUORESCENCE}/predicted"
MISFIT = f"{PROCESS}/pattern_misfit"
POSITIONS, INTENSITIES = f"{PROCESS}/positions", f"{PROCESS}/intensities"
BACKGROUND = f"{PROCESS}/pattern_background"

#: Columns of the history: the numbers of a record with their dtypes.
COLUMNS = {
    record_field.name: np.dtype(np.int64 if record_field.type == "int" else np.float64)
    for record_field in fields(IterationRecord)
    if record_field.type in ("int", "float")
}

#: Columns that histories of earlier versions do not have; they are written where they hold numbers.
LATER_COLUMNS = ("ptychography_floor", "prior_loss")

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
    settings = _settings_text(result)
    with writing(path, title, "image_1") as writer:
        _write_frame(writer, result, scan, settings, result.object.shape)
        tiles = _tiles(result)
        check_space(Path(path).absolute().parent, sum(values.nbytes for values in tiles.values()))
        for name, values in tiles.items():
            writer.file[name][...] = values


def _settings_text(result: Result) -> str:
    return json.dumps(result.settings, default=_plain)


def _tiles(result: Result) -> dict[str, NDArray[Any]]:
    """Return what covers the pixels of the grid, by its place in the file."""
    tiles = {f"{image_name(0)}/data": result.object}
    tiles |= {f"{image_name(e + 1)}/data": values for e, values in enumerate(result.elements)}
    predicted = result.predicted_fluorescence
    if predicted is not None and predicted.ndim == 3:
        tiles[PREDICTED] = predicted
    return tiles


def _write_tiled(
    path: str | os.PathLike[str], result: Result, scan: Scan | None, tile: Tile, ranks: Ranks
) -> None:
    """Write the parts of all ranks: the first one makes the file, then each adds its tiles."""
    part, comm = result.part, ranks.comm
    # what belongs to the positions is as small as these
    predicted, misfit = part.predicted_fluorescence, part.pattern_misfit
    if predicted is not None and predicted.ndim == 2:
        predicted = gather_positions(comm, tile, predicted)
    if misfit is not None:
        misfit = gather_positions(comm, tile, misfit)
    part = part.with_arrays(predicted_fluorescence=predicted, pattern_misfit=misfit)

    def make(temporary: Path) -> None:
        settings = _settings_text(part)
        with creating(temporary, "" if scan is None else scan.title, "image_1") as writer:
            _write_frame(writer, part, scan, settings, tile.grid)

    with whole_shared_file(comm, path) as temporary:
        from_first_rank(comm, lambda: make(temporary))
        write_tiles(comm, temporary, tile.owned, _tiles(part))


def _write_frame(
    writer: Hdf5Writer, result: Result, scan: Scan | None, settings: str, grid: tuple[int, ...]
) -> None:
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
    _write_process(writer, result, settings)
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
    writer.optional(POSITIONS, result.positions, units="pixel")
    writer.optional(INTENSITIES, result.intensities)
    write_quality(writer, result.quality)
    writer.optional(BACKGROUND, result.pattern_background, interpretation="image")
    if scan is not None:
        writer.group(SAMPLE, "NXsample")
        writer.group(GEOMETRY, "NXcollection")
        writer.array(f"{GEOMETRY}/positions", scan.positions, units="pixel")


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


def write_history(writer: Hdf5Writer, history: History) -> None:
    """Write the history as columns of one length; viewers plot the loss over the iterations."""
    writer.group(HISTORY, "NXdata", signal="loss", axes=["iteration"])
    for name, dtype in COLUMNS.items():
        column = history[name].astype(dtype)
        if name not in LATER_COLUMNS:
            writer.array(f"{HISTORY}/{name}", column)
        elif not np.isnan(column).all():
            writer.optional(f"{HISTORY}/{name}", column)
    writer.texts(f"{HISTORY}/note", list(history["note"]))
    names = list(dict.fromkeys(name for record in history for name in record.errors))
    if not names:
        return
    writer.texts(f"{HISTORY}/error_names", names)
    writer.note_optional(f"{HISTORY}/error_names")
    for i, name in enumerate(names):
        writer.array(f"{HISTORY}/error_{i + 1}", history[name].astype(np.float64), long_name=name)
    # A record without an error is not a record whose error is NaN.
    present = np.array([[name in record.errors for name in names] for record in history], dtype=np.uint8)
    writer.array(f"{HISTORY}/errors_present", present)


def _write_process(writer: Hdf5Writer, result: Result, settings: str) -> None:
    writer.group(PROCESS, "NXprocess", program="ptyxrf")
    writer.text(f"{PROCESS}/method", result.method)
    writer.text(f"{PROCESS}/reason", result.reason.name)
    writer.text(f"{PROCESS}/reason_sentence", result.reason.value)
    dataset = writer.text(f"{PROCESS}/settings", settings)
    for key, value in result.settings.items():
        array = np.asarray(value) if not isinstance(value, dict) else np.asarray(None)
        if isinstance(value, str):
            if len(value) < ATTRIBUTE_LENGTH:
                dataset.attrs[key] = value
        elif array.dtype.kind in "fiub" and array.size < ATTRIBUTE_LENGTH:
            dataset.attrs[key] = array
    writer.file[PROCESS].attrs["elements"] = len(result.elements)
    writer.file[PROCESS].attrs["elements_dtype"] = np.bytes_(result.elements.dtype.str)


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
        image = _values(reader, f"{image_name(0)}/data", 2, "fc")
        return Result(
            object=image,
            elements=_elements(reader, image.shape),
            probe=_values(reader, ILLUMINATION, 3, "fc"),
            history=read_history(reader),
            reason=Reason[_word(reader, f"{PROCESS}/reason", Reason.__members__)],
            method=_word(reader, f"{PROCESS}/method", METHODS),
            settings=_settings(reader),
            predicted_fluorescence=_optional_values(reader, PREDICTED, gaps=True),  # elements without data
            pattern_misfit=_optional_values(reader, MISFIT),
            positions=_optional_values(reader, POSITIONS),
            intensities=_optional_values(reader, INTENSITIES),
            quality=read_quality(reader),
            pattern_background=_optional_values(reader, BACKGROUND),
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


def read_history(reader: Hdf5Reader) -> History:
    """Return what `write_history` wrote."""
    columns: dict[str, list[Any]] = {}
    for name, dtype in COLUMNS.items():
        if name in LATER_COLUMNS and reader.optional_dataset(f"{HISTORY}/{name}") is None:
            continue
        column = np.asarray(reader.array(f"{HISTORY}/{name}"))
        if column.ndim != 1 or column.dtype.kind != dtype.kind:
            raise reader.error(
                f"{HISTORY}/{name}",
                f"expected a number of type {dtype} for each record, got {column.dtype} of shape "
                f"{column.shape}",
            )
        columns[name] = column.tolist()
    columns["note"] = reader.texts(f"{HISTORY}/note")
    length = len(columns["iteration"])
    for name, values in columns.items():
        if len(values) != length:
            raise reader.error(f"{HISTORY}/{name}", f"expected {length} records, got {len(values)}")
    errors: list[dict[str, float]] = [{} for _ in range(length)]
    if reader.optional_dataset(f"{HISTORY}/error_names") is not None:
        names = reader.texts(f"{HISTORY}/error_names")
        place = f"{HISTORY}/errors_present"
        present = np.asarray(reader.array(place))
        if present.shape != (length, len(names)):
            raise reader.error(place, f"expected shape {(length, len(names))}, got {present.shape}")
        for i, name in enumerate(names):
            place = f"{HISTORY}/error_{i + 1}"
            column = np.asarray(reader.array(place))
            if column.shape != (length,) or column.dtype.kind != "f":
                raise reader.error(
                    place, f"expected {length} numbers, got {column.dtype} of shape {column.shape}"
                )
            for record, value, known in zip(errors, column.tolist(), present[:, i], strict=True):
                if known:
                    record[name] = value
    return History(
        IterationRecord(**{name: values[i] for name, values in columns.items()}, errors=errors[i])
        for i in range(length)
    )
