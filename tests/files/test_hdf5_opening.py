"""Files that HDF5 opens only in a special way, or that are something else."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from scan_examples import example_scan

from ptyxrf.driver.files.hdf5_reader import reading
from ptyxrf.driver.files.scan_file import read_scan, write_scan

PATTERNS = "/entry_1/instrument_1/detector_1/data"

HOLD = "import h5py, sys, time; f = h5py.File(sys.argv[1], 'r+', libver='latest'); {}\n"
HOLD += "print('ready', flush=True); time.sleep(60)"


def held(path, swmr):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format("f.swmr_mode = True" if swmr else ""), str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_file_that_is_being_written(tmp_path):
    for swmr in (False, True):
        path = tmp_path / f"growing-{swmr}.h5"
        with h5py.File(path, "w", libver="latest") as file:
            file["counts"] = np.arange(5)
        process = held(path, swmr)
        try:
            if swmr:
                with reading(path) as reader:
                    assert reader.array("counts").sum() == 10
            else:
                with (
                    pytest.raises(ValueError, match="another process has it open for writing"),
                    reading(path),
                ):
                    pass
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"II*\x00" + bytes(40), "TIFF"), (b"PK\x03\x04" + bytes(40), r"\.npz"), (b"\x93NUMPY", "NumPy array")],
)
def test_other_files_are_named(tmp_path, content, what):
    (tmp_path / "scan.h5").write_bytes(content)
    with pytest.raises(ValueError, match=rf"not an HDF5 file but .*{what}"):
        read_scan(tmp_path / "scan.h5")


def replace_patterns(path, **options):
    with h5py.File(path, "r+") as file:
        patterns = file[PATTERNS][()]
        del file[PATTERNS]
        file.create_dataset(PATTERNS, data=patterns, chunks=(1, *patterns.shape[1:]), **options)
        del file["/entry_1/data_1/data"]
        file["/entry_1/data_1/data"] = h5py.SoftLink(PATTERNS)


@pytest.mark.parametrize("name", ["Bitshuffle", "Zstd"])
def test_frames_of_compressors_beyond_those_of_hdf5(tmp_path, name):
    plugin = pytest.importorskip("hdf5plugin")
    scan = example_scan()
    write_scan(tmp_path / "scan.h5", scan)
    replace_patterns(tmp_path / "scan.h5", **getattr(plugin, name)())
    code = "import sys, ptyxrf; print(ptyxrf.read_scan(sys.argv[1]).patterns[:].sum())"
    run = subprocess.run(  # a process that has not loaded the filters yet
        [sys.executable, "-c", code, str(tmp_path / "scan.h5")], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) == int(scan.patterns.sum())


def test_a_filter_that_nobody_has_is_named(tmp_path):
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        plist.set_filter(444, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((4,))
        dataset = h5py.h5d.create(file.id, b"counts", h5py.h5t.NATIVE_INT32, space, plist)
        dataset.write_direct_chunk((0,), b"\0" * 8, 0)
    with reading(path) as reader, pytest.raises(ValueError, match=r"counts: is compressed with filter 444"):
        reader.array("counts")


def test_complex_numbers_as_compounds(tmp_path):
    with h5py.File(tmp_path / "probe.h5", "w") as file:
        for name, members in (("matlab", ("real", "imag")), ("c", ("re", "im")), ("other", ("x", "y"))):
            values = np.empty(3, [(member, "f4") for member in members])
            values[members[0]], values[members[1]] = [1, 2, 3], [4, 5, 6]
            file[name] = values
    with reading(tmp_path / "probe.h5") as reader:
        for name in ("matlab", "c"):
            assert np.array_equal(reader.array(name), [1 + 4j, 2 + 5j, 3 + 6j])
        with pytest.raises(ValueError, match="expected numbers or texts"):
            reader.array("other")


def test_sources_beside_the_file_that_a_link_leads_to(tmp_path):
    raw, home = tmp_path / "raw", tmp_path / "home"
    raw.mkdir()
    home.mkdir()
    with h5py.File(raw / "part.h5", "w") as file:
        file["x"] = np.arange(6)
    layout = h5py.VirtualLayout((6,), int)
    layout[:] = h5py.VirtualSource("part.h5", "x", (6,))
    with h5py.File(raw / "whole.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    os.symlink(raw / "whole.h5", home / "whole.h5")
    with reading(home / "whole.h5") as reader:
        assert reader.array("x").sum() == 15
