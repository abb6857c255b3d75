"""The checksum of arrays in parts against a naive one, and what it tells apart."""

import naive
import numpy as np
import pytest

from ptyxrf.driver.data.digest import tile_checksum
from ptyxrf.kernels.checksum import checksum
from ptyxrf.parallel.rectangle import Rectangle
from ptyxrf.parallel.tile import Tile

GRID = 11, 13


def fields(dtype):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(3, *GRID, 2))
    values = values[..., 0] + 1j * values[..., 1] if np.dtype(dtype).kind == "c" else values[..., 0]
    values = np.ascontiguousarray(values, dtype=dtype)
    values[0, 1, :3] = np.nan, np.inf, -0.0
    return values


def of_tiles(values, rectangles):
    tiles = [Tile(GRID, owned, owned, np.zeros(0, int)) for owned in rectangles]
    shares = [int(tile_checksum(tile, values[(slice(None), *tile.owned.slices)])) for tile in tiles]
    return sum(shares) % 2**64


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_any_partition_gives_the_naive_one(dtype):
    values = fields(dtype)
    expected = naive.checksum(values)
    assert of_tiles(values, [Rectangle(0, 11, 0, 13)]) == expected
    parts = [Rectangle(0, 4, 0, 7), Rectangle(0, 4, 7, 13), Rectangle(4, 11, 0, 13), Rectangle(5, 5, 5, 5)]
    assert of_tiles(values, parts) == expected
    order = np.random.default_rng(2).permutation(3)
    rows = values.reshape(3, -1)[order]
    assert int(checksum(rows, order * rows.shape[1])) == expected


def test_every_bit_counts():
    values = fields(np.float32)
    expected = naive.checksum(values)
    words = values.view(np.uint32)
    for place in ((0, 0, 0), (1, 5, 6), (2, 10, 12)):
        for bit in range(32):
            words[place] ^= np.uint32(1 << bit)
            assert of_tiles(values, [Rectangle(0, 11, 0, 13)]) != expected
            words[place] ^= np.uint32(1 << bit)
    swapped = values.copy()
    swapped[1, 2, 3], swapped[2, 3, 4] = values[2, 3, 4], values[1, 2, 3]
    assert of_tiles(swapped, [Rectangle(0, 11, 0, 13)]) != expected
