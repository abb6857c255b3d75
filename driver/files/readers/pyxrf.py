"""Maps of PyXRF (NSLS-II): areas of the lines fitted to the summed detector, scalers and positions.

``xrfmap/detsum/xrf_fit`` comes of the sum of the detectors' spectra, so its areas are counts of all of them.
"""

from __future__ import annotations

import numpy as np

from ptyxrf.driver.data.count_maps import CountMaps
from ptyxrf.driver.data.unit_tables import LENGTHS, plain_unit
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.readers.map_arrays import NO_ELEMENTS, Images, images_of
from ptyxrf.driver.files.readers.reader import MapsWanted, Reader

GROUP = "/xrfmap"


def _read(reader: Hdf5Reader, wanted: MapsWanted) -> CountMaps:
    detector = wanted.fits if isinstance(wanted.fits, str) else "detsum"
    kind = "xrf_roi" if wanted.fits is False else "xrf_fit"
    name = f"{GROUP}/{detector}/{kind}"
    if not reader.has(name):
        there = [f"{group}/{key}" for group in reader.members(GROUP) for key in ("xrf_fit", "xrf_roi")]
        there = [place for place in there if reader.has(f"{GROUP}/{place}")]
        raise reader.error(
            name, f"no maps in the file (fit it in PyXRF); it has {', '.join(there) or 'none'}"
        )
    values, names = images_of(reader, name), reader.texts(f"{name}_name")
    if len(names) != len(values):
        raise reader.error(f"{name}_name", f"expected {len(values)} names, got {len(names)}")
    chosen = [e for e, text in enumerate(names) if _is_element(text)]
    y, x = _axes(reader, values.shape[1:], wanted.axis_unit)
    return CountMaps(
        element_names=[names[e] for e in chosen],
        counts=values[chosen],
        x=x,
        y=y,
        scalers=_scalers(reader, values.shape[1:]),
        scaler_units={},
        units=["counts"] * len(chosen),
        title=f"{reader.path} {detector}/{kind}",
        notes=["areas in counts of the summed detectors" if detector == "detsum" else "areas in counts"],
    )


def _is_element(name: str) -> bool:
    return name.lower() not in NO_ELEMENTS and not name.startswith(
        ("Userpeak", "compton", "elastic", "background")
    )


def _scalers(reader: Hdf5Reader, shape: tuple[int, ...]) -> dict[str, Images]:
    """Return the scalers, whose last axis in the file is their number."""
    name = f"{GROUP}/scalers/val"
    if not reader.has(name):
        return {}
    values, names = images_of(reader, name), reader.texts(f"{GROUP}/scalers/name")
    if values.shape != (*shape, len(names)):
        raise reader.error(name, f"expected {len(names)} scalers on {shape} points, got shape {values.shape}")
    return {key: values[..., i].copy() for i, key in enumerate(names)}


def _axes(reader: Hdf5Reader, shape: tuple[int, ...], unit: str | None) -> tuple[Images, Images]:
    """Return y and x in metres: the medians of the lines; point numbers where the file has no positions."""
    name = f"{GROUP}/positions/pos"
    if not reader.has(name):
        return np.arange(shape[0], dtype=np.float64), np.arange(shape[1], dtype=np.float64)
    pos, names = images_of(reader, name), reader.texts(f"{GROUP}/positions/name")
    if pos.shape != (len(names), *shape) or not {"x_pos", "y_pos"} <= set(names):
        raise reader.error(name, f"expected x_pos and y_pos on {shape} points, got {names} {pos.shape}")
    word = unit or reader.unit(name) or "um"
    if plain_unit(word) not in LENGTHS:
        raise reader.error(name, f"expected a unit of length, got {word!r}")
    metres = np.nan_to_num(pos) * LENGTHS[plain_unit(word)]
    return np.median(metres[names.index("y_pos")], axis=1), np.median(metres[names.index("x_pos")], axis=0)


READERS = (
    Reader(
        "PyXRF",
        "PyXRF (NSLS-II: HXN, SRX, TES)",
        "maps",
        "areas of fitted lines or regions, scalers, positions",
        lambda reader: reader.has(GROUP),
        _read,
    ),
)
