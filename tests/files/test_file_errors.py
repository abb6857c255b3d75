"""Errors of files carry the file and the dataset, on any rank; a missing file is FileNotFoundError."""

import os
import pickle
import resource

import h5py
import numpy as np
import pytest
from file_examples import example_result, write_maps
from scan_examples import example_scan

from ptyxrf.driver.files.file_errors import DamagedFile, UnwritableFile
from ptyxrf.driver.files.hdf5_reader import reading
from ptyxrf.driver.files.maps_file import read_maps
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.files.scan_file import read_scan, write_scan
from ptyxrf.driver.files.stored_array import StoredArray
from ptyxrf.driver.files.whole_file import check_writable
from ptyxrf.driver.planning.machine import read_machine
from ptyxrf.driver.simulation.images import read_image

READERS = [read_scan, read_result, read_maps, read_image, read_machine]


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file(tmp_path, read):
    absent = tmp_path / "absent.png"
    with pytest.raises(FileNotFoundError) as raised:
        read(absent)
    assert raised.value.filename == str(absent)
    assert not isinstance(raised.value, ValueError)


def scan_without_probe(path):
    write_scan(path, example_scan())
    return read_scan, "/entry_1/instrument_1/source_1/illumination"


def result_without_map(path):
    write_result(path, example_result())
    return read_result, "/entry_1/image_2/data"


def maps_without_axis(path):
    write_maps(path)
    return read_maps, "/MAPS/y_axis"


@pytest.mark.parametrize("make", [scan_without_probe, result_without_map, maps_without_axis])
def test_a_lost_dataset(tmp_path, make):
    path = tmp_path / "file.h5"
    read, name = make(path)
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(DamagedFile) as raised:
        read(path)
    error = raised.value
    assert (error.path, error.dataset) == (path, name)
    assert str(error) == f"{path}: {name}: no such dataset in the file"


def test_a_file_that_is_no_hdf5_concerns_no_dataset(tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("no scan" * 1000)
    with pytest.raises(DamagedFile, match=r"notes\.h5: not an HDF5 file") as raised:
        read_scan(path)
    assert (raised.value.path, raised.value.dataset) == (path, None)


@pytest.mark.parametrize("own", [True, False])
def test_a_file_that_is_truncated_while_it_is_open_is_an_error(tmp_path, own):
    """At any length, whatever is read: beyond the end HDF5 finds no groups, and zeros for values."""
    path = tmp_path / "scan.h5"
    if own:
        write_scan(path, example_scan())
    else:
        with h5py.File(path, "w") as file:
            file["entry_1/data_1/data"] = np.ones((9, 64, 64))
    content = path.read_bytes()
    for size in np.linspace(0, len(content) - 1, 9).astype(int):
        for read in (
            lambda reader: reader.group("/entry_1"),
            lambda reader: reader.array("/entry_1/data_1/data"),
            lambda reader: reader.has("/entry_1/data_1/data"),
        ):
            path.write_bytes(content)
            with (
                pytest.raises(DamagedFile, match=r"scan\.h5: not an HDF5 file, or a truncated or") as raised,
                reading(path) as reader,
            ):
                os.truncate(path, size)
                read(reader)
            assert str(raised.value).endswith("(it became shorter while it was open)")


def test_a_file_that_goes_away_while_its_scan_is_checked(tmp_path, monkeypatch):
    path = tmp_path / "scan.h5"
    write_scan(path, example_scan())
    read = StoredArray.__getitem__

    def read_too_late(self, key):
        path.unlink(missing_ok=True)
        return read(self, key)

    monkeypatch.setattr(StoredArray, "__getitem__", read_too_late)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_scan(path)


def test_an_error_in_the_values_concerns_the_file(tmp_path):
    """`Scan` knows the argument that is wrong, the reader the file."""
    path = tmp_path / "scan.h5"
    write_scan(path, example_scan())
    with h5py.File(path, "r+") as file:
        file["/entry_1/sample_1/geometry_1/positions"][0, 0] = float("nan")
    with pytest.raises(DamagedFile, match=r"scan\.h5: positions: expected") as raised:
        read_scan(path)
    assert raised.value.path == path


def test_exact_positions_cannot_be_flipped(tmp_path):
    """The file is good, the argument is wrong."""
    path = tmp_path / "scan.h5"
    write_scan(path, example_scan())
    with pytest.raises(ValueError, match=r"scan\.h5: swap, flip_rows and flip_columns are for") as raised:
        read_scan(path, flip_rows=True)
    assert not isinstance(raised.value, DamagedFile)


def test_an_unwritable_file(tmp_path):
    path = tmp_path / "nowhere" / "scan.h5"
    with pytest.raises(UnwritableFile) as raised:
        check_writable(path)
    assert (raised.value.path, raised.value.dataset) == (path, None)


@pytest.fixture
def small_files():
    """Let this process write no file of more than 4 kB, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_concerns_the_file_and_not_its_temporary_name(tmp_path, small_files):
    path = tmp_path / "scan.h5"
    with pytest.raises(UnwritableFile) as raised:
        write_scan(path, example_scan())
    assert raised.value.path == path
    assert str(raised.value) == f"{path}: cannot be written (File too large)"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", [DamagedFile, UnwritableFile])
def test_errors_can_be_sent_to_other_ranks(kind):
    """Also after the file has got its own name in place of the temporary one."""
    error = kind("scan.part", "cannot be used", "/a")
    error.path = "scan.h5"
    sent = pickle.loads(pickle.dumps(error))
    assert type(sent) is kind
    assert (sent.path, sent.problem, sent.dataset) == ("scan.h5", "cannot be used", "/a")
    assert str(sent) == "scan.h5: /a: cannot be used"
