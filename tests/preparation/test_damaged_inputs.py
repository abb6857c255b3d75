"""Files that are damaged, or hold something else, are named, and leave no output."""

import h5py
import numpy as np
import pytest
import raw_sets

import ptyxrf
from ptyxrf.driver.command.main import main


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    truth = raw_sets.made_truth(per_side=4)
    raw_sets.hdf5_in_micrometres(folder / "a.h5", raw_sets.made_truth(per_side=5))
    raw_sets.npz_without_units(folder / "b.npz", truth)
    return {"h5": (folder / "a.h5").read_bytes(), "npz": (folder / "b.npz").read_bytes()}


@pytest.mark.parametrize("kind", ["h5", "npz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files(raw, tmp_path, capsys, kind, share):
    path = tmp_path / f"raw.{kind}"
    path.write_bytes(raw[kind][: int(share * len(raw[kind]))])
    assert main(["prepare", str(path), "--out", str(tmp_path / "scan.h5")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"ptyxrf: error: {path}: ") and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content", [b"", b"a b\n1 2\n3\n", bytes(range(128, 256)), b"PK\3\4nonsense", b"II*\0nonsense"]
)
def test_other_files(tmp_path, capsys, content):
    path = tmp_path / "raw.dat"
    path.write_bytes(content)
    assert main(["prepare", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"ptyxrf: error: {path}: ")
    assert list(tmp_path.iterdir()) == [path]


def test_a_chunk_that_cannot_be_read(tmp_path, raw):
    """The pass over the frames meets it: the scan that was begun is not there."""
    path = tmp_path / "raw.h5"
    path.write_bytes(raw["h5"])
    with h5py.File(path, "r+") as file:
        data = file["entry/data/data"]
        data.id.write_direct_chunk((3, 0, 0), b"no deflated data")
    with pytest.raises(ptyxrf.DamagedFile, match="entry/data/data"):
        ptyxrf.prepare(path, tmp_path / "scan.h5", size=raw_sets.M, orientation="given")
    assert np.array_equal(sorted(one.name for one in tmp_path.iterdir()), ["raw.h5"])
