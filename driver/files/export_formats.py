"""Results in the formats of other programs: TIFF, NPZ, PtyPy's .ptyr, ptychodus' product."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import JOULES_PER_KEV, Geometry
from ptyxrf.driver.files.guarded_disk import open_to_write
from ptyxrf.driver.files.output_names import named_after
from ptyxrf.driver.files.whole_file import whole_file


@dataclass(frozen=True)
class ExportedFields:
    """What is written of a result.

    Attributes
    ----------
    object : (n_rows, n_cols) array of complex
        As reconstructed.
    amplitude, phase : (n_rows, n_cols) array of float32
        Modulus; phase in radians, without ramp and unwrapped. 0 where the object was not illuminated.
    elements : dict of str to (n_rows, n_cols) array of float
        The map of the matrix, where the link has one, as "matrix".
    units : str
        Of the elements.
    probe : (K, m, m) array of complex
    positions : (N, 2) array of float64, or None
        (row, column) of the window's first pixel, refined where positions were refined.
    pixel_size : float or None
        In metres.
    geometry : Geometry or None
    deviations : dict of str to array of float
        Standard deviations of amplitude, phase, the elements by name, probe and positions; empty where there
        are none.
    """

    object: NDArray
    amplitude: NDArray[np.float32]
    phase: NDArray[np.float32]
    elements: Mapping[str, NDArray]
    units: str
    probe: NDArray
    positions: NDArray[np.float64] | None
    pixel_size: float | None
    geometry: Geometry | None
    deviations: Mapping[str, NDArray] = field(default_factory=dict)

    def metres(self) -> NDArray[np.float64]:
        """Return the centres of the probe, (y, x) from the middle of the object in metres; else in pixels."""
        if self.positions is None:
            return np.zeros((0, 2))
        middle = np.array(self.object.shape) / 2
        return (self.positions + self.probe.shape[-1] / 2 - middle) * (self.pixel_size or 1.0)


def write_positions(path: Path, fields: ExportedFields) -> Path:
    """Write positions as CSV: row and column in pixels, and y and x of the probe's centre."""
    unit = "m" if fields.pixel_size else "px"
    columns, header = [fields.positions, fields.metres()], f"row,column,y_{unit},x_{unit}"
    if "positions" in fields.deviations:
        columns.append(fields.deviations["positions"])
        header += ",row_deviation,column_deviation"
    table = np.column_stack(columns)  # type: ignore[arg-type]
    with whole_file(path) as temporary:
        np.savetxt(temporary, table, fmt="%.12g", delimiter=",", header=header, comments="")
    return path


def write_tiff(result: Path, fields: ExportedFields) -> list[Path]:
    """Write a picture of 32-bit real numbers for each quantity; ImageJ shows the scale."""
    try:
        import tifffile
    except ImportError:
        raise ValueError("--to tiff: needs tifffile (pip install ptyxrf[tiff])") from None
    images = {"amplitude": fields.amplitude, "phase": fields.phase, **fields.elements}
    images |= {"probe-amplitude": np.abs(fields.probe), "probe-phase": np.angle(fields.probe)}
    pictures = {name: values for name, values in fields.deviations.items() if name != "positions"}
    images |= {f"{name}-deviation": values for name, values in pictures.items() if values.ndim > 1}
    how: dict = {}
    if fields.pixel_size:
        per_micrometre = 1e-6 / fields.pixel_size
        how = {"resolution": (per_micrometre, per_micrometre)}
    paths = []
    for name, image in images.items():
        of = name.removesuffix("-deviation")
        units = {"amplitude": "1", "phase": "rad"}.get(of, fields.units if of in fields.elements else "")
        path = named_after(result, f"-{name.replace('/', '_')}.tif")
        labels = [f"{name} {units}".strip()] * (len(image) if image.ndim == 3 else 1)
        metadata = {"unit": "um" if fields.pixel_size else "pixel", "Labels": labels}
        with whole_file(path) as temporary:
            tifffile.imwrite(temporary, image.astype(np.float32), imagej=True, metadata=metadata, **how)
        paths.append(path)
    return paths


def write_npz(result: Path, fields: ExportedFields) -> list[Path]:
    """Write all arrays to one NPZ file."""
    path = named_after(result, "-export.npz")
    arrays: dict[str, NDArray] = {
        "object": fields.object,
        "amplitude": fields.amplitude,
        "phase_rad": fields.phase,
        "probe": fields.probe,
        "element_names": np.array(list(fields.elements), dtype=str),
        "elements": np.array(list(fields.elements.values())),
        "element_units": np.array(fields.units),
        "pixel_size_m": np.array(fields.pixel_size or np.nan),
    }
    arrays |= {f"deviation_of_{name}": values for name, values in fields.deviations.items()}
    if fields.positions is not None:
        arrays |= {"positions_pixels": fields.positions, "positions_yx": fields.metres()}
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return [path]


def write_ptyr(result: Path, fields: ExportedFields) -> list[Path]:
    """Write a PtyPy reconstruction: storages S00G00 of object, probe and positions."""
    path = named_after(result, ".ptyr")
    pixel = fields.pixel_size or 1.0
    with whole_file(path) as temporary, open_to_write(temporary, "w") as file:
        for name, stored in (("obj", fields.object[None]), ("probe", fields.probe)):
            storage = file.create_group(f"content/{name}/S00G00")
            storage["data"] = stored.astype(np.complex64)
            storage["_psize"] = np.full(2, pixel)
            middle = np.array(stored.shape[-2:]) / 2
            storage["_center"], storage["_origin"] = middle, -middle * pixel
            if fields.geometry is not None:
                storage["_energy"] = fields.geometry.energy / JOULES_PER_KEV
        file["content/positions/S00G00"] = fields.metres()
        file["header/kind"] = "minimal"  # which PtyPy looks at before it takes a probe or an object
        file["header/kind"].attrs["type"] = "string"
        file.attrs["creator"] = "ptyxrf"
    return [path]


def write_ptychodus(result: Path, fields: ExportedFields) -> list[Path]:
    """Write a product of ptychodus: metres, positions of the probe's centre, x and y from the middle."""
    path = named_after(result, "-product.h5")
    geometry, pixel = fields.geometry, fields.pixel_size or 1.0
    with whole_file(path) as temporary, open_to_write(temporary, "w") as file:
        attributes: dict[str, float | str] = {
            "name": named_after(result, "").name,
            "comments": "exported by ptyxrf",
            "detector_object_distance_m": geometry.distance if geometry else 0.0,
            "probe_energy_eV": 1e3 * geometry.energy / JOULES_PER_KEV if geometry else 0.0,
            "probe_photon_count": float(np.sum(np.abs(fields.probe) ** 2)),
            "exposure_time_s": 0.0,
            "mass_attenuation_m2_kg": 0.0,
            "tomography_angle_deg": 0.0,
        }
        file.attrs.update(attributes)
        metres = fields.metres()
        file["probe_position_indexes"] = np.arange(len(metres))
        file["probe_position_y_m"], file["probe_position_x_m"] = metres.T
        _image(file, "probe", fields.probe[None], pixel)
        _image(file, "object", fields.object[None], pixel)
        file["object"].attrs.update({"center_x_m": 0.0, "center_y_m": 0.0})
        file["object_layer_spacing_m"] = np.zeros(0)
        file["opr_weights"] = np.ones((len(metres), 1))
        file["loss_values"], file["loss_epochs"] = np.zeros(0), np.zeros(0, int)
    return [path]


def _image(file: h5py.File, name: str, values: NDArray, pixel: float) -> None:
    file[name] = values
    file[name].attrs.update({"pixel_width_m": pixel, "pixel_height_m": pixel})


#: How a result is written in each format; returns the files.
WRITERS: dict[str, Callable[[Path, ExportedFields], list[Path]]] = {
    "tiff": write_tiff,
    "npz": write_npz,
    "ptyr": write_ptyr,
    "ptychodus": write_ptychodus,
}
