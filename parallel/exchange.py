"""One pass over a rank's positions, computed while halos travel to and from its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ptyxrf.parallel.halo import HaloField
from ptyxrf.parallel.rectangle import Window


class Arrived(NamedTuple):
    """Pixels of the incoming fields are there: ``fields`` (C, rows, columns) hold them, ``at`` a window."""

    fields: NDArray[Any]
    at: Window


class Positions(NamedTuple):
    """All incoming pixels that the positions ``first`` to ``last - 1`` touch are there."""

    first: int
    last: int


class Complete(NamedTuple):
    """All incoming pixels are there, and no outgoing pixel has left."""


class Leaving(NamedTuple):
    """The positions add nothing more to the pixels ``at`` of the halo; they leave after this event."""

    at: Window


Event = Arrived | Positions | Complete | Leaving


class Exchange:
    """What can be computed next, in an order that lets halos travel meanwhile.

    Iterating yields `Arrived` for the owned pixels, then `Positions` in batches, each after the `Arrived` of
    the halo that it touches, `Complete` once, and `Leaving` for each part of the outgoing halo. Between two
    events messages are started and awaited. On one rank nothing travels and the batches follow each other.

    Parameters
    ----------
    owned : (C, rows, columns) array
        Fields on the owned pixels; they are sent to the neighbours at once.
    incoming : HaloField
        Receives their halo.
    outgoing : HaloField or None
        Fields that the events add to, whose halo goes back to its owners; None: nothing goes back.
    batch : int
        Largest number of positions in one event.
    keep : bool
        Copy the owned pixels to the incoming field too. False: only the halo is filled.
    """

    def __init__(
        self,
        owned: NDArray[Any],
        incoming: HaloField,
        outgoing: HaloField | None,
        batch: int,
        *,
        keep: bool = True,
    ) -> None:
        self._owned, self._incoming, self._outgoing, self._batch = owned, incoming, outgoing, batch
        tile = self._tile = incoming.tile
        sources = range(len(tile.sources))
        self._awaited = sorted(sources, key=lambda k: tile.first_use[k])
        self._unsent = sorted(sources, key=lambda k: tile.last_use[k])
        self._completed = False
        incoming.start_fill(owned, keep=keep)

    def __iter__(self) -> Iterator[Event]:
        tile, incoming, outgoing = self._tile, self._incoming, self._outgoing
        yield Arrived(self._owned, tile.owned_window)
        if outgoing is not None:
            outgoing.start_collect()
        count = len(tile.positions)
        touched = min(tile.first_use, default=count)  # no earlier position touches a halo
        exchanges = bool(tile.sources or tile.destinations)
        for first in range(0, count, self._batch):
            last = min(first + self._batch, count)
            yield from self._receive(last)
            yield Positions(first, last)
            if not exchanges:
                continue
            incoming.test()
            if first >= touched:
                yield from self._send_back(last)
            # neighbours send back at about the same time as this rank: earlier there is nothing to test
            if outgoing is not None and len(self._unsent) < len(tile.sources):
                outgoing.test()
        yield from self._complete()
        yield from self._send_back(count)

    def finish(self, owned: NDArray[Any], scale: float) -> None:
        """Add what the neighbours have sent back, times a scale, to owned fields."""
        if self._outgoing is not None:
            self._outgoing.finish_collect(owned, scale)

    def _receive(self, last: int) -> Iterator[Event]:
        """Await the halo that positions before ``last`` touch."""
        tile = self._tile
        while self._awaited and tile.first_use[self._awaited[0]] < last:
            k = self._awaited.pop(0)
            self._incoming.await_source(k)
            yield Arrived(self._incoming.covered, Window.same(tile.sources[k].pixels))

    def _complete(self) -> Iterator[Event]:
        """Await the rest of the halo."""
        if not self._completed:
            yield from self._receive(len(self._tile.positions) + 1)
            self._incoming.finish_fill()
            self._completed = True
            yield Complete()

    def _send_back(self, done: int) -> Iterator[Event]:
        """Send back the halo that no position from ``done`` on touches."""
        tile, outgoing = self._tile, self._outgoing
        while outgoing is not None and self._unsent and tile.last_use[self._unsent[0]] <= done:
            yield from self._complete()
            k = self._unsent.pop(0)
            yield Leaving(Window.same(tile.sources[k].pixels))
            outgoing.send_back(k)
