"""Terminals, encodings and closed streams; parts of a scan; exit codes of `info`; the list of formats."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from file_examples import write_maps
from scan_examples import example_scan

from ptyxrf.__main__ import main
from ptyxrf.driver.files.scan_file import write_scan

PATTERNS = "/entry_1/instrument_1/detector_1/data"


@pytest.fixture
def scan_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_scan("scan.h5", example_scan(truth=False))
    return "scan.h5"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding(scan_file, encoding):
    run = subprocess.run(
        [sys.executable, "-m", "ptyxrf", "info", scan_file],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    text = run.stdout.decode(encoding)
    assert " um" in text if encoding == "ascii" else " µm" in text


def test_closed_streams(scan_file):
    """A file that is opened must not get the number of a stream that is closed."""
    before = Path(scan_file).read_bytes()
    words = f"'{sys.executable}' -m ptyxrf info {scan_file} >&- 2>&-"
    assert subprocess.run(words, shell=True, check=False).returncode == 0
    assert Path(scan_file).read_bytes() == before


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\xef\xbb\xbf# from an editor\r\n", b""])
def test_settings_with_a_mark_at_the_beginning(scan_file, capsys, start):
    with open("settings.toml", "wb") as file:
        file.write(start + b"[reconstruct]\r\nmax_iterations = 7\r\n")
    assert main(["reconstruct", scan_file, "--settings", "settings.toml", "--show-settings"]) == 0
    assert "max_iterations = 7\n" in capsys.readouterr().out


def test_a_part_of_a_scan(scan_file, capsys):
    assert main(["info", scan_file, "--frames", "0:9:4,11"]) == 0
    assert "4 of 12 x 12" in capsys.readouterr().out
    assert main(["info", scan_file, "--frames", "0:99:x"]) == 2
    assert "frames: expected numbers below 12 or slices" in capsys.readouterr().err


def test_counts_below_zero_by_choice(scan_file, capsys):
    write_scan("below.h5", example_scan(dtype=np.float32, sampling=None, truth=False))
    with h5py.File("below.h5", "r+") as file:
        file[PATTERNS][...] = file[PATTERNS][()] - 7.0
    words = ["reconstruct", "below.h5", "--max-iterations", "1", "--no-report", "--quiet", "--force"]
    assert main([*words, "--out", "r.h5"]) == 2
    assert "--negative-to-zero" in capsys.readouterr().err
    assert main([*words, "--out", "r.h5", "--negative-to-zero"]) == 0


def test_info_ends_with_1_where_something_is_wrong(scan_file, capsys):
    patterns = np.full((12, 12, 12), 7, np.uint16)
    patterns[:, 2:4, 5] = 65535
    write_scan("gaps.h5", example_scan(truth=False).replace(patterns=patterns))
    assert main(["info", "gaps.h5"]) == 1
    assert "wrong: 100 % of the patterns hold 65535" in capsys.readouterr().out
    assert main(["info", scan_file]) == 0


def test_formats(scan_file, capsys):
    assert main(["formats"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in ("CXI", "MAPS v9", "PyXRF", "PtyPy .ptyd", "HXN"))
    with h5py.File("other.h5", "w") as file:
        file["points"], file["diffamp"] = np.zeros((2, 3)), np.zeros((3, 4, 4))
    assert main(["formats", scan_file, "other.h5"]) == 0
    assert capsys.readouterr().out.splitlines() == ["scan.h5: a file of ptyxrf", "other.h5: HXN"]


def test_maps_without_an_exposure(scan_file, capsys):
    """As fits of PyMca have neither ion chamber nor live time."""
    write_maps("maps.h5", scalers=(), unit=b"cts")
    write_scan("plain.h5", example_scan(sampling=None, truth=False))
    words = [
        "reconstruct",
        "plain.h5",
        "--maps",
        "maps.h5",
        "--elements",
        "Fe,Cu",
        "--out",
        "r.h5",
        "--force",
    ]
    assert main([*words, "--max-iterations", "1", "--no-report", "--quiet"]) == 0
    assert "has no scaler us_ic or" in (said := capsys.readouterr().err) and "taken for constant" in said
