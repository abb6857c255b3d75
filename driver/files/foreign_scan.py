"""CXI files of other programs: where they keep what a scan needs, and what their positions mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.geometry import PLANCK_TIMES_C, Geometry
from ptyxrf.driver.files.cxi import (
    DATA,
    DETECTOR,
    ENTRY,
    EXPOSURE,
    ILLUMINATION,
    PATTERNS,
    SAMPLE,
    SOURCE,
    TRANSLATION,
)
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader

#: Where other programs put the patterns, the translations and the probe; the first that is there counts.
PATTERN_PLACES = (f"{DATA}/data", PATTERNS)
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


def first_place(reader: Hdf5Reader, places: tuple[str, ...], what: str) -> str:
    """Return the first of the places where there is a dataset."""
    for name in places:
        if reader.has(name):
            return name
    raise reader.error(
        places[0], f"no such dataset in the file ({what}; also looked in {', '.join(places[1:])})"
    )


def positions_from_translation(
    translation: ArrayLike,
    pixel_size: tuple[float, float],
    *,
    swap: bool = False,
    flip_rows: bool = False,
    flip_columns: bool = False,
) -> NDArray[np.float64]:
    """Return positions of the probe window for translations of the sample.

    Parameters
    ----------
    translation : (N, 2) or (N, 3) array of float
        (x, y, z) of the sample in metres.
    pixel_size : (float, float)
        Height and width of a pixel of the object grid in metres.
    swap : bool
        The file has x and y exchanged.
    flip_rows, flip_columns : bool
        The file has the other sign in y (x).

    Returns
    -------
    (N, 2) array of float64
        row = -y / height, column = -x / width, in pixels, shifted so that the smallest of each is 0.
    """
    array = np.asarray(translation, dtype=np.float64)[:, :2]
    x, y = (array[:, 1], array[:, 0]) if swap else (array[:, 0], array[:, 1])
    with np.errstate(all="ignore"):  # pixels may be of any size; who asks looks at what is not finite
        rows = (1.0 if flip_rows else -1.0) * y / pixel_size[0]
        columns = (1.0 if flip_columns else -1.0) * x / pixel_size[1]
        return np.stack([rows - rows.min(), columns - columns.min()], axis=1)


def foreign_arguments(
    reader: Hdf5Reader, m: int, swap: bool, flip_rows: bool, flip_columns: bool
) -> dict[str, Any]:
    """Return the arguments of a `Scan` that a file of another program has; parameters as of `read_scan`."""
    probe = reader.array(first_place(reader, PROBE_PLACES, "the probe"))
    name = first_place(reader, TRANSLATION_PLACES, "translations of the sample")
    translation = np.asarray(reader.array(name))
    if translation.ndim != 2 or translation.shape[1] not in (2, 3) or translation.dtype.kind not in "fiu":
        raise reader.error(
            name, f"expected (N, 3) lengths in metres, got {translation.dtype} {translation.shape}"
        )
    if not np.isfinite(translation).all():
        raise reader.error(name, "expected finite lengths in metres, got NaN or infinity")
    energy, distance = _energy(reader), _distance(reader)
    height, width = _detector_pixels(reader)
    pixels = (
        Geometry(energy, distance, height).pixel_size(m),
        Geometry(energy, distance, width).pixel_size(m),
    )
    square = bool(np.isclose(height, width, rtol=1e-6, atol=0))
    positions = positions_from_translation(
        translation, pixels, swap=swap, flip_rows=flip_rows, flip_columns=flip_columns
    )
    if not np.isfinite(positions).all():
        raise reader.error(
            name,
            f"expected lengths that are finite in pixels of the object, which energy, distance and detector "
            f"make {pixels[0]:.3g} m x {pixels[1]:.3g} m",
        )
    return {
        "positions": positions,
        # Programs that have one mode keep it with or without leading axes of length one.
        "probe": probe.reshape(-1, *probe.shape[-2:]) if probe.ndim > 3 else probe,
        "geometry": Geometry(energy, distance, width) if square else None,
        "exposure": reader.optional(EXPOSURE),
    }


def _energy(reader: Hdf5Reader) -> float:
    """Return the photon energy in joules."""
    name = f"{SOURCE}/energy"
    if reader.has(name):
        energy = reader.number(name)
        # A microjoule would be a photon of 6e12 eV: the number is in electronvolts.
        if not 0 < energy < 1e-6:
            raise reader.error(name, f"expected a photon energy in joules, got {energy}")
        return energy
    name = f"{SOURCE}/wavelength"
    if not reader.has(name):
        raise reader.error(f"{SOURCE}/energy", f"no such dataset in the file (also looked for {name})")
    wavelength = reader.number(name)
    if not 0 < wavelength < np.inf:
        raise reader.error(name, f"expected a wavelength in metres, got {wavelength}")
    return PLANCK_TIMES_C / wavelength


def _distance(reader: Hdf5Reader) -> float:
    """Return the distance of the detector in metres."""
    name, corner = f"{DETECTOR}/distance", f"{DETECTOR}/corner_position"
    if reader.has(name) or not reader.has(corner):
        return abs(reader.number(name))
    return abs(float(np.ravel(reader.array(corner))[-1]))


def _detector_pixels(reader: Hdf5Reader) -> tuple[float, float]:
    """Return height and width of a detector pixel in metres."""
    height, width, basis = (
        f"{DETECTOR}/{name}" for name in ("y_pixel_size", "x_pixel_size", "basis_vectors")
    )
    if not reader.has(width) and not reader.has(height) and reader.has(basis):
        vectors = np.asarray(reader.array(basis))
        if vectors.shape not in ((2, 3), (3, 2)):
            raise reader.error(basis, f"expected two vectors in space, got shape {vectors.shape}")
        # Rows first; one program stores the vectors as the columns of the matrix.
        slow, fast = vectors if vectors.shape == (2, 3) else vectors.T
        return float(np.linalg.norm(slow)), float(np.linalg.norm(fast))
    present = [name for name in (height, width) if reader.has(name)] or [width]
    return reader.number(present[0]), reader.number(present[-1])
