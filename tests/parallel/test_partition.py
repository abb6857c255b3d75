"""Any number of ranks: positions and pixels are cut without gaps or overlaps, and the halos fit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptyxrf.parallel.partition import Partition, Reach
from ptyxrf.parallel.rectangle import Rectangle
from ptyxrf.parallel.tile import Tile, tile_of, whole_plane

#: Machines that test are slow at times; how long an example takes says nothing.
many = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def partitions(draw):
    """Scans of any pattern on any grid, with any number of ranks, more than positions or pixels too."""
    grid = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    m = draw(st.integers(1, min(grid)))
    count = draw(st.integers(1, 60))
    kind = draw(st.sampled_from(["random", "line", "same", "raster"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = np.array(grid) - m
    if kind == "same":
        corners = np.tile(rng.integers(0, most + 1), (count, 1))
    elif kind == "line":
        corners = np.stack([np.full(count, most[0] // 2), np.linspace(0, most[1], count)], axis=1)
    elif kind == "raster":
        side = int(np.ceil(np.sqrt(count)))
        places = np.indices((side, side)).reshape(2, -1).T[:count] / max(side - 1, 1)
        corners = places * most
    else:
        corners = rng.integers(0, most + 1, (count, 2))
    reach = Reach(*draw(st.tuples(*[st.integers(0, 6)] * 3)))
    ranks = draw(st.integers(1, 40) | st.just(97))
    return Partition(corners.astype(np.int64), m, grid, ranks, reach), corners.astype(np.int64)


def pixels(edges):
    """Return the set of pixels of a rectangle."""
    return {(r, c) for r in range(edges[0], edges[1]) for c in range(edges[2], edges[3])}


@many
@given(partitions())
def test_exact_cover_and_balance(case):
    partition, corners = case
    seen = np.zeros(partition.grid, int)
    for rank in range(partition.ranks):
        seen[partition.owned_by(rank).slices] += 1
    assert (seen == 1).all()
    everything = np.concatenate([partition.positions(rank) for rank in range(partition.ranks)])
    np.testing.assert_array_equal(np.sort(everything), np.arange(len(corners)))
    low, high = len(corners) // partition.ranks, -(-len(corners) // partition.ranks)
    assert low <= partition.counts.min() <= partition.counts.max() <= high
    assert partition.balance == pytest.approx(partition.counts.max() * partition.ranks / len(corners))


@many
@given(partitions())
def test_halos_hold_patches_margin_and_blur(case):
    partition, corners = case
    grid, m, reach = partition.grid, partition.m, partition.reach
    for rank in range(partition.ranks):
        owned, covered = partition.owned_by(rank), partition.covered_by(rank)
        assert 0 <= covered.row_start <= covered.row_stop <= grid[0]
        assert 0 <= covered.column_start <= covered.column_stop <= grid[1]
        needed = []
        if owned.size:
            needed.append(
                Rectangle(
                    owned.row_start - reach.before,
                    owned.row_stop + reach.after,
                    owned.column_start - reach.before,
                    owned.column_stop + reach.after,
                )
            )
        for row, column in corners[partition.positions(rank)]:
            edge = reach.margin
            needed.append(Rectangle(row - edge, row + m + edge, column - edge, column + m + edge))
        everything = Rectangle(0, grid[0], 0, grid[1])
        for rectangle in needed:
            within = rectangle.overlap(everything)
            assert within.overlap(covered) == within


@many
@given(partitions())
def test_neighbours_are_those_that_share_pixels(case):
    """The tree finds what a comparison of all pairs finds."""
    partition, _ = case
    ranks = range(partition.ranks)
    shared = {
        (receiver, owner)
        for receiver in ranks
        for owner in ranks
        if receiver != owner and partition.covered_by(receiver).overlap(partition.owned_by(owner)).size > 0
    }
    receivers, owners = partition.edges()
    assert list(zip(receivers.tolist(), owners.tolist(), strict=True)) == sorted(shared)
    for rank in ranks:
        sources, destinations = partition.neighbours(rank)
        assert sources.tolist() == sorted(owner for receiver, owner in shared if receiver == rank)
        assert destinations.tolist() == sorted(receiver for receiver, owner in shared if owner == rank)


@many
@given(partitions(), st.integers(0, 2**32 - 1))
def test_fill_and_collect_are_adjoint(case, seed):
    """The exchange as the tiles describe it, without MPI: <fill u, v> = <u, collect v>, and fill is exact."""
    partition, corners = case
    rng = np.random.default_rng(seed)
    tiles = [tile_of(partition, rank, corners) for rank in range(partition.ranks)]
    whole = rng.standard_normal(partition.grid)
    filled = [np.full(tile.covered.shape, np.nan) for tile in tiles]
    for tile, field in zip(tiles, filled, strict=True):
        field[tile.inner] = whole[tile.owned.slices]
    for rank, tile in enumerate(tiles):
        for shared in tile.destinations:
            values = filled[rank][shared.pixels.slices]
            (there,) = (other for other in tiles[shared.rank].sources if other.rank == rank)
            filled[shared.rank][there.pixels.slices] = values
    for tile, field in zip(tiles, filled, strict=True):
        np.testing.assert_array_equal(field, whole[tile.covered.slices])

    added = [rng.standard_normal(tile.covered.shape) for tile in tiles]
    left = sum(float(np.sum(u * v)) for u, v in zip(filled, added, strict=True))
    collected = [field.copy() for field in added]
    for rank, tile in enumerate(tiles):
        for shared in tile.sources:
            (there,) = (other for other in tiles[shared.rank].destinations if other.rank == rank)
            collected[shared.rank][there.pixels.slices] += added[rank][shared.pixels.slices]
    right = sum(
        float(np.sum(whole[tile.owned.slices] * field[tile.inner]))
        for tile, field in zip(tiles, collected, strict=True)
    )
    assert left == pytest.approx(right, rel=1e-12, abs=1e-10)


@many
@given(partitions())
def test_order_of_positions(case):
    """Inner positions at both ends, and no patch is computed before its part of the halo is due.

    A patch may move by the margin.
    """
    partition, corners = case
    m, margin = partition.m, partition.reach.margin
    for rank in range(partition.ranks):
        tile = tile_of(partition, rank, corners)
        np.testing.assert_array_equal(np.sort(tile.positions), partition.positions(rank))
        place = corners[tile.positions] - (tile.covered.row_start, tile.covered.column_start)
        touched = np.zeros((len(place), len(tile.sources)), bool)
        for j, (row, column) in enumerate(place):
            patch = Rectangle(row - margin, row + m + margin, column - margin, column + m + margin)
            touched[j] = [patch.overlap(shared.pixels).size > 0 for shared in tile.sources]
        for k in range(len(tile.sources)):
            uses = np.flatnonzero(touched[:, k])
            expected = (uses[0], uses[-1] + 1) if len(uses) else (len(place), 0)
            assert (tile.first_use[k], tile.last_use[k]) == expected
        outer = np.flatnonzero(touched.any(axis=1))
        if len(outer):
            assert outer[-1] - outer[0] + 1 == len(outer)
            assert 0 <= outer[0] - (len(place) - 1 - outer[-1]) <= 1


def test_one_rank_is_the_whole_plane():
    corners = np.array([[0, 0], [3, 4]])
    partition = Partition(corners, 5, (8, 9), 1)
    tile, plain = tile_of(partition, 0, corners), whole_plane((8, 9), 2)
    assert isinstance(tile, Tile)
    assert (tile.owned, tile.covered, tile.sources, tile.destinations) == (plain.owned, plain.covered, (), ())
    np.testing.assert_array_equal(tile.positions, plain.positions)


def test_cut_between_window_centres():
    """Two positions, two ranks: the cut is half-way between the centres of the windows."""
    corners = np.array([[0, 0], [0, 20]])
    partition = Partition(corners, 10, (10, 30), 2)
    np.testing.assert_array_equal(partition.owned, [[0, 10, 0, 15], [0, 10, 15, 30]])
    np.testing.assert_array_equal(partition.covered, [[0, 10, 0, 15], [0, 10, 15, 30]])


def test_many_ranks_in_no_time():
    """10^5 ranks are cut level by level; balance and cover hold there too."""
    side = np.linspace(0, 5000 - 64, 400).astype(int)
    corners = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    partition = Partition(corners, 64, (5000, 5000), 100_000)
    assert partition.counts.max() == 2 and partition.counts.min() == 1
    areas = np.prod(partition.owned[:, 1::2] - partition.owned[:, ::2], axis=1)
    assert areas.sum() == 5000 * 5000


def test_no_ranks():
    with pytest.raises(ValueError, match="ranks: expected at least 1, got 0"):
        Partition(np.zeros((1, 2), np.int64), 1, (1, 1), 0)


def test_rectangles():
    one, other = Rectangle(0, 4, 0, 6), Rectangle(2, 9, 5, 8)
    assert one.overlap(other) == Rectangle(2, 4, 5, 6)
    assert one.overlap(Rectangle(7, 9, 0, 2)).size == 0
    assert one.shape == (4, 6) and one.size == 24
    assert other.within(Rectangle(1, 10, 5, 9)) == Rectangle(1, 8, 0, 3)
