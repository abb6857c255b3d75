"""A Gaussian prior on the differences of neighbouring pixels of each map.

    Phi_w = sum_e strength_e / 2 sum over pairs (i, j) of neighbours in rows and columns (w_e,i - w_e,j)^2

It keeps a least-squares problem in the maps one. Each pair counts once over all ranks: the differences of an
owned pixel from the pixel to its right and from the one below belong to its owner. Shapes: ``maps`` are
(N_e, rows, columns) on the tile, which holds the neighbours of all owned pixels; ``window`` (row, column,
rows, columns) are the owned ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled

Pixels = tuple[int, int, int, int]


@compiled
def add_differences(maps: NDArray, window: Pixels, strengths: NDArray, out: NDArray) -> None:
    """out[e] += strengths[e] times the sum of the differences of a pixel from its neighbours."""
    row, column, rows, columns = window
    for e in range(maps.shape[0]):
        strength = strengths[e]
        if strength == 0:
            continue
        for i in range(row, row + rows):
            here, target = maps[e, i], out[e, i]
            for k in (i - 1, i + 1):
                if 0 <= k < maps.shape[1]:
                    other = maps[e, k]
                    for c in range(column, column + columns):
                        target[c] += strength * (here[c] - other[c])
            for c in range(max(column, 1), column + columns):
                target[c] += strength * (here[c] - here[c - 1])
            for c in range(column, min(column + columns, maps.shape[2] - 1)):
                target[c] += strength * (here[c] - here[c + 1])


@compiled
def difference_products(left: NDArray, right: NDArray, window: Pixels, sums: NDArray) -> None:
    """sums[e] += the sum of the products of the differences in two maps, over the pairs of the window."""
    row, column, rows, columns = window
    for e in range(left.shape[0]):
        total = 0.0
        for i in range(row, row + rows):
            one, other = left[e, i], right[e, i]
            for c in range(column, min(column + columns, left.shape[2] - 1)):
                total += np.float64(one[c + 1] - one[c]) * np.float64(other[c + 1] - other[c])
            if i + 1 < left.shape[1]:
                below, beneath = left[e, i + 1], right[e, i + 1]
                for c in range(column, column + columns):
                    total += np.float64(below[c] - one[c]) * np.float64(beneath[c] - other[c])
        sums[e] += total


class MapPrior:
    """The prior of the maps on a rank.

    Parameters
    ----------
    window : (int, int, int, int)
        Row, column, rows and columns of the owned pixels on the tile.
    elements : int
        N_e.
    dtype : float32 or float64
        Of the maps.

    Attributes
    ----------
    strengths : (N_e,) array of float64
        In the unit of the loss; 0: no prior.
    """

    def __init__(self, window: Pixels, elements: int, dtype: Any) -> None:
        self._window, self._dtype = window, np.dtype(dtype)
        self.strengths = np.zeros(elements)
        self._maps: NDArray[Any] = np.zeros((elements, 0, 0), dtype)

    def squares(self, maps: NDArray, other: NDArray) -> NDArray[np.float64]:
        """Return the products of the differences of each element in two maps, (N_e,)."""
        sums = np.zeros(len(maps))
        difference_products(maps, other, self._window, sums)
        return sums

    def _add(self, maps: NDArray, out: NDArray) -> None:
        add_differences(maps, self._window, self.strengths.astype(self._dtype), out)

    def gradient(self, maps: NDArray, gradient: NDArray) -> float:
        """Add the gradient on the owned pixels to `gradient`; return the loss of the rank's pairs."""
        self._maps = maps
        self._add(maps, gradient)
        return 0.5 * float(self.strengths @ self.squares(maps, maps))

    def product(self, change: NDArray, product: NDArray) -> None:
        """Add the Hessian product on the owned pixels to `product`."""
        self._add(change, product)

    def losses_along(self, change: NDArray, steps: NDArray) -> NDArray[np.float64]:
        """Return the loss at the point last evaluated plus t times a change, for each t in `steps`."""
        pairs = ((self._maps, self._maps), (self._maps, change), (change, change))
        still, slope, bend = (float(self.strengths @ self.squares(*pair)) for pair in pairs)
        return 0.5 * still + steps * slope + 0.5 * steps**2 * bend

    def diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal of the Hessian of each element, as at a pixel with four neighbours, (N_e,)."""
        return 4 * self.strengths
