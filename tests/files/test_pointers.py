"""Files that point to other files, to themselves, or to what is no file."""

import os
import shutil

import h5py
import numpy as np
import pytest
from scans import joint_scan

from ptyxrf.driver.files.cxi import DETECTOR
from ptyxrf.driver.files.scan_file import read_scan, write_scan

PATTERNS = f"{DETECTOR}/data"
TITLE = "/entry_1/title"
NAMES = "/entry_1/fluorescence_1/element_names"


@pytest.fixture
def path(tmp_path):
    write_scan(tmp_path / "scan.h5", joint_scan())
    return tmp_path / "scan.h5"


def point(path, file, name=PATTERNS):
    """Let the patterns of a scan be virtual, with their values elsewhere."""
    with h5py.File(path, "r+") as there:
        shape, dtype = there[PATTERNS].shape, there[PATTERNS].dtype
        del there[PATTERNS]
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(file, name, shape)
        there.create_virtual_dataset(PATTERNS, layout)


@pytest.mark.parametrize("members", [1, 2, 3])
def test_virtual_datasets_that_lead_back_to_themselves(path, members):
    names = [f"{k}.h5" for k in range(members)]
    for name in names:
        shutil.copy(path, path.parent / name)
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        point(path.parent / name, "." if members == 1 else following)
    with pytest.raises(ValueError, match=rf"0\.h5: {PATTERNS}: its values lead back to themselves"):
        read_scan(path.parent / names[0])


def test_a_virtual_dataset_of_a_virtual_dataset(path):
    first, second = (path.parent / f"{k}.h5" for k in range(2))
    shutil.copy(path, first)
    shutil.copy(path, second)
    point(second, "1.h5")
    os.rename(second, path.parent / "2.h5")
    shutil.copy(path, second)
    point(first, "2.h5")
    assert np.array_equal(np.asarray(read_scan(first).patterns), np.asarray(read_scan(path).patterns))


def external(path, target):
    with h5py.File(path, "r+") as file:
        del file[NAMES]
        file.create_dataset(NAMES, (2,), h5py.string_dtype("utf-8", 8), external=[(str(target), 0, 16)])


def test_raw_values_in_the_folder_of_the_file(path):
    (path.parent / "raw").write_bytes(b"Fe\0\0\0\0\0\0Cu\0\0\0\0\0\0")
    external(path, "raw")
    os.chdir(path.parent)
    assert read_scan(path).element_names == ["Fe", "Cu"]


@pytest.mark.parametrize("absolute", [True, False])
def test_raw_values_elsewhere(path, tmp_path_factory, absolute):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_bytes(b"secret of some16")
    external(path, secret if absolute else os.path.relpath(secret, path.parent))
    with pytest.raises(ValueError, match=r"element_names: its values .* outside the folder"):
        read_scan(path)


def test_a_link_through_a_symbolic_link_elsewhere(path, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_bytes(b"secret of some16")
    (path.parent / "raw").symlink_to(secret)
    external(path, "raw")
    with pytest.raises(ValueError, match="outside the folder"):
        read_scan(path)


@pytest.mark.parametrize("soft", ["", "/aside", "/.//./aside"])
@pytest.mark.parametrize("name", [TITLE, PATTERNS])
def test_links_to_a_pipe(path, name, soft):
    os.mkfifo(path.parent / "pipe")
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file["aside" if soft else name] = h5py.ExternalLink("pipe", "/x")
        if soft:
            file[name] = h5py.SoftLink(soft)
    with pytest.raises(ValueError, match=rf"{name}: is a link to /x in pipe, which is no file"):
        read_scan(path)


def test_a_pipe_is_no_scan(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: expected an HDF5 file, got a pipe or a device"):
        read_scan(tmp_path / "pipe")
    with pytest.raises(ValueError, match="got a pipe or a device"):
        read_scan("/dev/null")
