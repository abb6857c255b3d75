"""Frames that were never written, in chunks and in virtual datasets."""

import warnings

import h5py
import numpy as np
import pytest
from file_examples import write_foreign
from scan_examples import example_scan

from ptyxrf.driver.files.scan_file import read_scan
from ptyxrf.driver.files.unwritten_frames import unwritten_frames

PLACE = "/entry_1/data_1/data"


def test_chunks(tmp_path):
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        whole = file.create_dataset("whole", data=np.ones((7, 4, 4)), chunks=(2, 4, 2))
        part = file.create_dataset("part", (7, 4, 4), float, chunks=(2, 4, 2))
        part[:4], part[4:6, :, :2] = 1, 1
        plain = file.create_dataset("plain", data=np.ones((7, 4)))
        assert unwritten_frames(whole).tolist() == [] and unwritten_frames(plain).tolist() == []
        assert unwritten_frames(part).tolist() == [4, 5, 6]


def test_virtual_datasets(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["x"] = np.ones((3, 4, 4))
    layout = h5py.VirtualLayout((8, 4, 4), float)
    layout[0:3] = layout[5:8] = h5py.VirtualSource("raw.h5", "x", (3, 4, 4))
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        assert unwritten_frames(file.create_virtual_dataset("x", layout)).tolist() == [3, 4]


def test_an_acquisition_that_stopped_early(tmp_path):
    scan, path = example_scan(sampling=None), tmp_path / "scan.cxi"
    write_foreign(path, scan, **{PLACE: None})
    with h5py.File(path, "r+") as file:
        frames = file.create_dataset(PLACE, scan.patterns.shape, scan.patterns.dtype, chunks=(1, 12, 12))
        frames[:9] = scan.patterns[:9]
    with pytest.warns(UserWarning, match="3 of 12 frames were never written, from 9 to 11"):
        back = read_scan(path)
    assert not back.patterns[9:].any() and np.array_equal(back.patterns[:9], scan.patterns[:9])
    write_foreign(path, scan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_scan(path)
