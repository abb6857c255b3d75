"""Whole arrays from the ranks' parts, where a user asks for them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.parallel.rectangle import Rectangle
from ptyxrf.parallel.tile import Tile
from ptyxrf.parallel.waiting import Wait

PARTS = Wait("the other ranks' parts of an array")


def _parts(comm: Any, local: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the flat local arrays of all ranks, on every rank."""
    with PARTS:
        counts = np.array(comm.allgather(local.size))
    whole = np.empty(int(counts.sum()), local.dtype)
    starts = np.concatenate([[0], np.cumsum(counts)])
    # one broadcast per rank: the counts may exceed what one collective call with offsets can address
    for rank, (first, last) in enumerate(pairwise(starts.tolist())):
        part = whole[first:last]
        if rank == comm.Get_rank():
            part[...] = local.reshape(-1)
        with PARTS:
            comm.Bcast(part, root=rank)
    return np.split(whole, starts[1:-1])


def gather_tiles(comm: Any, tile: Tile, owned: NDArray[Any]) -> NDArray[Any]:
    """Return fields on the whole grid from the owned pixels of each rank.

    Parameters
    ----------
    comm : communicator or None
    tile : Tile
    owned : (C, rows, columns) array

    Returns
    -------
    (C, n_rows, n_cols) array
        On every rank; a copy.
    """
    if comm is None:
        return np.array(owned)
    whole = np.empty((len(owned), *tile.grid), owned.dtype)
    with PARTS:
        rectangles: list[Rectangle] = comm.allgather(tile.owned)
    for rectangle, part in zip(rectangles, _parts(comm, np.ascontiguousarray(owned)), strict=True):
        whole[(slice(None), *rectangle.slices)] = part.reshape(len(owned), *rectangle.shape)
    return whole


def gather_positions(comm: Any, tile: Tile, values: NDArray[Any]) -> NDArray[Any]:
    """Return values (..., n) of each rank's positions as (..., N) in file order, on every rank."""
    flat = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    if comm is None:
        order, parts = tile.positions, flat
    else:
        order = np.concatenate(_parts(comm, tile.positions))
        parts = np.concatenate(_parts(comm, flat)).reshape(len(order), *flat.shape[1:])
    whole = np.empty_like(parts)
    whole[order] = parts
    return np.ascontiguousarray(np.moveaxis(whole, 0, -1))
