"""The part of the object plane and of the scan that one rank holds, and the pixels that it shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.parallel.partition import Partition
from ptyxrf.parallel.rectangle import Rectangle, Window


@dataclass(frozen=True)
class Shared:
    """Pixels that another rank owns or needs, counted from the first covered pixel."""

    rank: int
    pixels: Rectangle


@dataclass(frozen=True)
class Tile:
    """The part of a reconstruction that one rank computes.

    Attributes
    ----------
    grid : (int, int)
        Rows and columns of the whole object.
    owned : Rectangle
        Pixels that only this rank updates; the ranks' owned pixels tile the grid.
    covered : Rectangle
        Owned pixels and halo: everything that the rank's patches and its blur touch.
    positions : (n,) array of int64
        Indices of the rank's scan positions in file order, in the order in which they are computed: half of
        those that touch no halo, those that do, sorted by neighbours, and the other half. So there is work
        to do while the halo arrives and while what was added to it leaves.
    sources : tuple of Shared
        The neighbours that own the halo, and their part of it.
    destinations : tuple of Shared
        The neighbours in whose halo owned pixels lie, and those pixels.
    first_use, last_use : tuple of int
        For each source, where in `positions` the first patch stands that touches its part of the halo, and
        one beyond the last; len(positions) and 0 where none does.
    """

    grid: tuple[int, int]
    owned: Rectangle
    covered: Rectangle
    positions: NDArray[np.int64]
    sources: tuple[Shared, ...] = ()
    destinations: tuple[Shared, ...] = ()
    first_use: tuple[int, ...] = ()
    last_use: tuple[int, ...] = ()

    @property
    def inner(self) -> tuple[slice, slice]:
        """Index of the owned pixels in a covered array."""
        return self.owned.within(self.covered).slices

    @property
    def owned_window(self) -> Window:
        """The owned pixels of an image on the covered ones, in fields that begin at the first of them."""
        return Window(self.owned.within(self.covered), (0, 0))

    def owned_part(self, covered: NDArray[Any]) -> NDArray[Any]:
        """Return a view of the owned pixels of fields (..., rows, columns) on the covered ones."""
        return covered[(..., *self.inner)]


def whole_plane(grid: tuple[int, int], count: int) -> Tile:
    """Return the tile of a single rank: the whole grid, no halo, all `count` positions."""
    everything = Rectangle(0, grid[0], 0, grid[1])
    return Tile(grid, everything, everything, np.arange(count))


def tile_of(partition: Partition, rank: int, corners: NDArray[np.int64]) -> Tile:
    """Return what a rank holds.

    Parameters
    ----------
    partition : Partition
    rank : int
    corners : (N, 2) array of int64
        Those that the partition was made from.
    """
    owned, covered = partition.owned_by(rank), partition.covered_by(rank)
    if owned.size == 0:  # nothing, at a place that its halo knows
        owned = Rectangle(covered.row_start, covered.row_start, covered.column_start, covered.column_start)
    sources, destinations = partition.neighbours(rank)
    halo = tuple(
        Shared(int(other), partition.owned_by(int(other)).overlap(covered).within(covered))
        for other in sources
    )
    needed = tuple(
        Shared(int(other), partition.covered_by(int(other)).overlap(owned).within(covered))
        for other in destinations
    )
    positions = partition.positions(rank)
    first = corners[positions] - (covered.row_start, covered.column_start)
    order, touches = _order(first, partition.m, partition.reach.margin, halo)
    uses = touches[order]
    count = len(positions)
    return Tile(
        partition.grid,
        owned,
        covered,
        positions[order],
        halo,
        needed,
        tuple(int(np.argmax(column)) if column.any() else count for column in uses.T),
        tuple(count - int(np.argmax(column[::-1])) if column.any() else 0 for column in uses.T),
    )


def _order(
    corners: NDArray[np.int64], m: int, margin: int, halo: tuple[Shared, ...]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the order in which positions are computed, and which neighbours' pixels each one may touch."""
    touches = np.zeros((len(corners), len(halo)), bool)
    for k, shared in enumerate(halo):
        pixels = shared.pixels
        rows, columns = corners[:, 0], corners[:, 1]
        touches[:, k] = (
            (rows - margin < pixels.row_stop)
            & (rows + m + margin > pixels.row_start)
            & (columns - margin < pixels.column_stop)
            & (columns + m + margin > pixels.column_start)
        )
    outer = np.flatnonzero(touches.any(axis=1))
    inside = np.flatnonzero(~touches.any(axis=1))
    if len(outer):
        lowest = np.argmax(touches[outer], axis=1)
        highest = len(halo) - np.argmax(touches[outer][:, ::-1], axis=1)
        outer = outer[np.lexsort((outer, highest, lowest))]
    half = (len(inside) + 1) // 2
    return np.concatenate([inside[:half], outer, inside[half:]]), touches
