"""Rectangles of pixels on the object grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rectangle:
    """Pixels [row_start, row_stop) x [column_start, column_stop) of the object grid."""

    row_start: int
    row_stop: int
    column_start: int
    column_stop: int

    @classmethod
    def of(cls, edges: NDArray[np.int64]) -> Rectangle:
        """Return the rectangle with the four edges (row start, row stop, column start, column stop)."""
        return cls(*(int(edge) for edge in edges))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row_stop - self.row_start, self.column_stop - self.column_start

    @property
    def size(self) -> int:
        """Number of pixels."""
        rows, columns = self.shape
        return rows * columns

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

    def overlap(self, other: Rectangle) -> Rectangle:
        """Return the pixels of both; where there are none, a rectangle without pixels."""
        row_start = max(self.row_start, other.row_start)
        column_start = max(self.column_start, other.column_start)
        return Rectangle(
            row_start,
            max(row_start, min(self.row_stop, other.row_stop)),
            column_start,
            max(column_start, min(self.column_stop, other.column_stop)),
        )
