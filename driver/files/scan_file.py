"""Scan files: HDF5 in CXI 1.6 layout, with the fluorescence and the exact positions beside it."""

from __future__ import annotations

import math
import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.data.lazy_arrays import ClippedSource, blocks_of_rows
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.cxi import (
    DATA,
    DETECTOR,
    ENTRY,
    EXPOSURE,
    FLUORESCENCE,
    GEOMETRY,
    ILLUMINATION,
    MASK,
    PATTERNS,
    POSITIONS,
    SAMPLE,
    SOURCE,
    TRANSLATION,
    nominal_geometry,
)
from ptyxrf.driver.files.hdf5_reader import MOST_IMAGE_VALUES, Hdf5Reader, reading
from ptyxrf.driver.files.hdf5_writer import Hdf5Writer, writing
from ptyxrf.driver.files.pattern_file import MaskFile, PatternFile, good_pixels
from ptyxrf.driver.files.readers.registry import reader_of
from ptyxrf.driver.files.scan_of_measured import arguments_of_measured
from ptyxrf.driver.files.stored_array import StoredArray
from ptyxrf.driver.files.unwritten_frames import warn_of_unwritten

#: Patterns of one chunk: a rank that reads its own patterns decompresses little that it does not want.
CHUNK_BYTES = 1 << 18
#: Patterns written at a time when they come from another file.
BLOCK_BYTES = 1 << 26

PER_ELEMENT = ("sensitivity", "background")
TRUE_ARRAYS = ("object", "elements", "probe")


def translation_from_positions(positions: ArrayLike, pixel_size: float) -> NDArray[np.float64]:
    """Return the CXI translations of the sample that belong to positions of the probe window.

    Parameters
    ----------
    positions : (N, 2) array of float
        (row, column) in pixels.
    pixel_size : float
        Pixel of the object grid in metres.

    Returns
    -------
    (N, 3) array of float64
        (x, y, z) of the sample in metres: x = column * pixel_size, y = row * pixel_size, z = 0. The probe
        moves against the sample, and the axes of the object run against x and y, as those of the detector do.
    """
    array = np.asarray(positions, dtype=np.float64)
    return np.stack([array[:, 1] * pixel_size, array[:, 0] * pixel_size, np.zeros(len(array))], axis=1)


def write_scan(path: str | os.PathLike[str], scan: Scan) -> None:
    """Write a scan to a CXI file, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file; a file that is there is replaced when the new one is complete.
    scan : Scan
        Patterns in a file are copied in blocks. Where the scan has no geometry the file carries nominal
        numbers that make an object pixel of 1 nm, marked by an attribute ``nominal``.

    Raises
    ------
    ValueError
        If the path cannot be written, or patterns cannot be read.
    """
    with writing(path, scan.title, "data_1") as writer:
        _write_patterns(writer, scan)
        write_beside_patterns(writer, scan)


def write_beside_patterns(writer: Hdf5Writer, scan: Scan) -> None:
    """Write all of a scan but its patterns, which are in the file already."""
    _write_detector(writer, scan)
    _write_geometry(writer, scan)
    words = {"guess": not scan.probe_known, "found": scan.probe_found}
    writer.probe(scan.probe, **{word: True for word, holds in words.items() if holds})
    _write_fluorescence(writer, scan)
    if scan.truth:
        writer.group(f"{ENTRY}/truth_1", "NXcollection")
    for name in TRUE_ARRAYS:
        if name in scan.truth:
            place = f"{ENTRY}/truth_1/{name}"
            _write_blocks(writer, place, scan.truth[name], interpretation="image")
            writer.note_optional(place)


def _write_blocks(writer: Hdf5Writer, name: str, values: Any, **options: Any) -> None:
    """Write an array that may be in another file, a few rows at a time."""
    dataset = writer.create(name, values.shape, values.dtype, **options)
    for index in blocks_of_rows(values.shape):
        dataset[index] = np.asarray(values[index])


def create_patterns(
    writer: Hdf5Writer, shape: tuple[int, int, int], dtype: Any, *, resizable: bool = False
) -> h5py.Dataset:
    """Create the dataset of the patterns (N, m, m), to be filled in whole chunks.

    A chunk that is filled in two steps is compressed twice. With `resizable` there may be fewer in the end.
    """
    writer.group(DETECTOR, "NXdetector")
    chunk = patterns_in_chunk(shape, dtype), *shape[1:]
    return writer.create(
        PATTERNS, shape, dtype, chunks=chunk, compress=True, resizable=resizable, interpretation="image"
    )


def patterns_in_chunk(shape: tuple[int, int, int], dtype: Any) -> int:
    """Return how many patterns a chunk has."""
    return min(max(CHUNK_BYTES // (shape[1] * shape[2] * np.dtype(dtype).itemsize), 1), shape[0])


def _write_patterns(writer: Hdf5Writer, scan: Scan) -> None:
    shape, dtype = (scan.N, scan.m, scan.m), np.dtype(scan.patterns.dtype)
    dataset, in_chunk = create_patterns(writer, shape, dtype), patterns_in_chunk(shape, dtype)
    block = in_chunk * max(BLOCK_BYTES // (scan.m * scan.m * dtype.itemsize * in_chunk), 1)
    for first in range(0, scan.N, block):
        last = min(first + block, scan.N)
        dataset[first:last] = np.asarray(scan.patterns[first:last])


def _write_detector(writer: Hdf5Writer, scan: Scan) -> None:
    if scan.mask is not None:
        each = len(scan.mask.shape) == 3
        masks = writer.create(MASK, scan.mask.shape, np.uint32, compress=each, interpretation="image")
        for index in blocks_of_rows(scan.mask.shape):
            masks[index] = ~np.asarray(scan.mask[index])
        writer.note_optional(MASK)
    writer.optional(f"{DETECTOR}/count_scale", scan.count_scale)
    writer.optional(f"{DETECTOR}/pattern_background", scan.pattern_background)
    writer.array(EXPOSURE, scan.exposure)
    # Diffraction patterns show little on a linear scale.
    writer.group(DATA, "NXdata", signal="data", SILX_style='{"signal_scale_type": "log"}')
    writer.link(f"{DATA}/data", PATTERNS)


def _write_geometry(writer: Hdf5Writer, scan: Scan) -> None:
    geometry = scan.geometry or nominal_geometry(scan.m)
    pixel = geometry.detector_pixel
    for name, value, unit in (
        (f"{SOURCE}/energy", geometry.energy, "J"),
        (f"{SOURCE}/wavelength", geometry.wavelength, "m"),
        (f"{DETECTOR}/distance", geometry.distance, "m"),
        (f"{DETECTOR}/x_pixel_size", pixel, "m"),
        (f"{DETECTOR}/y_pixel_size", pixel, "m"),
    ):
        writer.scalar(name, np.float64(value), units=unit, nominal=scan.geometry is None)
    # Rows run against y and columns against x; the zero frequency is on the axis of the beam.
    writer.array(f"{DETECTOR}/basis_vectors", [[0.0, -pixel, 0.0], [-pixel, 0.0, 0.0]], units="m")
    corner = (scan.m // 2 + 0.5) * pixel
    writer.array(f"{DETECTOR}/corner_position", [corner, corner, geometry.distance], units="m")

    writer.group(SAMPLE, "NXsample")
    writer.group(GEOMETRY, "NXcollection")
    translation = translation_from_positions(scan.positions, geometry.pixel_size(scan.m))
    writer.array(TRANSLATION, translation, units="m")
    writer.array(POSITIONS, scan.positions, units="pixel")
    writer.array(f"{GEOMETRY}/object_shape", np.array(scan.shape, dtype=np.int64))
    for group in (DATA, DETECTOR):
        writer.link(f"{group}/translation", TRANSLATION)


def _write_fluorescence(writer: Hdf5Writer, scan: Scan) -> None:
    group = writer.group(FLUORESCENCE, "NXdata")
    writer.text(f"{FLUORESCENCE}/sampling", scan.sampling or "none")
    writer.text(f"{FLUORESCENCE}/units", scan.units)
    writer.text(f"{FLUORESCENCE}/blur", scan.blur)
    if scan.fluorescence is None:
        return
    group.attrs["signal"] = "data"
    interpretation = "image" if scan.sampling == "grid" else "spectrum"
    _write_blocks(
        writer, f"{FLUORESCENCE}/data", scan.fluorescence, interpretation=interpretation, units=scan.units
    )
    writer.texts(f"{FLUORESCENCE}/element_names", scan.element_names)
    for name in PER_ELEMENT:
        writer.array(f"{FLUORESCENCE}/{name}", getattr(scan, name))
    writer.optional(f"{FLUORESCENCE}/attenuation", scan.given_attenuation)
    writer.optional(f"{FLUORESCENCE}/phase_shift", scan.phase_shift)
    writer.optional(f"{FLUORESCENCE}/count_scale", scan.fluorescence_count_scale)
    writer.optional(f"{FLUORESCENCE}/variance", scan.fluorescence_variance)
    writer.optional(f"{FLUORESCENCE}/sensitivity_error", scan.sensitivity_error)
    if np.array_equal(scan.fluorescence_exposure, scan.exposure):
        writer.link(f"{FLUORESCENCE}/exposure", EXPOSURE)
    else:
        writer.optional(f"{FLUORESCENCE}/exposure", scan.fluorescence_exposure)


def read_scan(
    path: str | os.PathLike[str],
    *,
    swap: bool = False,
    flip_rows: bool = False,
    flip_columns: bool = False,
    frames: str | slice | ArrayLike | None = None,
    negative_to_zero: bool = False,
    check: bool = True,
) -> Scan:
    """Read a scan from a CXI file; patterns, maps, masks of each pattern and true arrays stay in the file.

    They are read as they are sliced: each rank of a reconstruction reads its own part. In files of other
    programs (``ptyxrf formats``), whose positions become pixels, the smallest 0, little has to be there.

    Parameters
    ----------
    path : path-like
        The file.
    swap : bool
        For files of other programs: x and y of the translations are exchanged.
    flip_rows, flip_columns : bool
        For files of other programs: y (x) of the translations has the other sign.
    frames : str, slice, sequence of int or bool, optional
        Which patterns, as in ``Scan.select``; default: all.
    negative_to_zero : bool
        Values of patterns below 0, as after the subtraction of a background, become 0.
    check : bool
        Read maps, masks and true arrays once to see that they are whole (see `Scan.check`). Patterns are
        checked when they are used.

    Returns
    -------
    Scan
        With geometry None if the file says that its geometry is nominal. Detector pixels that are not
        square make positions right in both directions, and no geometry.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        The file is not HDF5, truncated or damaged, or lacks something.
    ValueError
        `swap` or a flip is given for a file that has exact positions.
    """
    with reading(path) as reader:
        if not (reader.own and (swap or flip_rows or flip_columns)):
            arguments = _arguments(reader, (swap, flip_rows, flip_columns))
            if negative_to_zero:
                arguments["patterns"] = ClippedSource(arguments["patterns"])
            scan = Scan(**arguments)
            scan = scan if frames is None else scan.select(frames)
            if check:
                scan.check()
            return scan
    raise ValueError(
        f"{path}: swap, flip_rows and flip_columns are for files of other programs, this one has exact pixel "
        f"positions in {POSITIONS}"
    )


def _arguments(reader: Hdf5Reader, turns: tuple[bool, bool, bool]) -> dict[str, Any]:
    """Return the arguments of the `Scan` in a file of this package or another program."""
    if reader.own:
        return (own := _own_arguments(reader)) | _common_arguments(reader, own["patterns"].shape)
    found = reader_of(reader, "scan").reads(reader)
    if isinstance(found.patterns, PatternFile):
        warn_of_unwritten(found.patterns)
    measured = arguments_of_measured(found, *turns)
    return _common_arguments(reader, found.patterns.shape) | measured


def _patterns(reader: Hdf5Reader) -> PatternFile:
    dataset = reader.dataset(PATTERNS)
    if dataset.ndim != 3 or dataset.shape[1] != dataset.shape[2]:
        raise reader.error(PATTERNS, f"expected square patterns (N, m, m), got shape {dataset.shape}")
    return PatternFile(reader.path, PATTERNS, dataset.shape, dataset.dtype)


def _common_arguments(reader: Hdf5Reader, patterns: tuple[int, ...]) -> dict[str, Any]:
    """Return what files of this package and of others have at the same places, for patterns of a shape."""
    pixels = patterns[-2] * patterns[-1]
    if reader.own:
        reader.dataset(f"{ENTRY}/title")  # which this package has written
    return {
        "mask": _mask(reader, pixels),
        "count_scale": reader.optional(f"{DETECTOR}/count_scale", patterns[0]),
        "pattern_background": reader.optional(f"{DETECTOR}/pattern_background", pixels),
        "title": reader.label(f"{ENTRY}/title"),
        **_fluorescence(reader, patterns[0]),
    }


def _own_arguments(reader: Hdf5Reader) -> dict[str, Any]:
    patterns = _patterns(reader)
    geometry = Geometry(
        reader.number(f"{SOURCE}/energy"),
        reader.number(f"{DETECTOR}/distance"),
        reader.number(f"{DETECTOR}/x_pixel_size"),
    )
    nominal = bool(reader.dataset(f"{SOURCE}/energy").attrs.get("nominal", False))
    places = {name: f"{ENTRY}/truth_1/{name}" for name in TRUE_ARRAYS}
    return {
        "patterns": patterns,
        "positions": reader.array(POSITIONS, 2 * len(patterns)),
        "probe": None
        if reader.dataset(ILLUMINATION).attrs.get("guess")
        else reader.array(ILLUMINATION, MOST_IMAGE_VALUES),
        "probe_found": bool(reader.dataset(ILLUMINATION).attrs.get("found", False)),
        "shape": _object_shape(reader),
        "exposure": reader.array(EXPOSURE, len(patterns)),
        "geometry": None if nominal else geometry,
        "truth": {
            name: _stored(reader, place)
            for name, place in places.items()
            if reader.optional_dataset(place) is not None
        },
    }


def _object_shape(reader: Hdf5Reader) -> tuple[int, int]:
    name = f"{GEOMETRY}/object_shape"
    shape = np.asarray(reader.array(name))
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise reader.error(name, f"expected rows and columns, got {shape.dtype} of shape {shape.shape}")
    return int(shape[0]), int(shape[1])


def _mask(reader: Hdf5Reader, pixels: int) -> Any:
    """Return the mask, or None: read where all patterns share one, lazy where each has its own."""
    if reader.optional_dataset(MASK) is None:
        return None
    dataset = reader.dataset(MASK)
    if dataset.dtype.kind not in "iubf":
        raise reader.error(MASK, f"expected integers, 0 = good, got {dataset.dtype}")
    if dataset.ndim == 3:
        return MaskFile(reader.path, MASK, dataset.shape, dataset.dtype)
    mask = np.asarray(reader.array(MASK, pixels))
    if not np.isfinite(mask).all():
        raise reader.error(MASK, "expected integers, 0 = good, got NaN or infinity")
    return good_pixels(mask)


def _stored(reader: Hdf5Reader, name: str) -> StoredArray:
    """Return a dataset that stays in the file."""
    dataset = reader.dataset(name)
    return StoredArray(reader.path, name, dataset.shape, dataset.dtype)


def _fluorescence(reader: Hdf5Reader, count: int) -> dict[str, Any]:
    """Return the arguments of `Scan` that concern the maps, for a number of patterns."""
    arguments: dict[str, Any] = {}
    for key in ("units", "blur"):
        name = f"{FLUORESCENCE}/{key}"
        if reader.own or reader.optional_dataset(name) is not None:
            arguments[key] = reader.text(name)
    name = f"{FLUORESCENCE}/data"
    data: Any = None
    if reader.own:
        sampling = reader.text(f"{FLUORESCENCE}/sampling")
        dimensions = {"none": 0, "scan": 2, "grid": 3}
        if sampling not in dimensions:
            raise reader.error(
                f"{FLUORESCENCE}/sampling", f"expected {', '.join(dimensions)}, got {sampling!r}"
            )
        if sampling == "none":
            return arguments
        data = _stored(reader, name)
        if data.ndim != dimensions[sampling]:
            raise reader.error(
                name,
                f"expected {dimensions[sampling]} dimensions for {sampling} sampling, got shape {data.shape}",
            )
    elif reader.optional_dataset(name) is not None:
        data = _stored(reader, name)
    else:
        return arguments
    arguments["fluorescence"], elements = data, len(data) if data.ndim else 1
    for key in PER_ELEMENT:
        name = f"{FLUORESCENCE}/{key}"
        arguments[key] = reader.array(name, elements) if reader.own else reader.optional(name, elements)
    for key in ("attenuation", "phase_shift", "sensitivity_error"):
        arguments[key] = reader.optional(f"{FLUORESCENCE}/{key}", elements)
    name = f"{FLUORESCENCE}/element_names"
    if reader.own or reader.optional_dataset(name) is not None:
        arguments["element_names"] = reader.texts(name, elements)
    if reader.own:
        arguments["fluorescence_exposure"] = reader.optional(f"{FLUORESCENCE}/exposure", count)
    arguments["fluorescence_count_scale"] = reader.optional(f"{FLUORESCENCE}/count_scale", elements)
    arguments["fluorescence_variance"] = reader.optional(f"{FLUORESCENCE}/variance", math.prod(data.shape))
    return arguments
