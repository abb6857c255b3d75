"""Chunks of compressed datasets: the values that HDF5 gives, and none where a chunk is too short."""

import os
import zlib
from types import SimpleNamespace

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptyxrf.driver.files.chunks import Chunks, read_values
from ptyxrf.driver.files.hdf5_reader import reading
from ptyxrf.driver.files.hdf5_writer import Hdf5Writer
from ptyxrf.driver.files.stored_array import StoredArray

KEYS = [
    (),
    np.s_[:],
    np.s_[3],
    np.s_[-1, 2:, ::3],
    np.s_[1:6:2, ..., -2:],
    np.s_[[0, 4, 6], 1:],
    np.s_[..., 4],
    np.s_[2, 3, 4],
    np.s_[5:5],
]
GZIP = [
    {"compression": "gzip", **more} for more in ({}, {"shuffle": True}, {"shuffle": True, "fletcher32": True})
]
#: Compressors that do not say how much is in a chunk.
SILENT = {
    "LZF": {"compression": "lzf"},
    "shuffled LZF": {"compression": "lzf", "shuffle": True, "fletcher32": True},
    "bzip2": hdf5plugin.BZip2(),
}
OTHERS = {
    "LZ4": hdf5plugin.LZ4(),
    "bitshuffle": hdf5plugin.Bitshuffle(),
    "without LZ4": hdf5plugin.Bitshuffle(cname="none"),
    "Zstandard": hdf5plugin.Zstd(),
    "Blosc": hdf5plugin.Blosc(),
    "Blosc2": hdf5plugin.Blosc2(),
    "Blosc2 of Zstandard": hdf5plugin.Blosc2(cname="zstd", filters=2),
    "checksum": {"fletcher32": True},
    "shuffle": {"shuffle": True},
}


def values(dtype="u2"):
    return np.random.default_rng(0).poisson(900, (7, 6, 8)).astype(dtype)


@pytest.fixture
def folder(tmp_path):
    os.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [*GZIP, *SILENT.values(), *OTHERS.values()],
)
def test_values_are_those_of_hdf5(folder, options):
    with h5py.File("f.h5", "w") as file:
        file.create_dataset("d", data=values(), chunks=(2, 4, 3), **options)
    with h5py.File("f.h5") as file:
        for key in KEYS:
            np.testing.assert_array_equal(read_values(file["d"], key), file["d"][key], strict=True)
        block = np.zeros((3, 6, 8), "u2")
        assert np.array_equal(read_values(file["d"], np.s_[1:4], block[:]), values()[1:4])
        assert np.array_equal(block, values()[1:4])


@pytest.mark.parametrize("chunks", [None, (2, 4, 3)])
@pytest.mark.parametrize("rows", [[0, 1, 4], [2, 5, 6], [3], [0, 1, 2, 3, 4, 5, 6], []])
def test_scattered_rows(folder, chunks, rows):
    with h5py.File("f.h5", "w") as file:
        file.create_dataset("d", data=values(), chunks=chunks)
    with h5py.File("f.h5") as file:
        np.testing.assert_array_equal(read_values(file["d"], rows), values()[rows], strict=True)
        block = np.zeros((len(rows), 6, 8), "u2")
        if rows:
            assert read_values(file["d"], rows, block) is block
            assert np.array_equal(block, values()[rows])


def test_a_file_that_has_changed(folder):
    """The chunks of a dataset are listed once for each state of its file."""
    with h5py.File("f.h5", "w") as file:
        dataset = file.create_dataset("d", (4, 6, 8), "u2", chunks=(1, 6, 8), **hdf5plugin.LZ4())
        dataset[:2] = values()[:2]
    with h5py.File("f.h5") as file:
        assert np.array_equal(read_values(file["d"])[:2], values()[:2])
    with h5py.File("f.h5", "r+") as file:
        file["d"][2:] = values()[2:4]
        packed = file["d"].id.read_direct_chunk((3, 0, 0))[1]
        file["d"].id.write_direct_chunk((3, 0, 0), (95).to_bytes(8, "big") + packed[8:])
    with h5py.File("f.h5") as file:
        assert np.array_equal(read_values(file["d"], np.s_[:3]), values()[:3])
        with pytest.raises(ValueError, match=r"chunk at \(3, 0, 0\) unpacks to 95 bytes"):
            read_values(file["d"])


@pytest.mark.parametrize("dtype", ["?", "i1", ">i4", "<f4", ">f8", "c16", "S5"])
def test_types(folder, dtype):
    with h5py.File("f.h5", "w") as file:
        file.create_dataset("d", data=values(dtype), chunks=(3, 6, 8), compression="gzip", shuffle=True)
    with h5py.File("f.h5") as file:
        np.testing.assert_array_equal(read_values(file["d"]), values(dtype), strict=True)


def test_texts_and_numbers_of_other_widths(folder):
    """HDF5 converts what NumPy has no type for."""
    with h5py.File("f.h5", "w") as file:
        file.create_dataset("texts", data=np.array(["Fe", "Cu"], object), compression="gzip")
        width = h5py.h5t.STD_U16LE.copy()
        width.set_precision(12)
        width.set_offset(4)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((7, 6, 8))
        plist.set_deflate(4)
        h5py.h5d.create(file.id, b"twelve bits", width, h5py.h5s.create_simple((7, 6, 8)), plist)
        file["twelve bits"][...] = values()
    with h5py.File("f.h5") as file:
        assert read_values(file["texts"]).tolist() == [b"Fe", b"Cu"]
        assert np.array_equal(read_values(file["twelve bits"]), values())


def test_chunks_that_were_never_written(folder):
    with h5py.File("f.h5", "w") as file:
        dataset = file.create_dataset(
            "d", (7, 6, 8), "i4", chunks=(2, 4, 3), compression="gzip", fillvalue=-3
        )
        dataset[2:4, :4] = 5
    with h5py.File("f.h5") as file:
        assert np.array_equal(read_values(file["d"]), file["d"][...])


def test_what_is_in_the_file_by_an_old_hdf5(folder):
    with h5py.File("f.h5", "w") as file:
        dataset = file.create_dataset("d", data=values(), chunks=(2, 4, 3), compression="gzip")
        new, old = Chunks(dataset), Chunks(dataset)
        old._id = SimpleNamespace(
            get_num_chunks=dataset.id.get_num_chunks, get_chunk_info=dataset.id.get_chunk_info
        )
        assert old._stored == new._stored
        assert len(new._stored) == 24


def short(name, options, data, skipped=0):
    """Write a dataset whose first chunk is replaced."""
    with h5py.File("f.h5", "w") as file:
        dataset = file.create_dataset(name, data=values(), chunks=(1, 6, 8), **options)
        dataset.id.write_direct_chunk((0, 0, 0), data, filter_mask=skipped)


def refused(key=0, name="d"):
    with (
        h5py.File("f.h5") as file,
        pytest.raises(ValueError, match=r"chunk at \(0, 0, 0\) unpacks to .* shape needs 96"),
    ):
        read_values(file[name], key)


@pytest.mark.parametrize("length", [0, 1, 17, 95])
@pytest.mark.parametrize("level", [0, 9])
def test_gzip_of_too_little(folder, length, level):
    for options in ({}, {"shuffle": True}):
        short("d", {"compression": "gzip", **options}, zlib.compress(bytes(length), level))
        refused()
        with h5py.File("f.h5") as file:
            assert np.array_equal(read_values(file["d"], np.s_[1:]), values()[1:])


def test_gzip_of_texts(folder):
    """HDF5 would follow what is in memory as the place of a text."""
    with h5py.File("f.h5", "w") as file:
        dataset = file.create_dataset(
            "d", data=np.array(["Fe", "Cu"], object), chunks=(2,), compression="gzip"
        )
        dataset.id.write_direct_chunk((0,), zlib.compress(bytes(9)))
    with h5py.File("f.h5") as file, pytest.raises(ValueError, match="unpacks to 9 bytes, its shape needs 32"):
        read_values(file["d"])


@pytest.mark.parametrize("options", [{"compression": "gzip"}, *SILENT.values(), *OTHERS.values()])
def test_a_chunk_without_its_filters_that_is_too_short(folder, options):
    short("d", options, bytes(40), skipped=0xFF)
    refused()


@pytest.mark.parametrize("name", [*SILENT, *OTHERS])
def test_other_compressors_of_too_little(folder, name):
    """A whole chunk of a smaller dataset, of values that are easy to compress."""
    options = (SILENT | OTHERS)[name]
    with h5py.File("small.h5", "w") as file:
        dataset = file.create_dataset("d", data=np.full((1, 5, 8), 7, "u2"), chunks=(1, 5, 8), **options)
        skipped, data = dataset.id.read_direct_chunk((0, 0, 0))
    short("d", options, data, skipped)
    refused()


def test_the_source_of_a_virtual_dataset(folder):
    short("source", {"compression": "gzip"}, zlib.compress(bytes(17)))
    with h5py.File("f.h5", "r+") as file:
        layout = h5py.VirtualLayout((7, 6, 8), "u2")
        layout[:4] = h5py.VirtualSource(".", "source", (7, 6, 8))[:4]
        file.create_virtual_dataset("d", layout)
    refused()
    with h5py.File("f.h5") as file:
        assert not read_values(file["d"], np.s_[4:]).any()


def test_damaged_chunks_of_gzip(folder):
    packed = zlib.compress(values()[0].tobytes())
    for data in (packed[:-1], packed[:30], bytes(90), packed[:20] + b"?" + packed[21:]):
        short("d", {"compression": "gzip"}, data)
        with h5py.File("f.h5") as file, pytest.raises(OSError, match="compressed chunk"):
            read_values(file["d"], 0)


@pytest.mark.parametrize("name", SILENT)
def test_damaged_chunks_of_others(folder, name):
    """Cut off, or of more than the shape needs."""
    with h5py.File("large.h5", "w") as file:
        dataset = file.create_dataset(
            "d", data=np.full((1, 99, 8), 7, "u2"), chunks=(1, 99, 8), **SILENT[name]
        )
        packed = dataset.id.read_direct_chunk((0, 0, 0))[1]
    for data in (packed, packed[:-5]):
        short("d", SILENT[name], data)
        with h5py.File("f.h5") as file, pytest.raises(OSError, match="chunk"):
            read_values(file["d"], 0)


def test_a_checksum_of_its_own_files(folder):
    with h5py.File("f.h5", "w") as file:
        dataset = Hdf5Writer(file).array("/d", values(), chunks=(7, 6, 8), compress=True)
        data = bytearray(dataset.id.read_direct_chunk((0, 0, 0))[1])
        data[-1] ^= 1
        dataset.id.write_direct_chunk((0, 0, 0), bytes(data))
    with h5py.File("f.h5") as file, pytest.raises(OSError, match="checksum of its chunk"):
        read_values(file["d"])


def test_the_error_names_file_and_dataset(folder):
    short("d", {"compression": "gzip"}, zlib.compress(bytes(17)))
    for read in (lambda: StoredArray("f.h5", "/d", (7, 6, 8), "u2")[0], lambda: whole("f.h5")):
        with pytest.raises(ValueError, match=r"f\.h5: /d: cannot be read.*unpacks to 17 bytes"):
            read()


def whole(path):
    with reading(path) as reader:
        return reader.array("/d")
