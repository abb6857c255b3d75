"""Scans and maps written by the programs themselves, where they are installed.

Each function takes what those of `tests/foreign_scans.py` or `tests/foreign_maps.py` do, and raises
ImportError without its program.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from foreign_scans import KEV, metres
from numpy.typing import NDArray

import ptyxrf


def cdtools(scan: ptyxrf.Scan, folder: Path) -> Path:
    """A dataset of cdtools: translations of the probe, rows along -y, columns along -x."""
    from cdtools.datasets import Ptycho2DDataset

    geometry, (y, x) = scan.geometry, metres(scan)
    basis = -geometry.detector_pixel * np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    dataset = Ptycho2DDataset(
        np.stack([-x, -y, 0 * x], axis=1),
        np.asarray(scan.patterns, np.float32),
        wavelength=geometry.wavelength,
        detector_geometry={"distance": geometry.distance, "basis": basis, "corner": None},
        mask=np.ones((scan.m, scan.m), bool),
    )
    dataset.to_cxi(str(folder / "dataset.cxi"))
    return folder / "dataset.cxi"


def _product(scan: ptyxrf.Scan) -> Any:
    """Return a product of ptychodus."""
    from ptychodus.api.geometry import PixelGeometry
    from ptychodus.api.object import Object, ObjectCenter
    from ptychodus.api.probe import ProbeSequence
    from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
    from ptychodus.api.product import Product, ProductMetadata

    geometry, pixel = scan.geometry, PixelGeometry(scan.pixel_size, scan.pixel_size)
    metadata = ProductMetadata(
        "scan", "", geometry.distance, 1e3 * geometry.energy / KEV, float(np.sum(np.abs(scan.probe) ** 2)),
        0.1, 0.0, 0.0,
    )  # fmt: skip
    points = [ProbePosition(j, x, y) for j, (y, x) in enumerate(metres(scan).T)]
    return Product(
        metadata,
        ProbePositionSequence(points),
        ProbeSequence(np.asarray(scan.probe, complex), None, pixel),
        Object(np.ones(scan.shape, complex), pixel, ObjectCenter(0.0, 0.0)),
        [],
    )


def ptychodus(scan: ptyxrf.Scan, folder: Path) -> Path:
    """Product and patterns in HDF5."""
    from ptychodus.api.assemble import AssembledDiffractionData
    from ptychodus.api.geometry import PixelGeometry
    from ptychodus.api.io import save_diffraction_data, save_product

    product, pixel = _product(scan), scan.geometry.detector_pixel
    save_product(folder / "product.h5", product)
    patterns = AssembledDiffractionData(
        np.arange(scan.N), np.asarray(scan.patterns), PixelGeometry(pixel, pixel),
        np.zeros((scan.m, scan.m), bool),
    )  # fmt: skip
    save_diffraction_data(folder / "diffraction.h5", patterns)
    return folder / "product.h5"


def _patterns(scan: ptyxrf.Scan) -> Any:
    """Return patterns of ptychodus."""
    from ptychodus.api.diffraction import (
        DiffractionMetadata,
        SimpleDiffractionArray,
        SimpleDiffractionDataset,
    )
    from ptychodus.api.geometry import ImageExtent

    patterns = np.asarray(scan.patterns)
    metadata = DiffractionMetadata(
        num_patterns_per_array=[scan.N], pattern_dtype=patterns.dtype,
        detector_extent=ImageExtent(scan.m, scan.m),
    )  # fmt: skip
    array = SimpleDiffractionArray("scan", np.arange(scan.N), patterns)
    return SimpleDiffractionDataset(metadata, None, [array])


def ptychodus_npz(scan: ptyxrf.Scan, folder: Path) -> Path:
    """Product and patterns in NPZ."""
    from ptychodus.plugins.npz_diffraction_file import NPZDiffractionFileIO
    from ptychodus.plugins.npz_product_file import NPZProductFileIO

    NPZProductFileIO().write(folder / "product.npz", _product(scan))
    NPZDiffractionFileIO().write(folder / "patterns.npz", _patterns(scan))
    return folder / "product.npz"


def ptychodus_cxi(scan: ptyxrf.Scan, folder: Path) -> Path:
    """Product and patterns in CXI."""
    from ptychodus.plugins.cxi_file import CXIDiffractionFileWriter, CXIProductFileIO

    CXIProductFileIO().write(folder / "product.cxi", _product(scan))
    CXIDiffractionFileWriter().write(folder / "diffraction.cxi", _patterns(scan))
    return folder / "product.cxi"


def pyxrf(
    folder: Path,
    areas: NDArray[np.float64],
    names: tuple[str, ...],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
) -> Path:
    """Raw data of PyXRF with positions and scalers, and the fit of the summed detector added to it."""
    from pyxrf.model.fileio import save_fitdata_to_hdf
    from pyxrf.model.load_data_from_db import save_data_to_hdf5

    path, shape = folder / "scan2D_1.h5", areas.shape[1:]
    data = {
        "det_sum": np.ones((*shape, 4096), np.float32),
        "scaler_names": ["i0"],
        "scaler_data": np.full((*shape, 1), 1e5),
        "pos_names": ["x_pos", "y_pos"],
        "pos_data": 1e6 * np.stack([x, y]),
    }
    save_data_to_hdf5(str(path), data, create_each_det=False)
    save_fitdata_to_hdf(str(path), dict(zip(names, areas, strict=True)))
    return path
