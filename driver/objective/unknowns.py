"""Several kinds of unknowns in one real vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.objective.unknown_kinds import StoredVectors, Unknown
from ptyxrf.kernels.reductions import dot, dots
from ptyxrf.parallel.reduction import Ranks


class Unknowns:
    """Several kinds of unknowns in one vector.

    Attributes
    ----------
    names : tuple of str
        Keys of `scatter` and `gather`.
    size : int
        Numbers of this rank's vector.
    cut : int
        Numbers that this rank owns; the replicated ones follow.
    held : frozenset of str
        Names that stay as they are at present: their part of gradients and products is 0.
    """

    def __init__(self, ranks: Ranks, kinds: Sequence[Unknown], dtype: Any) -> None:
        self.ranks, self.dtype = ranks, np.dtype(dtype)
        self.kinds = sorted(kinds, key=lambda kind: kind.replicated)
        self.size = 0
        for kind in self.kinds:
            kind.start = self.size
            self.size += kind.size
        self.cut = sum(kind.size for kind in self.kinds if not kind.replicated)
        self.names = tuple(name for kind in self.kinds for name in kind.names)
        self.held: frozenset[str] = frozenset()

    def scatter(self, arrays: Mapping[str, ArrayLike]) -> NDArray[Any]:
        """Return this rank's vector for global arrays by name, the same on every rank."""
        if set(arrays) != set(self.names):
            raise ValueError(
                f"scatter: expected {', '.join(self.names)}, got {', '.join(arrays) or 'nothing'}"
            )
        vector = np.empty(self.size, self.dtype)
        for kind in self.kinds:
            kind.scatter(arrays, vector)
        return vector

    def gather(self, vector: NDArray) -> dict[str, NDArray[Any]]:
        """Return global arrays by name, on every rank."""
        return {name: values for kind in self.kinds for name, values in kind.gather(vector).items()}

    def checked(self, vector: NDArray) -> NDArray[Any]:
        """Return a user's vector as one of this problem's, or raise ValueError."""
        array = np.asarray(vector)
        if array.shape != (self.size,):
            raise ValueError(f"vector: expected shape ({self.size},), got {array.shape}")
        return np.ascontiguousarray(array, dtype=self.dtype)

    # ---------------------------------------------------------------- over the ranks

    def dot(self, left: NDArray, right: NDArray) -> float:
        """Return the dot product of two vectors over all ranks; what is replicated counts once."""
        cut = self.cut
        own = self.ranks.sum(np.array([dot(left[:cut], right[:cut])]))
        return float(own[0]) + dot(left[cut:], right[cut:])

    @property
    def shares_move(self) -> bool:
        """Whether some replicated unknown is free, so that its gradient is a sum over the ranks."""
        return any(kind.replicated and not self.held.issuperset(kind.names) for kind in self.kinds)

    def add_shares(self, vector: NDArray, *numbers: float) -> NDArray[np.float64]:
        """Sum the replicated part of a vector over the ranks, and some numbers, in one reduction.

        Parameters
        ----------
        vector : array
            A gradient, or a product: its replicated part is this rank's share, and becomes the sum.
        *numbers : float

        Returns
        -------
        array of float64
            The sums of the numbers.
        """
        if not self.shares_move:
            return self.ranks.sum(np.array(numbers, dtype=np.float64))
        shares = self.ranks.sum(np.concatenate([vector[self.cut :].astype(np.float64), numbers]))
        vector[self.cut :] = shares[: -len(numbers)]
        return shares[-len(numbers) :]

    def product_dots(
        self, direction: NDArray, product: NDArray, residual: NDArray
    ) -> tuple[float, float, float]:
        """Sum the shares of a product; return its dots with a direction and those of a residual.

        These are (residual . direction, product . direction, residual . residual). All travel in one
        reduction: product . direction is linear in the shares, so their sum is the dot with the whole.
        """
        cut = self.cut
        totals = self.add_shares(product, *dots(direction[:cut], product[:cut], residual[:cut]))
        if self.shares_move:
            totals = totals + np.array(dots(direction[cut:], product[cut:], residual[cut:]))
        return tuple(totals)

    # ---------------------------------------------------------------- checkpoints

    def store(self, vectors: Mapping[str, NDArray]) -> StoredVectors:
        """Return vectors as a checkpoint holds them; all ranks take part."""
        content = StoredVectors()
        for name, vector in vectors.items():
            for kind in self.kinds:
                kind.store(name, vector, content)
        return content

    def restore(self, names: Sequence[str], content: StoredVectors) -> dict[str, NDArray[Any]]:
        """Return the vectors of some names that a checkpoint holds."""
        vectors = {name: np.empty(self.size, self.dtype) for name in names}
        for name, vector in vectors.items():
            for kind in self.kinds:
                kind.restore(name, content, vector)
        return vectors
