"""Datasets that claim to be larger than what they belong to."""

import h5py
import numpy as np
import pytest
from file_examples import example_result, write_foreign, write_maps
from scan_examples import example_scan
from scans import joint_scan

from ptyxrf.driver.files import hdf5_reader
from ptyxrf.driver.files.checkpoint_file import check_fields
from ptyxrf.driver.files.maps_file import read_maps
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.files.scan_file import read_scan, write_scan
from ptyxrf.driver.preparation.input_files import InputFiles
from ptyxrf.driver.reconstruction.reconstruct import reconstruct


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


def claim(path, name, shape):
    """Replace a dataset by one of ones that takes nothing in the file."""
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, shape, "u1", chunks=True, compression="gzip", fillvalue=1)


@pytest.mark.parametrize(
    ("name", "shape", "most"),
    [
        ("/entry_1/data_1/translation", (1000, 3), 36),
        ("/entry_1/instrument_1/source_1/energy", (1 << 23,), 1 << 22),
        ("/entry_1/instrument_1/source_1/illumination", (1 << 22, 12, 12), 1 << 28),
        ("/entry_1/instrument_1/detector_1/exposure", (1000,), 12),
    ],
)
def test_scans_of_other_programs(tmp_path, name, shape, most):
    scan = example_scan(sampling=None)
    assert scan.N == 12
    write_foreign(tmp_path / "scan.cxi", scan)
    claim(tmp_path / "scan.cxi", name, shape)
    with pytest.raises(
        ValueError, match=rf"scan\.cxi: {name}: expected at most {most} values, got the shape"
    ):
        read_scan(tmp_path / "scan.cxi")


@pytest.mark.parametrize(
    ("name", "shape", "most"),
    [("/MAPS/XRF_fits", (3, 1 << 14, 1 << 14), 1 << 28), ("/MAPS/x_axis", (1 << 23,), 1 << 22)],
)
def test_maps_of_other_programs(tmp_path, name, shape, most):
    write_maps(tmp_path / "maps.h5")
    claim(tmp_path / "maps.h5", name, shape)
    with pytest.raises(ValueError, match=rf"maps\.h5: {name}: expected at most {most} values, got the shape"):
        read_maps(tmp_path / "maps.h5")


def test_results_larger_than_the_memory(tmp_path, monkeypatch):
    """A result is read whole: all its arrays together fit, or the first that does not is named."""
    path, image = tmp_path / "result.h5", "/entry_1/image_1/data"
    result = example_result(elements=3)
    write_result(path, result, example_scan())
    room = result.object.nbytes
    for memory, name in ((room - 1, "image_1/data"), (2 * room, "image_2/data")):
        monkeypatch.setattr(hdf5_reader, "machine_memory", lambda memory=memory: memory)
        with pytest.raises(ValueError, match=rf"result\.h5: /entry_1/{name}: has the shape .* of memory"):
            read_result(path)
    monkeypatch.undo()
    assert np.array_equal(read_result(path).object, result.object)
    # of a source that was never written, whose size is no claim of this file
    with h5py.File(path, "r+") as file:
        del file[image]
        layout = h5py.VirtualLayout((1 << 20, 1 << 20), "f4")
        file.create_dataset("some", (4, 4), "f4", chunks=True, fillvalue=1)
        layout[:4, :4] = h5py.VirtualSource(".", "some", (4, 4), "f4")
        file.create_virtual_dataset(image, layout)
    with pytest.raises(ValueError, match=r"image_1/data: has the shape .*4\.4e\+03 GB, which .* of memory"):
        read_result(path)


@pytest.mark.parametrize("written", [False, True])
def test_fields_of_checkpoints(tmp_path, written):
    """A field that claims 10^12 numbers, none of which was written, or one chunk."""
    path = tmp_path / "run.checkpoint.h5"
    reconstruct(joint_scan(), "ptychography", max_iterations=1, checkpoint=path, checkpoint_iterations=1)
    assert check_fields(path) == joint_scan().shape
    with h5py.File(path, "r+") as file:
        fields = file["/entry_1/checkpoint_1/fields"]
        name = min(names_of(fields))
        del fields[name]
        claimed = fields.create_dataset(name, (1, 1 << 20, 1 << 20), "f4", chunks=(1, 64, 64), fillvalue=1)
        if written:
            claimed[0, :64, :64] = 1
    with pytest.raises(ValueError, match=r"checkpoint\.h5: .*fields/.*(never written|cannot be in a file)"):
        check_fields(path)


def names_of(group):
    names = []
    group.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def test_inputs_of_a_preparation(tmp_path):
    h5py.File(tmp_path / "raw.h5", "w").close()
    claim(tmp_path / "raw.h5", "counts", (3, 1 << 14, 1 << 14))
    array = InputFiles([tmp_path / "raw.h5"]).find("maps", "counts")
    with pytest.raises(ValueError, match=r"raw\.h5::counts: expected at most 268435456 values"):
        array.read()
