import zlib

import h5py
import numpy as np
import pytest

from ptyxrf.driver.files.chunk_writer import ChunkWriter, compressed
from ptyxrf.driver.files.hdf5_writer import Hdf5Writer


def written(path, patterns, parts, chunk):
    with h5py.File(path, "w") as file:
        dataset = Hdf5Writer(file).create(
            "d", patterns.shape, patterns.dtype, chunks=(chunk, *patterns.shape[1:]), compress=True
        )
        with ChunkWriter(dataset) as chunks:
            for part in np.split(patterns, parts):
                chunks.append(part)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize(("count", "parts", "chunk"), [(7, [1, 4], 3), (6, [], 2), (5, [5], 1), (1, [0], 1)])
def test_hdf5_reads_the_chunks_and_their_checksums(tmp_path, dtype, count, parts, chunk):
    patterns = np.random.default_rng(count).poisson(3, (count, 5, 7)).astype(dtype)
    patterns[0] = 0
    written(tmp_path / "f.h5", patterns, parts, chunk)
    with h5py.File(tmp_path / "f.h5") as file:
        assert np.array_equal(file["d"][...], patterns)


@pytest.mark.parametrize("seed", range(8))
def test_chunks_hold_what_those_of_hdf5_hold(tmp_path, seed):
    """HDF5 checks the checksum; lengths of all remainders occur among the seeds."""
    rng = np.random.default_rng(seed)
    chunk = rng.integers(0, 4 ** (seed + 1), (2, 9, 5)).astype(np.uint16)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = Hdf5Writer(file).create("d", chunk.shape, chunk.dtype, chunks=chunk.shape, compress=True)
        dataset[...] = chunk
        file.flush()
        stored = dataset.id.read_direct_chunk((0, 0, 0))[1]
        mine = compressed(chunk)
        assert zlib.decompress(mine[:-4]) == zlib.decompress(stored[:-4])
        dataset.id.write_direct_chunk((0, 0, 0), mine)
        file.flush()
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["d"], chunk)


def test_damage_is_found(tmp_path):
    """One changed byte of a chunk fails its checksum."""
    chunk = np.arange(90, dtype=np.uint16).reshape(2, 9, 5)
    data = bytearray(compressed(chunk))
    data[-1] ^= 1
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = Hdf5Writer(file).create("d", chunk.shape, chunk.dtype, chunks=chunk.shape, compress=True)
        dataset.id.write_direct_chunk((0, 0, 0), bytes(data))
        with pytest.raises(OSError):
            dataset[...]
