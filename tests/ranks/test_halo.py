"""The halo exchange and its adjoint, on random partitions."""

import gc

import numpy as np
import pytest

from ptyxrf.parallel.halo import ABANDONED, HaloField
from ptyxrf.parallel.partition import Partition, Reach
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.tile import tile_of


def make_tile(comm, seed):
    """Windows that reach over several tiles, a margin and a blur, on a grid that does not divide."""
    rng = np.random.default_rng(seed)
    m, grid = int(rng.integers(3, 12)), (31, 43)
    count = int(rng.integers(1, 40))
    corners = np.stack([rng.integers(0, size - m + 1, count) for size in grid], axis=1)
    reach = Reach(*(int(i) for i in rng.integers(0, 5, 3)))
    partition = Partition(corners, m, grid, comm.Get_size(), reach)
    return tile_of(partition, comm.Get_rank(), corners)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_fill_and_collect(comm, seed, dtype):
    tile = make_tile(comm, seed)
    channels = 1 + seed % 3
    field = HaloField(Ranks(comm), tile, channels, dtype)
    rng = np.random.default_rng(100)
    whole = rng.standard_normal((channels, *tile.grid)).astype(dtype)
    if np.iscomplexobj(whole):
        whole += 1j * rng.standard_normal(whole.shape).astype(dtype)
    u = whole[(slice(None), *tile.owned.slices)]
    for _ in range(2):  # requests are used again
        covered = field.fill(u)
        np.testing.assert_array_equal(covered, whole[(slice(None), *tile.covered.slices)])

    # <fill u, v> = <u, collect v>
    rng = np.random.default_rng(comm.Get_rank())
    v = rng.standard_normal(covered.shape).astype(dtype)
    left = comm.allreduce(np.vdot(covered.copy(), v).real)
    field.covered[...] = v
    collected = field.collect()
    assert collected.shape == u.shape
    right = comm.allreduce(np.vdot(u, collected).real)
    tolerance = 1e-12 if np.finfo(dtype).eps < 1e-10 else 1e-4
    assert left == pytest.approx(right, rel=tolerance, abs=tolerance)

    # the sum over all halos, pixel by pixel
    total = np.zeros((channels, *tile.grid), dtype)
    total[(slice(None), *tile.covered.slices)] = v
    total = comm.allreduce(total)
    expected = total[(slice(None), *tile.owned.slices)]
    np.testing.assert_allclose(collected, expected, rtol=1e3 * tolerance, atol=10 * tolerance)
    field.close()


def test_counts_of_messages_and_bytes(comm):
    tile = make_tile(comm, 3)
    ranks = Ranks(comm)
    field = HaloField(ranks, tile, 2, np.float32)
    field.fill(np.zeros((2, *tile.owned.shape), np.float32))
    field.collect()
    given = sum(shared.pixels.size for shared in tile.destinations)
    halo = sum(shared.pixels.size for shared in tile.sources)
    assert halo == tile.covered.size - tile.owned.size
    assert ranks.traffic.messages == len(tile.destinations) + len(tile.sources)
    assert ranks.traffic.bytes == 8 * (given + halo)
    field.close()


def test_repeated_sums_are_the_same_to_the_last_bit(comm):
    tile = make_tile(comm, 4)
    field = HaloField(Ranks(comm), tile, 1, np.float32)
    v = np.random.default_rng(comm.Get_rank()).standard_normal(field.covered.shape).astype(np.float32)
    results = []
    for _ in range(5):
        field.covered[...] = v
        results.append(field.collect().copy())
    assert all(np.array_equal(results[0], result) for result in results)
    field.close()


@pytest.mark.ranks(at_least=2)
def test_the_collector_frees_no_requests(comm):
    """It may run within a call of MPI; those of a field that is no more are freed with the next ones."""
    tile = make_tile(comm, 3)
    field, other = (HaloField(Ranks(comm), tile, 1, np.float64) for _ in range(2))
    field.fill(np.zeros((1, *tile.owned.shape)))
    expected = len(tile.destinations) + len(tile.sources)
    before = len(ABANDONED)
    del field
    gc.collect()
    assert len(ABANDONED) >= before + expected
    other.fill(np.zeros((1, *tile.owned.shape)))
    assert not ABANDONED
    other.close()
    assert not ABANDONED
