"""Who owns which scan positions and pixels, for any number of ranks. Knows no MPI.

Recursive coordinate bisection: the positions of a group of ranks are cut across their longer extent in
proportion to the ranks on either side, and the group's pixels with them, half-way between the two window
centres beside the cut. Every cut is made for all groups of a level at once, so that 10^5 ranks take
seconds. The cuts form a tree, in which the owners of any rectangle are found without comparing all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.parallel.rectangle import Rectangle

#: Edges of many rectangles: (R, 4) integers, row start, row stop, column start, column stop.
Edges = NDArray[np.int64]


@dataclass(frozen=True)
class Reach:
    """How far beyond its owned pixels a rank needs pixels, and how wide a margin its halo keeps.

    Attributes
    ----------
    before, after : int
        Pixels that the blur on the grid touches before the first and after the last owned pixel of a row or
        column; 0 where there is no such blur.
    margin : int
        Further pixels around every patch, for positions that may move.
    """

    before: int = 0
    after: int = 0
    margin: int = 0


@dataclass(frozen=True)
class _Tree:
    """The cuts: a node is split at `cut` across `axis` into nodes `low` and `low + 1`, or is a rank's own."""

    axis: NDArray[np.int8]
    cut: NDArray[np.int64]
    low: NDArray[np.int64]
    rank: NDArray[np.int64]


class Partition:
    """Scan positions and object pixels of each rank.

    Parameters
    ----------
    corners : (N, 2) array of int
        Integer corners of the m x m windows on the object grid.
    m : int
        Window size.
    grid : (int, int)
        Rows and columns of the object; every window lies inside.
    ranks : int
        Number of ranks R, at least 1. More ranks than positions leave some without positions.
    reach : Reach
        What the halo holds besides the patches.

    Attributes
    ----------
    owned : (R, 4) array of int64
        Edges of the pixels that only one rank updates; they tile the grid exactly. A rank may own none.
    covered : (R, 4) array of int64
        Edges of owned pixels and halo together: what the patches and the blur of the rank touch.
    counts : (R,) array of int64
        Positions of each rank: N / R rounded down or up.
    order : (N,) array of int64
        Indices of the positions, those of each rank together, in the order of the ranks.

    Raises
    ------
    ValueError
        If the number of ranks is below 1.
    """

    def __init__(
        self,
        corners: NDArray[np.int64],
        m: int,
        grid: tuple[int, int],
        ranks: int,
        reach: Reach = Reach(),
    ) -> None:
        if ranks < 1:
            raise ValueError(f"ranks: expected at least 1, got {ranks}")
        self.grid, self.m, self.ranks, self.reach = grid, m, ranks, reach
        self._corners = np.ascontiguousarray(corners, dtype=np.int64)
        self._bisect()
        self._cover()

    def _bisect(self) -> None:
        """Cut level by level until every node is one rank's."""
        corners, m = self._corners, self.m
        order = np.arange(len(corners))
        # nodes of the present level, in the order of their ranks
        names = np.zeros(1, np.int64)
        first_rank, ranks = np.zeros(1, np.int64), np.full(1, self.ranks)
        counts = np.full(1, len(corners))
        edges = np.array([[0, self.grid[0], 0, self.grid[1]]], np.int64)
        nodes = 2 * self.ranks - 1
        tree = _Tree(
            np.zeros(nodes, np.int8),
            np.zeros(nodes, np.int64),
            np.full(nodes, -1, np.int64),
            np.full(nodes, -1, np.int64),
        )
        made = 1
        while (ranks > 1).any():
            axis = self._longer_axis(order, counts, edges)
            node_of = np.repeat(np.arange(len(counts)), counts)
            along = np.take_along_axis(corners[order], axis[node_of, None], axis=1)[:, 0]
            across = np.take_along_axis(corners[order], 1 - axis[node_of, None], axis=1)[:, 0]
            keys = np.lexsort((order, across, along, node_of))
            order, along = order[keys], along[keys]
            split = ranks > 1
            low_ranks = np.where(split, ranks // 2, ranks)
            low_counts = np.where(split, counts * low_ranks // ranks, counts)
            cut = self._cuts(along, counts, low_counts, low_ranks / ranks, edges, axis, m)
            low_edges, high_edges = edges.copy(), edges.copy()
            each = np.arange(len(counts))
            low_edges[each, 2 * axis + 1] = np.where(split, cut, low_edges[each, 2 * axis + 1])
            high_edges[each, 2 * axis] = cut
            # children in the order of their ranks; a node of one rank stays as it is
            below: Any = made + 2 * (np.cumsum(split) - split)
            tree.axis[names[split]], tree.cut[names[split]] = axis[split], cut[split]
            tree.low[names[split]] = below[split]
            made += 2 * int(split.sum())
            place = np.concatenate([each, each[split] + 0.5]).argsort(kind="stable")

            def children(
                low: NDArray, high: NDArray, place: NDArray = place, split: NDArray = split
            ) -> NDArray:
                return np.concatenate([low, high[split]])[place]

            names = children(np.where(split, below, names), below + 1)
            first_rank = children(first_rank, first_rank + low_ranks)
            counts, ranks = children(low_counts, counts - low_counts), children(low_ranks, ranks - low_ranks)
            edges = children(low_edges, high_edges)
        tree.rank[names] = first_rank
        self._tree = tree
        self.order: NDArray[np.int64] = order
        self.owned: Edges = edges
        self.counts: NDArray[np.int64] = counts
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    def _longer_axis(self, order: NDArray, counts: NDArray, edges: Edges) -> NDArray[np.int64]:
        """Return across which axis (0: rows) each node is cut: that of its positions' longer extent."""
        extent = edges[:, 1::2] - edges[:, ::2]
        filled = counts > 0
        if filled.any():
            starts = (np.cumsum(counts) - counts)[filled]
            ordered = self._corners[order]
            spread = np.maximum.reduceat(ordered, starts) - np.minimum.reduceat(ordered, starts)
            # if all positions coincide, cut the pixels across their longer side
            extent[filled] = np.where(spread.any(axis=1, keepdims=True), spread, extent[filled])
        return (extent[:, 1] > extent[:, 0]).astype(np.int64)

    @staticmethod
    def _cuts(
        along: NDArray,
        counts: NDArray,
        low_counts: NDArray,
        share: NDArray,
        edges: Edges,
        axis: NDArray,
        m: int,
    ) -> NDArray[np.int64]:
        """Return the first row or column on the high side of each cut."""
        each = np.arange(len(counts))
        start, stop = edges[each, 2 * axis], edges[each, 2 * axis + 1]
        cut = start + np.rint(share * (stop - start)).astype(np.int64)
        between = (low_counts > 0) & (low_counts < counts)
        last_low = (np.cumsum(counts) - counts + low_counts - 1)[between]
        # the middle of the two window centres, rounded up
        cut[between] = (along[last_low] + along[last_low + 1] + m + 1) // 2
        # each side gets a pixel where there are two
        return np.clip(cut, np.minimum(start + 1, stop), np.maximum(stop - 1, start))

    def _cover(self) -> None:
        """Find the halos: bounding boxes of owned pixels, their blur and the patches."""
        reach, grid = self.reach, np.array(self.grid)
        covered = self.owned.copy()
        some = ((covered[:, 1::2] - covered[:, ::2]) > 0).all(axis=1)
        covered[some, ::2] -= reach.before
        covered[some, 1::2] += reach.after
        filled = self.counts > 0
        if filled.any():
            starts = self._starts[:-1][filled]
            ordered = self._corners[self.order]
            first = np.minimum.reduceat(ordered, starts) - reach.margin
            last = np.maximum.reduceat(ordered, starts) + self.m + reach.margin
            lonely = filled & ~some  # a rank may have positions without owning pixels
            covered[lonely, ::2], covered[lonely, 1::2] = first[lonely[filled]], last[lonely[filled]]
            covered[filled, ::2] = np.minimum(covered[filled, ::2], first)
            covered[filled, 1::2] = np.maximum(covered[filled, 1::2], last)
        covered[:, ::2] = np.maximum(covered[:, ::2], 0)
        covered[:, 1::2] = np.minimum(covered[:, 1::2], grid)
        self.covered: Edges = covered

    def positions(self, rank: int) -> NDArray[np.int64]:
        """Return the indices of a rank's positions in increasing order."""
        return np.sort(self.order[self._starts[rank] : self._starts[rank + 1]])

    def owned_by(self, rank: int) -> Rectangle:
        """Return the pixels that a rank owns."""
        return Rectangle.of(self.owned[rank])

    def covered_by(self, rank: int) -> Rectangle:
        """Return a rank's owned pixels and halo."""
        return Rectangle.of(self.covered[rank])

    def owners(self, edges: Edges) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which ranks own pixels of some rectangles.

        Parameters
        ----------
        edges : (Q, 4) array of int64

        Returns
        -------
        asked, owner : (E,) arrays of int64
            Pairs of a rectangle's index and a rank, in increasing order.
        """
        edges = np.atleast_2d(edges)
        asked = np.flatnonzero(((edges[:, 1::2] - edges[:, ::2]) > 0).all(axis=1))
        node = np.zeros(len(asked), np.int64)
        found: list[NDArray[np.int64]] = []
        tree = self._tree
        while len(node):
            leaf = tree.rank[node] >= 0
            found.append(np.stack([asked[leaf], tree.rank[node[leaf]]]))
            asked, node = asked[~leaf], node[~leaf]
            axis, cut = tree.axis[node].astype(np.int64), tree.cut[node]
            low = edges[asked, 2 * axis] < cut
            high = edges[asked, 2 * axis + 1] > cut
            asked = np.concatenate([asked[low], asked[high]])
            node = np.concatenate([tree.low[node[low]], tree.low[node[high]] + 1])
        pairs = np.concatenate(found, axis=1) if found else np.zeros((2, 0), np.int64)
        # a cut at the edge of a node leaves one side without pixels
        owned = self.owned[pairs[1]]
        pairs = pairs[:, ((owned[:, 1::2] - owned[:, ::2]) > 0).all(axis=1)]
        pairs = pairs[:, np.lexsort((pairs[1], pairs[0]))]
        return pairs[0], pairs[1]

    def edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which rank needs pixels of which: sorted (receiver, owner) pairs of different ranks."""
        receiver, owner = self.owners(self.covered)
        other = receiver != owner
        return receiver[other], owner[other]

    def neighbours(self, rank: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the neighbours of one rank.

        Returns
        -------
        sources, destinations : arrays of int64
            The ranks that own pixels of its halo, and those in whose halo its own pixels lie.
        """
        sources = self.owners(self.covered[rank : rank + 1])[1]
        # grown by the widest halo, the pixels of this rank meet those of all ranks that may need them
        wide = self.owned[rank : rank + 1].copy()
        some = self.owned_by(rank).size > 0
        wide[:, ::2] -= int((self.covered[:, 1::2] - self.owned[:, 1::2]).max(initial=0))
        wide[:, 1::2] += int((self.owned[:, ::2] - self.covered[:, ::2]).max(initial=0))
        near = self.owners(wide)[1] if some else np.zeros(0, np.int64)
        # ranks without pixels are in no owner's list, but may have a halo
        bare = ((self.owned[:, 1::2] - self.owned[:, ::2]) <= 0).any(axis=1)
        near = np.union1d(near, np.flatnonzero(bare)) if some else near
        meets = self._overlap(self.covered[near], self.owned[rank]).all(axis=1)
        destinations = near[meets]
        return sources[sources != rank], destinations[destinations != rank]

    @staticmethod
    def _overlap(edges: Edges, other: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return, for rows and for columns, whether rectangles meet another one."""
        return np.minimum(edges[:, 1::2], other[1::2]) > np.maximum(edges[:, ::2], other[::2])

    @property
    def balance(self) -> float:
        """Most positions of a rank over their mean."""
        return float(self.counts.max() * self.ranks / max(int(self.counts.sum()), 1))
