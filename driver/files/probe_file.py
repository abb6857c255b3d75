"""The probe of a file: of a result, of a scan, or of a reconstruction by another program."""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.hdf5_reader import MOST_IMAGE_VALUES, Hdf5Reader, reading
from ptyxrf.driver.files.readers.cxi_scan import PROBE_PLACES

#: Where results of PtyPy (.ptyr) have the probe of each scan, below a name of its own.
PTYPY = "/content/probe"


def read_probe(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the modes of a probe.

    Parameters
    ----------
    path : path-like
        A result or scan file, a CXI file, a result of PtyPy (.ptyr), a product of ptychodus, or a MATLAB file
        (v7.3) with a variable "probe", whose axes are reversed in HDF5.

    Returns
    -------
    (K, m, m) array of complex

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        The file has no probe.
    """
    with reading(path) as reader:
        name = _place(reader)
        probe = np.asarray(reader.array(name, MOST_IMAGE_VALUES))
        if "MATLAB_class" in reader.file[name].attrs:
            # rows, columns, modes, and what varies over the scan
            probe = np.swapaxes(probe, -1, -2)
        if probe.dtype.kind != "c" or probe.ndim < 2 or probe.shape[-1] != probe.shape[-2]:
            raise reader.error(name, f"expected a complex probe (K, m, m), got {probe.dtype} {probe.shape}")
        return probe.reshape(-1, *probe.shape[-3:])[0] if probe.ndim > 2 else probe[None]


def _place(reader: Hdf5Reader) -> str:
    """Return the dataset of the probe."""
    for name in (*PROBE_PLACES, "/probe"):
        if reader.has(name) and isinstance(reader.file[name], h5py.Dataset):
            return name
    if reader.has(PTYPY):
        storages = reader.members(PTYPY)
        if storages:
            return f"{PTYPY}/{storages[0]}/data"
    raise reader.error(PROBE_PLACES[0], f"no probe in the file (also looked for /probe and {PTYPY})")
