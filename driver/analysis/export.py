"""A result for other programs: `export_result`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.checks import one_of
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.export_formats import WRITERS, ExportedFields, write_positions
from ptyxrf.driver.files.output_names import named_after
from ptyxrf.driver.files.result_file import read_placement, read_result
from ptyxrf.driver.files.scan_file import read_scan
from ptyxrf.driver.reconstruction.alignment import without_null_directions
from ptyxrf.driver.reconstruction.illumination import illuminated_area
from ptyxrf.kernels.phase_unwrapping import unwrapped_phase


def exported_fields(
    result: Result, scan: Scan | None, *, names: list[str], pixel_size: float | None, units: str
) -> ExportedFields:
    """Return what is written of a result.

    Parameters
    ----------
    result : Result
        A whole one.
    scan : Scan, optional
        Its positions tell where the object is known; without them it is all of it.
    names : list of str
        Of the elements.
    pixel_size : float, optional
        In metres.
    units : str
        Of the elements.
    """
    field = np.asarray(result.object, dtype=np.complex128)
    area = np.ones(field.shape, bool) if scan is None else illuminated_area(scan, result.probe)
    flat = without_null_directions(field, area, ramp=True)
    positions = result.positions if result.positions is not None or scan is None else scan.positions
    matrix = {} if result.matrix is None else {"matrix": result.matrix}
    return ExportedFields(
        object=result.object,
        amplitude=np.where(area, np.abs(field), 0).astype(np.float32),
        phase=np.where(area, unwrapped_phase(flat, area), 0).astype(np.float32),
        elements=dict(zip(names, result.elements, strict=True)) | matrix,
        units=units,
        probe=result.probe,
        positions=positions,
        pixel_size=pixel_size,
        geometry=None if scan is None else scan.geometry,
        deviations=_deviations(result, names),
    )


def _deviations(result: Result, names: list[str]) -> dict[str, NDArray[np.float64]]:
    """Return the standard deviations that a result has, those of elements by name."""
    if result.uncertainty is None:
        return {}
    arrays = dict(result.uncertainty.arrays)
    return arrays | dict(zip(names, arrays.pop("elements", ()), strict=False))


def export_result(
    path: str | os.PathLike[str],
    to: str,
    *,
    scan: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    units: str = "w",
) -> list[Path]:
    """Write a result in the format of another program, and its positions as CSV.

    Parameters
    ----------
    path : path-like
        The result file.
    to : {"tiff", "npz", "ptyr", "ptychodus"}
        Pictures of 32-bit numbers; arrays; PtyPy; ptychodus.
    scan : path-like, optional
        The scan, for the area where the object is known and for energy and distance.
    out : path-like, optional
        Name from which those of the files are made; default: that of the result.
    units : str
        Of the element maps.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ValueError
        The format is not known, or a file cannot be read or written.
    """
    writer = WRITERS[one_of("to", to, tuple(WRITERS))]
    placement = read_placement(path)
    result = read_result(path)
    data = None if scan is None else read_scan(scan, check=False)
    if data is not None and data.shape != result.object.shape:
        raise ValueError(
            f"scan: expected that of the result, with an object of {result.object.shape}, got {data.shape}"
        )
    fields = exported_fields(
        result, data, names=placement.names, pixel_size=placement.pixel_size, units=units
    )
    if fields.positions is None:
        fields = replace(fields, positions=placement.positions)
    target = Path(path if out is None else out)
    files = writer(target, fields)
    if fields.positions is not None:
        files.append(write_positions(named_after(target, "-positions.csv"), fields))
    return files
