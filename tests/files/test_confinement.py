"""Files of strangers: nothing in them leads out of their folder, or to code."""

import os
import shutil
import subprocess
import sys

import h5py
import hdf5plugin
import numpy as np
import pytest
from scans import joint_scan

from ptyxrf.driver.files import confinement
from ptyxrf.driver.files.cxi import DETECTOR
from ptyxrf.driver.files.readers import registry
from ptyxrf.driver.files.scan_file import read_scan, write_scan

PATTERNS = f"{DETECTOR}/data"
MASK = f"{DETECTOR}/mask"


@pytest.fixture
def path(tmp_path, monkeypatch):
    (tmp_path / "in" / "below").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    path = tmp_path / "in" / "scan.h5"
    write_scan(path, joint_scan())
    for other in ("in/below/other.h5", "out/other.h5", "in/other.h5"):
        shutil.copy(path, tmp_path / other)
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setattr(confinement, "_confined", True)
    return path


def replaced(path, how, target):
    """Let the patterns of a scan be in another file."""
    with h5py.File(path, "r+") as file:
        shape, dtype = file[PATTERNS].shape, file[PATTERNS].dtype
        del file[PATTERNS]
        if how == "link":
            file[PATTERNS] = h5py.ExternalLink(target, PATTERNS)
        elif how == "link of a group":
            file["aside"] = h5py.ExternalLink(target, DETECTOR)
            file[PATTERNS] = h5py.SoftLink("/aside/data")
        else:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(target, PATTERNS, shape)
            file.create_virtual_dataset(PATTERNS, layout)


WAYS = ("link", "link of a group", "virtual dataset")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("target", ["other.h5", "below/other.h5", "below/../other.h5"])
def test_files_in_the_folder(path, how, target):
    replaced(path, how, target)
    assert np.array_equal(np.asarray(read_scan(path).patterns), joint_scan().patterns)


@pytest.mark.parametrize("how", WAYS)
def test_files_elsewhere(path, how, monkeypatch):
    out = path.parents[1] / "out" / "other.h5"
    (path.parent / "symbolic.h5").symlink_to(out)
    shutil.copy(out, "only_here.h5")  # where HDF5 looks for what is not in the folder
    for target in (str(out), "../out/other.h5", "symbolic.h5", "only_here.h5"):
        write_scan(path, joint_scan())
        replaced(path, how, target)
        with pytest.raises(ValueError, match=f"scan.h5: {PATTERNS}: .* is no file in its folder"):
            read_scan(path)
        with monkeypatch.context() as free:
            free.setattr(confinement, "_confined", False)
            if target != "only_here.h5":
                assert np.array_equal(np.asarray(read_scan(path).patterns), joint_scan().patterns)


def test_folders_that_only_hdf5_knows_and_a_link_to_the_scan(path, monkeypatch):
    replaced(path, "virtual dataset", "other.h5")
    monkeypatch.setenv("HDF5_VDS_PREFIX", str(path.parents[1] / "out"))
    with pytest.raises(ValueError, match="is no file in its folder"):
        read_scan(path)
    os.symlink(path, "elsewhere.h5")
    with pytest.raises(ValueError, match=r"elsewhere\.h5: is a link to what is no file in its folder"):
        read_scan("elsewhere.h5")


def test_raw_values_behind_a_virtual_dataset(path, monkeypatch):
    """Refused of anybody."""
    monkeypatch.setattr(confinement, "_confined", False)
    secret = path.parents[1] / "secret"
    secret.write_bytes(bytes(100_000))
    replaced(path, "virtual dataset", "other.h5")
    with h5py.File(path.parent / "other.h5", "r+") as file:
        shape, dtype = file[PATTERNS].shape, file[PATTERNS].dtype
        del file[PATTERNS]
        file.create_dataset(PATTERNS, shape, dtype, external=[(str(secret), 0, 100_000)])
    with pytest.raises(ValueError, match="outside the folder"):
        read_scan(path)


def test_compressors_that_do_not_say_how_much_a_chunk_holds(path):
    with h5py.File(path, "r+") as file:
        patterns = file[PATTERNS][...]
        del file[PATTERNS]
        file.create_dataset(PATTERNS, data=patterns.astype("i4"), scaleoffset=0)
    with pytest.raises(ValueError, match=f"{PATTERNS}: .* does not say how much a chunk holds"):
        read_scan(path).patterns[:3]


def test_readers_of_other_packages_are_not_loaded(path, monkeypatch):
    class Entry:
        value = "package:reader"

        def load(self):
            raise AssertionError("loaded")

    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry()])
    registry.added_readers.cache_clear()
    assert registry.readers() == registry.OWN
    monkeypatch.setattr(confinement, "_confined", False)
    with pytest.raises(AssertionError, match="loaded"):
        registry.readers()
    registry.added_readers.cache_clear()


@pytest.mark.parametrize("command", ["info", "reconstruct"])
def test_commands(path, command):
    with h5py.File(path, "r+") as file:
        file[MASK] = h5py.ExternalLink("/dev/null", "/x")
    words = [sys.executable, "-m", "ptyxrf", command, str(path), "--confined"]
    run = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "is a link to /x in /dev/null, which is no file in its folder" in run.stderr


def test_no_folders_of_plugins(path):
    """In a process of its own: they do not come back. The filters of hdf5plugin are there all the same."""
    with h5py.File(path, "r+") as file:
        patterns = file[PATTERNS][...]
        del file[PATTERNS]
        file.create_dataset(PATTERNS, data=patterns, **hdf5plugin.Zstd())
    code = """
import sys, h5py, ptyxrf
ptyxrf.confine()
assert h5py.h5pl.size() == 0
assert ptyxrf.read_scan(sys.argv[1]).patterns[0].any()
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
