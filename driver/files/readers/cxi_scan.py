"""CXI files of other programs, and NXcxi_ptycho: patterns, translations of the sample, geometry.

cdtools, PtyPy, ptychodus, PyNX and beamlines write them. The probe moves against the translation of the
sample. Where a file has the basis vectors of the detector, rows and columns run along them, as in cdtools;
else along y and x: there programs disagree, and the orientation search decides.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.data.lazy_arrays import blocks_of_rows
from ptyxrf.driver.files.cxi import (
    DATA,
    DETECTOR,
    ENTRY,
    EXPOSURE,
    ILLUMINATION,
    INSTRUMENT,
    PATTERNS,
    SAMPLE,
    SOURCE,
    TRANSLATION,
)
from ptyxrf.driver.files.hdf5_reader import MOST_IMAGE_VALUES, Hdf5Reader
from ptyxrf.driver.files.pattern_file import PatternFile
from ptyxrf.driver.files.readers.quantities import energy, energy_of_wavelength, first_place, length, lengths
from ptyxrf.driver.files.readers.raster_frames import RasterFrames
from ptyxrf.driver.files.readers.reader import MeasuredScan, Reader
from ptyxrf.driver.files.stored_array import StoredArray

#: Where programs put patterns, translations, probe, energy, intensity of the beam and dark frames; the first
#: that is there counts.
PATTERN_PLACES = (f"{DATA}/data", PATTERNS, f"{ENTRY}/data/data")
TRANSLATION_PLACES = (f"{DATA}/translation", TRANSLATION, f"{DETECTOR}/translation")
PROBE_PLACES = (
    ILLUMINATION,
    f"{SOURCE}/probe",
    f"{SOURCE}/data_illumination",
    f"{DATA}/probe",
    f"{SAMPLE}/illumination",
    f"{ENTRY}/image_1/process_1/final_illumination",
    f"{ENTRY}/image_1/probe",
)
ENERGY_PLACES = (f"{SOURCE}/energy", f"{INSTRUMENT}/beam_1/energy")
INTENSITY_PLACES = (
    EXPOSURE, f"{INSTRUMENT}/monitor/data", f"{DATA}/intensities", f"{SAMPLE}/geometry_1/intensities",
    f"{DETECTOR}/intensities",
)  # fmt: skip
BASIS = f"{DETECTOR}/basis_vectors"
#: Sine of the angle between rows and columns of a detector, at least.
LEAST_ANGLE = 0.1
DARK_PLACES = (f"{DETECTOR}/data_dark", f"{DETECTOR}/darkfield")


def _recognises(reader: Hdf5Reader) -> bool:
    return any(reader.has(name) for name in (DETECTOR, SOURCE, "cxi_version"))


def _read(reader: Hdf5Reader) -> MeasuredScan:
    patterns = _patterns(reader)
    count, m = patterns.shape[0], patterns.shape[-1]
    photon, distance, pixels = _energy(reader), _distance(reader), _detector_pixels(reader)
    rows, columns = _places(reader, count)
    # a link to nothing is no scan without a probe
    there = [name for name in PROBE_PLACES if reader.optional_dataset(name) is not None]
    arguments: dict[str, Any] = {"exposure": _exposure(reader, count)}
    if there:
        probe = reader.array(there[0], MOST_IMAGE_VALUES)
        # Programs that have one mode keep it with or without leading axes of length one.
        arguments["probe"] = probe.reshape(-1, *probe.shape[-2:]) if probe.ndim > 3 else probe
    dark = [name for name in DARK_PLACES if reader.has(name)]
    if dark and not reader.has(f"{DETECTOR}/pattern_background"):
        arguments["pattern_background"] = np.clip(_mean_frame(reader, dark[0]), 0, None)
    height, width = pixels
    on_object = [Geometry(photon, distance, pixel).pixel_size(m) for pixel in (height, width)]
    square = bool(np.isclose(height, width, rtol=1e-6, atol=0))
    return MeasuredScan(
        patterns,
        rows=rows,
        columns=columns,
        pixel_size=(on_object[0], on_object[1]),
        energy=photon,
        distance=distance,
        detector_pixel=width if square else None,
        arguments=arguments,
    )


def _patterns(reader: Hdf5Reader) -> Any:
    """Return the patterns; those of a raster (rows, columns, m, m) one after the other."""
    name = first_place(reader, PATTERN_PLACES, "diffraction patterns")
    dataset = reader.dataset(name)
    shape = dataset.shape
    if dataset.ndim not in (3, 4) or shape[-1] != shape[-2]:
        raise reader.error(name, f"expected square patterns (N, m, m), got shape {shape}")
    kind = PatternFile if dataset.ndim == 3 else RasterFrames
    return kind(reader.path, name, shape, dataset.dtype)


def _mean_frame(reader: Hdf5Reader, name: str) -> NDArray[np.float64]:
    """Return the mean of frames (..., rows, columns), which are read a few rows at a time."""
    frames = StoredArray(reader.path, name, reader.dataset(name).shape, reader.dataset(name).dtype)
    if frames.ndim < 2:
        raise reader.error(name, f"expected frames, got shape {frames.shape}")
    total = np.zeros(frames.shape[-2:])
    for index in blocks_of_rows(frames.shape):
        total[index[-1]] += frames[index]
    return total / max(math.prod(frames.shape[:-2]), 1)


def _translation(reader: Hdf5Reader, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y of the sample in metres, one for each pattern."""
    named = [name for name in TRANSLATION_PLACES if reader.has(name)]
    nexus = f"{ENTRY}/data/x", f"{ENTRY}/data/y"
    if not named and all(reader.has(name) for name in nexus):
        x, y = (lengths(reader, name, most=count) for name in nexus)
        if x.ndim == y.ndim == 1 and len(x) * len(y) == count and len(x) != count:
            # NXcxi_ptycho: (npts_x, npts_y, ...)
            x, y = (axis.ravel() for axis in np.meshgrid(x, y, indexing="ij"))
        return x.ravel(), y.ravel()
    name = first_place(reader, TRANSLATION_PLACES, "translations of the sample")
    values = np.asarray(reader.array(name, 3 * count))
    if values.ndim < 2 or values.shape[-1] not in (2, 3) or values.dtype.kind not in "fiu":
        raise reader.error(name, f"expected (N, 3) lengths in metres, got {values.dtype} {values.shape}")
    metres = lengths(reader, name, most=3 * count).reshape(-1, values.shape[-1])
    return metres[:, 0], metres[:, 1]


def _places(reader: Hdf5Reader, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the probe is on the sample along the rows and the columns of the patterns, in metres."""
    x, y = _translation(reader, count)
    if not reader.has(BASIS):
        return -y, -x
    axes = _basis(reader)[:, 1::-1]
    directions = axes / np.abs(axes).max(axis=1, keepdims=True).clip(np.finfo(float).tiny)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True).clip(0.5)
    if abs(np.linalg.det(directions)) < LEAST_ANGLE:
        raise reader.error(BASIS, f"expected vectors that span a plane across the beam, got {axes.tolist()}")
    # the object has the reciprocal basis: for pixels with right angles, the same directions
    rows, columns = np.linalg.solve(directions.T, -np.stack([y, x]))
    return rows, columns


def _basis(reader: Hdf5Reader) -> NDArray[np.float64]:
    """Return the steps (x, y, z) from one row of pixels to the next, and from one column to the next."""
    vectors = lengths(reader, BASIS, most=6)
    if vectors.shape not in ((2, 3), (3, 2)):
        raise reader.error(BASIS, f"expected two vectors in space, got shape {vectors.shape}")
    # One program stores the vectors as the columns of the matrix.
    return vectors if vectors.shape == (2, 3) else vectors.T


def _exposure(reader: Hdf5Reader, count: int) -> Any:
    """Return the intensity of the beam at each pattern relative to its mean, or None."""
    for name in INTENSITY_PLACES:
        if reader.optional_dataset(name) is not None:
            if name != EXPOSURE and reader.dataset(name).size != count:
                continue
            values = np.ravel(reader.array(name, count))
            if values.dtype.kind not in "fiu":
                raise reader.error(name, f"expected real numbers, got {values.dtype}")
            values = values.astype(np.float64)
            if values.size == count and (values > 0).all() and np.isfinite(values).all():
                return values / values.mean()
            if name == EXPOSURE and values.size > 1:
                return values  # which Scan refuses with a message
    return None


def _energy(reader: Hdf5Reader) -> float:
    """Return the photon energy in joules."""
    for name in ENERGY_PLACES:
        if reader.has(name):
            return energy(reader, name)
    name = f"{SOURCE}/wavelength"
    if not reader.has(name):
        raise reader.error(ENERGY_PLACES[0], f"no such dataset in the file (also looked for {name})")
    return energy_of_wavelength(reader, name)


def _distance(reader: Hdf5Reader) -> float:
    """Return the distance of the detector in metres."""
    name, corner = f"{DETECTOR}/distance", f"{DETECTOR}/corner_position"
    if reader.has(name) or not reader.has(corner):
        return abs(length(reader, name))
    return abs(float(lengths(reader, corner).ravel()[-1]))


def _detector_pixels(reader: Hdf5Reader) -> tuple[float, float]:
    """Return height and width of a detector pixel in metres."""
    height, width = f"{DETECTOR}/y_pixel_size", f"{DETECTOR}/x_pixel_size"
    if not reader.has(width) and not reader.has(height) and reader.has(BASIS):
        slow, fast = _basis(reader)
        return float(np.linalg.norm(slow)), float(np.linalg.norm(fast))
    present = [name for name in (height, width) if reader.has(name)] or [width]
    return length(reader, present[0]), length(reader, present[-1])


READERS = (
    Reader(
        "CXI",
        "cdtools, PtyPy, ptychodus, PyNX; NXcxi_ptycho",
        "scan",
        "patterns, translations, geometry; probe, mask, dark frames, maps where they are there",
        _recognises,
        _read,
    ),
)
