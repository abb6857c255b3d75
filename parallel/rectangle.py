"""Rectangles of pixels on the object grid, and their place in arrays that cover part of it."""

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


@dataclass(frozen=True)
class Window:
    """Some pixels of an image, and where they are in fields that may begin at another pixel.

    Attributes
    ----------
    pixels : Rectangle
        In the image, and in the fields at the point, which cover the same pixels.
    corner : (int, int)
        The first of them in the fields that are mapped.
    """

    pixels: Rectangle
    corner: tuple[int, int]

    @classmethod
    def same(cls, pixels: Rectangle) -> Window:
        """Return a window of fields that cover the same pixels as the image."""
        return cls(pixels, (pixels.row_start, pixels.column_start))

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """First row and column in the image, rows and columns."""
        return self.pixels.row_start, self.pixels.column_start, *self.pixels.shape
