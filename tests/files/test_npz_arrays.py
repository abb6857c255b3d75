"""Arrays of NPZ files, compressed or not: rows in any order, in bounded memory, from whole files only."""

import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from ptyxrf.driver.files import npz_arrays
from ptyxrf.driver.files.file_errors import DamagedFile
from ptyxrf.driver.files.npz_arrays import NpzArray

PATTERNS = np.random.default_rng(0).poisson(3.0, (60, 9, 9)).astype(np.uint16)


@pytest.fixture(params=[np.savez, np.savez_compressed])
def path(tmp_path, request):
    path = tmp_path / "scan.npz"
    request.param(
        path, patterns=PATTERNS, turned=np.asfortranarray(PATTERNS), one=np.float64(7), none=PATTERNS[:0]
    )
    return path


@pytest.mark.parametrize("piece", [100, 1 << 20])
def test_rows_in_any_order(path, piece, monkeypatch):
    monkeypatch.setattr(npz_arrays, "PIECE", piece)
    for name in ("patterns", "turned"):
        array = NpzArray(path, name)
        assert (array.shape, array.dtype) == (PATTERNS.shape, PATTERNS.dtype)
        for key in (
            3, 50, 50, 2, -1, slice(10, 20), slice(20, 5, -3), [7, 1, 7], np.arange(60) % 2 == 0,
            (slice(3, 9), 2), (4, slice(1, 3), 5), slice(0, 0), ...,
        ):  # fmt: skip
            np.testing.assert_array_equal(array[key], PATTERNS[key])
        np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(array))), PATTERNS)
        with pytest.raises(IndexError):
            array[60]
    assert NpzArray(path, "one")[()] == 7
    assert NpzArray(path, "none")[:].shape == (0, 9, 9)


def test_memory_is_that_of_the_rows(tmp_path):
    path = tmp_path / "scan.npz"
    np.savez_compressed(path, patterns=np.ones((400, 100, 100)))  # 32 MB
    array = NpzArray(path, "patterns")
    tracemalloc.start()
    try:
        for first in range(0, 400, 10):
            assert array[first : first + 10].sum() == 1e5
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


def test_columns_first_are_unpacked_whole(path, monkeypatch):
    monkeypatch.setattr(npz_arrays, "MOST_UNPACKED", 1 << 12)
    with zipfile.ZipFile(path) as archive:
        stored = archive.infolist()[0].compress_type == zipfile.ZIP_STORED
    if stored:
        np.testing.assert_array_equal(NpzArray(path, "turned")[1], PATTERNS[1])
        return
    with pytest.raises(DamagedFile, match=r"scan\.npz: turned: .* GB, compressed column by column"):
        NpzArray(path, "turned")[1]
    np.testing.assert_array_equal(NpzArray(path, "patterns")[1], PATTERNS[1])


def test_a_damaged_byte_is_found_at_the_first_row(tmp_path):
    path = tmp_path / "scan.npz"
    np.savez_compressed(path, patterns=PATTERNS)
    whole = bytearray(path.read_bytes())
    for place in (len(whole) // 2, len(whole) * 3 // 4):
        damaged = whole.copy()
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile, match=r"scan\.npz: patterns: cannot be read"):
            NpzArray(path, "patterns")[0]


def test_an_array_shorter_than_its_header(tmp_path):
    path = tmp_path / "scan.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("patterns.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(
            file, {"shape": (9, 4, 4), "fortran_order": False, "descr": "<f8"}
        )
        file.write(bytes(8 * 9 * 4 * 4 - 8))
    with pytest.raises(
        DamagedFile, match=r"patterns: .*0\.00114 MB of values, where the header says 0\.00115"
    ):
        NpzArray(path, "patterns")[0]
