"""Scans of the Hard X-ray Nanoprobe at NSLS-II, in the old layout (diffamp) and the new one (dp).

``ptycho_gui`` writes square roots of counts, with the zero frequency at the corner, and multiplies the
positions by -1; ``holoptycho`` writes counts with the zero frequency in the middle, and the signs beside
them. Both have positions (2, N) in micrometres, x first, and the angle of the sample, by whose cosine x is
shorter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import PLANCK_TIMES_C, Geometry
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.pattern_file import PatternFile
from ptyxrf.driver.files.readers.reader import MeasuredScan, Reader


class SquaredAmplitudes(PatternFile):
    """Amplitudes with the zero frequency at [0, 0], as intensities with it in the middle."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.dtype = np.dtype(np.float32)

    def _read(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        amplitudes = super()._read(indices).astype(np.float32)
        return np.fft.fftshift(amplitudes**2, axes=(1, 2))


def _read(reader: Hdf5Reader) -> MeasuredScan:
    old = reader.has("/diffamp")
    name = "/diffamp" if old else "/dp"
    dataset = reader.dataset(name)
    if dataset.ndim != 3 or dataset.shape[1] != dataset.shape[2]:
        raise reader.error(name, f"expected square patterns (N, m, m), got shape {dataset.shape}")
    kind = SquaredAmplitudes if old else PatternFile
    patterns = kind(reader.path, name, dataset.shape, dataset.dtype)
    points = np.asarray(reader.array("/points", 2 * len(patterns)), np.float64)
    if points.shape != (2, len(patterns)):
        raise reader.error("/points", f"expected (2, {len(patterns)}) micrometres, got shape {points.shape}")
    wavelength = 1e-9 * _number(reader, "lambda_nm")
    distance, pixel = _number(reader, "z_m"), 1e-6 * _number(reader, "ccd_pixel_um")
    if min(wavelength, distance, pixel) <= 0:
        raise reader.error("lambda_nm", "expected lambda_nm, z_m and ccd_pixel_um above 0")
    angle = np.deg2rad(_number(reader, "angle", 0.0))
    # beyond 45 degrees the other motor of the stage moves the sample sideways
    shorter = abs(np.cos(angle)) if abs(angle) <= np.pi / 4 else abs(np.sin(angle))
    signs = [_number(reader, f"{axis}_direction", -1.0) for axis in "xy"]
    geometry = Geometry(PLANCK_TIMES_C / wavelength, distance, pixel)
    size = geometry.pixel_size(patterns.shape[-1])
    return MeasuredScan(
        patterns,
        rows=1e-6 * signs[1] * points[1],
        columns=1e-6 * signs[0] * shorter * points[0],
        pixel_size=(size, size),
        energy=geometry.energy,
        distance=distance,
        detector_pixel=pixel,
    )


def _number(reader: Hdf5Reader, name: str, default: float | None = None) -> float:
    """Return a number that is a dataset or an attribute of the file or of the patterns."""
    if reader.has(name):
        return reader.number(name)
    for item in (reader.file, reader.file.get("dp") if reader.has("/dp") else None):
        if item is not None and name in item.attrs:
            return float(np.ravel(item.attrs[name])[0])
    if default is None:
        raise reader.error(name, "no such dataset or attribute in the file")
    return default


READERS = (
    Reader(
        "HXN",
        "ptycho_gui (diffamp, points), holoptycho (dp, points)",
        "scan",
        "patterns, positions, geometry",
        lambda reader: reader.has("/points") and (reader.has("/diffamp") or reader.has("/dp")),
        _read,
    ),
)
