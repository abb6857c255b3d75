"""Datasets that claim to be larger than what they belong to."""

import h5py
import numpy as np
import pytest
from scans import joint_scan

from ptyxrf.driver.files.scan_file import read_scan, write_scan


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("instrument_1/detector_1/mask", 256),
        ("instrument_1/detector_1/pattern_background", 256),
        ("sample_1/geometry_1/positions", 72),
        ("instrument_1/detector_1/exposure", 36),
        ("fluorescence_1/background", 2),
        ("fluorescence_1/element_names", 2),
    ],
)
def test_arrays_larger_than_the_scan_needs_are_not_read(tmp_path, name, most):
    """Of zeros that take a few kilobytes."""
    scan = joint_scan()
    scan = scan.replace(mask=np.ones((scan.m,) * 2, bool), pattern_background=np.zeros((scan.m,) * 2))
    write_scan(tmp_path / "scan.h5", scan)
    place = f"/entry_1/{name}"
    with h5py.File(tmp_path / "scan.h5", "r+") as file:
        there = file[place]
        shape, dtype = (1000 * there.shape[0], *there.shape[1:]), there.dtype
        assert there.size == most
        del file[place]
        file.create_dataset(place, data=np.zeros(shape, dtype), compression="gzip")
    with pytest.raises(ValueError, match=rf"{name}: expected at most {most} values, got the shape \("):
        read_scan(tmp_path / "scan.h5")
