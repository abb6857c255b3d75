"""The three kinds of unknowns that a real vector of a problem holds.

- `Fields`: a number per pixel and channel. A rank has the pixels that it owns; a halo travels before they
  are used.
- `PerPosition`: a few numbers per scan position, on the rank that owns the position.
- `Replicated`: the same few numbers on every rank. They count once in dot products, and each rank computes a
  share of their gradient.

A rank's vector holds what it owns first and what is replicated last. What a kind means for scattering,
gathering, dot products, checkpoints and the preconditioner is in its class; `Unknowns` puts several kinds
into one vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import real_array
from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.parallel.gather import gather_tiles
from ptyxrf.parallel.halo import HaloField
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.tile import Tile


def finite(name: str, values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return values, or raise ValueError where some are not finite in a precision."""
    largest = np.finfo(dtype).max
    parts = (values.real, values.imag) if np.iscomplexobj(values) else (values,)
    if not all((np.abs(part) <= largest).all() for part in parts):  # NaN compares false
        raise ValueError(
            f"{name}: expected finite numbers, got NaN or infinity (or too large for {np.dtype(dtype)})"
        )
    return values


class Unknown(ABC):
    """A kind of unknown, and its place in a rank's vector.

    Attributes
    ----------
    names : tuple of str
        Keys of `Unknowns.scatter` and `Unknowns.gather`.
    size : int
        Numbers in this rank's vector.
    start : int
        First of them; set by `Unknowns`.
    real : float32 or float64
        Of the vector.
    replicated : bool
        Whether every rank has the same numbers.
    """

    names: tuple[str, ...]
    size: int
    real: np.dtype[Any]
    start: int = 0
    replicated = False

    def part(self, vector: NDArray) -> NDArray[Any]:
        """Return this unknown's numbers in a vector (of floats or flags), flat, as a view."""
        return vector[self.start : self.start + self.size]

    @abstractmethod
    def view(self, vector: NDArray) -> NDArray[Any]:
        """Return this unknown in a vector as a view in its own shape."""

    @abstractmethod
    def scatter(self, values: Mapping[str, ArrayLike], vector: NDArray) -> None:
        """Set a rank's numbers from global arrays, the same on every rank.

        Raises
        ------
        ValueError
            A wrong shape, or numbers that are not finite.
        """

    @abstractmethod
    def gather(self, vector: NDArray) -> dict[str, NDArray[Any]]:
        """Return global arrays on every rank; all ranks take part."""

    def hold(self, vector: NDArray, names: frozenset[str]) -> None:
        """Zero what belongs to the held names in a gradient or a product."""
        if names.issuperset(self.names):
            self.part(vector)[...] = 0

    def identity_blocks(self, held: frozenset[str]) -> InverseBlocks:
        """Return the identity, or 0 where the unknown is held."""
        number = 0.0 if held.issuperset(self.names) else 1.0
        return self.diagonal(np.full(self.size, number, self.real))

    def inverse_blocks(self, held: frozenset[str]) -> InverseBlocks:
        """Return the part of the preconditioner at the point last evaluated; the identity by default."""
        return self.identity_blocks(held)

    def preconditioner_state(self) -> dict[str, NDArray[Any]]:
        """Return what the preconditioner remembers of earlier points: arrays, the same on every rank."""
        return {}

    def restore_preconditioner(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take what `preconditioner_state` has returned in an earlier run."""
        return

    def diagonal(self, inverse: NDArray) -> InverseBlocks:
        """Return a diagonal part of the preconditioner, given one over the diagonal."""
        return InverseBlocks.diagonal(self.start, inverse, replicated=self.replicated)

    def store(self, name: str, vector: NDArray, content: StoredVectors) -> None:
        """Add this unknown of a vector to what a checkpoint holds; all ranks take part."""
        for key, values in self.gather(vector).items():
            content.arrays[f"{name}.{key}"] = values

    def restore(self, name: str, content: StoredVectors, vector: NDArray) -> None:
        """Set this unknown of a vector from what a checkpoint holds."""
        self.scatter({key: content.arrays[f"{name}.{key}"] for key in self.names}, vector)


@dataclass
class StoredVectors:
    """Vectors as a checkpoint holds them, for any number of ranks.

    Attributes
    ----------
    fields : dict of str to (C, rows, columns) array
        By the name of the vector, on the owned pixels.
    arrays : dict of str to array
        By the names of vector and unknown, the same on every rank.
    """

    fields: dict[str, NDArray[Any]] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


class Fields(Unknown):
    """Maps on the object grid, one or more channels for each name.

    Parameters
    ----------
    ranks : Ranks
    tile : Tile
    widths : mapping of str to int
        Channels of each name in order; 0: one map without an axis for channels.
    dtype : float32 or float64

    Attributes
    ----------
    channels : dict of str to slice
        Which channels each name has.
    shape : (int, int, int)
        Of the owned fields.
    """

    def __init__(self, ranks: Ranks, tile: Tile, widths: Mapping[str, int], dtype: Any) -> None:
        self.ranks, self.tile, self.real = ranks, tile, np.dtype(dtype)
        self.names, self._widths = tuple(widths), dict(widths)
        self.channels: dict[str, slice] = {}
        count = 0
        for name, width in widths.items():
            self.channels[name] = slice(count, count + max(width, 1))
            count += max(width, 1)
        self.shape = (count, *tile.owned.shape)
        self.size = int(np.prod(self.shape))

    @property
    def elements(self) -> slice:
        """Channels of the element maps; an empty slice without them."""
        return self.channels.get("elements", slice(0, 0))

    def view(self, vector: NDArray) -> NDArray[Any]:
        """Return the owned fields (C, rows, columns)."""
        return self.part(vector).reshape(self.shape)

    def only(self, name: str, vector: NDArray) -> NDArray[Any] | None:
        """Return a copy of one map (rows, columns) of the owned pixels; None where it is no unknown."""
        return self.view(vector)[self.channels[name]][0].copy() if name in self.channels else None

    def range_of(self, names: Sequence[str]) -> slice:
        """Return the range of channels that stand together in a vector, empty where there is none of them."""
        where = [self.channels[name] for name in names if name in self.channels]
        pixels = self.tile.owned.size
        if not where:
            return slice(0, 0)
        return slice(self.start + where[0].start * pixels, self.start + where[-1].stop * pixels)

    def halo(self) -> HaloField:
        """Return fields on the covered pixels, for an exchange."""
        return HaloField(self.ranks, self.tile, self.shape[0], self.real)

    def owned(self, name: str, value: ArrayLike) -> NDArray[np.float64]:
        """Return this rank's part of a global map, or a number that fills it."""
        width = self._widths.get(name, 0)
        shape = (width, *self.tile.grid) if width else self.tile.grid
        values = real_array(name, value)
        if values.shape not in ((), shape):
            raise ValueError(f"{name}: expected shape {shape} or a number, got {values.shape}")
        finite(name, values, self.real)
        return values[(..., *self.tile.owned.slices)] if values.shape else values

    def scatter(self, values: Mapping[str, ArrayLike], vector: NDArray) -> None:
        """Set the owned pixels; a number fills a map."""
        fields = self.view(vector)
        for name, where in self.channels.items():
            fields[where] = self.owned(name, values[name])

    def gather(self, vector: NDArray) -> dict[str, NDArray[Any]]:
        """Return whole maps. This is the one place where a rank holds the whole object."""
        whole = gather_tiles(self.ranks.comm, self.tile, self.view(vector))
        return {
            name: whole[where] if self._widths[name] else whole[where][0]
            for name, where in self.channels.items()
        }

    def hold(self, vector: NDArray, names: frozenset[str]) -> None:
        """Zero the held channels."""
        for name in names.intersection(self.names):
            self.view(vector)[self.channels[name]] = 0

    def store(self, name: str, vector: NDArray, content: StoredVectors) -> None:
        """Add the owned fields, which are written in tiles."""
        content.fields[name] = self.view(vector)

    def restore(self, name: str, content: StoredVectors, vector: NDArray) -> None:
        """Set the owned fields."""
        self.view(vector)[...] = content.fields[name]


class Replicated(Unknown):
    """An array that every rank has.

    Parameters
    ----------
    name : str
    shape : tuple of int
    dtype : dtype
        Real or complex; a complex number stands as (re, im) in a vector.
    """

    replicated = True

    def __init__(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        self.names, self.shape, self.dtype = (name,), shape, np.dtype(dtype)
        self.real = self.dtype.type(0).real.dtype
        self.size = int(np.prod(shape)) * (2 if self.dtype.kind == "c" else 1)

    def view(self, vector: NDArray) -> NDArray[Any]:
        """Return the array."""
        return self.part(vector).view(self.dtype).reshape(self.shape)

    def scatter(self, values: Mapping[str, ArrayLike], vector: NDArray) -> None:
        """Set the array."""
        (name,) = self.names
        array = np.asarray(values[name])
        if array.shape != self.shape:
            raise ValueError(f"{name}: expected shape {self.shape}, got {array.shape}")
        self.view(vector)[...] = finite(name, array, self.real)

    def gather(self, vector: NDArray) -> dict[str, NDArray[Any]]:
        """Return a copy of the array."""
        return {self.names[0]: self.view(vector).copy()}


class PerPosition(Unknown):
    """A few numbers for each scan position, on the rank that computes the position.

    Parameters
    ----------
    name : str
    ranks : Ranks
    tile : Tile
    count : int
        Positions of all ranks.
    width : int
        Numbers of each.
    dtype : float32 or float64
    """

    def __init__(self, name: str, ranks: Ranks, tile: Tile, count: int, width: int, dtype: Any) -> None:
        self.names, self.ranks, self.tile = (name,), ranks, tile
        self.count, self.width, self.real = count, width, np.dtype(dtype)
        self.size = len(tile.positions) * width

    def view(self, vector: NDArray) -> NDArray[Any]:
        """Return the numbers (n, width) of the rank's positions, in the order of ``tile.positions``.

        In the vector, the first number of all positions stands before the second, as channels of fields do.
        """
        return self.part(vector).reshape(self.width, -1).T

    def scatter(self, values: Mapping[str, ArrayLike], vector: NDArray) -> None:
        """Set the numbers of the rank's positions from (N, width) numbers in the order of the scan."""
        (name,) = self.names
        array = real_array(name, values[name])
        if array.shape != (self.count, self.width):
            raise ValueError(f"{name}: expected shape {(self.count, self.width)}, got {array.shape}")
        self.view(vector)[...] = finite(name, array, self.real)[self.tile.positions]

    def gather(self, vector: NDArray) -> dict[str, NDArray[Any]]:
        """Return the (N, width) numbers of all positions, in the order of the scan."""
        whole = np.zeros((self.count, self.width))
        whole[self.tile.positions] = self.view(vector)
        # each position has one owner, so the sum is exact
        return {self.names[0]: self.ranks.sum(whole).astype(self.real)}
