"""What one rank holds of the object plane: the pixels it owns, and the halo around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rectangle:
    """Pixels [row_start, row_stop) x [column_start, column_stop) of the object grid."""

    row_start: int
    row_stop: int
    column_start: int
    column_stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row_stop - self.row_start, self.column_stop - self.column_start

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of these pixels in an array of the whole grid."""
        return slice(self.row_start, self.row_stop), slice(self.column_start, self.column_stop)

    def within(self, outer: Rectangle) -> Rectangle:
        """Return the same pixels, counted from the first pixel of `outer`."""
        return Rectangle(
            self.row_start - outer.row_start,
            self.row_stop - outer.row_start,
            self.column_start - outer.column_start,
            self.column_stop - outer.column_start,
        )


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
        Indices of the rank's scan positions in file order.
    """

    grid: tuple[int, int]
    owned: Rectangle
    covered: Rectangle
    positions: NDArray[np.int64]

    def fill(self, owned: NDArray[Any]) -> NDArray[Any]:
        """Return the covered pixels of fields (C, rows, columns) from the owned ones."""
        if self.owned == self.covered:
            return owned
        covered = np.zeros((len(owned), *self.covered.shape), owned.dtype)
        covered[(slice(None), *self.owned.within(self.covered).slices)] = owned
        return covered

    def collect(self, covered: NDArray[Any]) -> NDArray[Any]:
        """Adjoint of `fill`: owned pixels of fields (C, rows, columns), contributions of the halo added."""
        if self.owned == self.covered:
            return covered
        return np.ascontiguousarray(covered[(slice(None), *self.owned.within(self.covered).slices)])


def whole_plane(grid: tuple[int, int], count: int) -> Tile:
    """Return the tile of a single rank: the whole grid, no halo, all `count` positions."""
    everything = Rectangle(0, grid[0], 0, grid[1])
    return Tile(grid, everything, everything, np.arange(count))
