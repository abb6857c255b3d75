"""Fields on a rank's covered pixels, and the exchange of their halo with the neighbours.

Forward (`fill`): each owner sends pixels to the ranks in whose halo they lie. Its exact adjoint
(`collect`): what was added to a halo goes back and is added to the owner's pixels, neighbour by neighbour
in the order of their ranks, so that a repeated run gives the same sum. Both use persistent point-to-point
requests on sub-array datatypes: nothing is packed by hand, and one call starts a message.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.parallel.rectangle import Rectangle
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.tile import Tile

FILL_TAG, COLLECT_TAG = 1, 2

#: Seconds between two tests of what is under way: often enough for messages to move, at no cost.
TEST_INTERVAL = 1e-4


class HaloField:
    """Several fields on the covered pixels of a rank, with the requests that exchange their halo.

    Parameters
    ----------
    ranks : Ranks
    tile : Tile
    channels : int
        Number of fields; they travel together, one message for each neighbour.
    dtype : dtype
        Real or complex.

    Attributes
    ----------
    covered : (channels, rows, columns) array
        The fields. Requests are bound to this memory: assign into it.
    """

    def __init__(self, ranks: Ranks, tile: Tile, channels: int, dtype: Any) -> None:
        self.ranks, self.tile = ranks, tile
        self.covered: NDArray[Any] = np.zeros((channels, *tile.covered.shape), dtype)
        self._made: list[Any] = []
        self._fill: tuple[list[Any], list[Any]] | None = None
        self._collect: tuple[list[Any], list[Any]] | None = None
        self._returned: list[NDArray[Any]] = []
        self._active: list[Any] = []
        self._tested = 0.0
        # MPI keeps what was made for it until it is given back; Python's end counts as the field's
        self._release = weakref.finalize(self, _give_back, self._made)

    # ---------------------------------------------------------------- requests

    def _message(self, pixels: Rectangle) -> list[Any]:
        """Return the buffer of some pixels of all channels, as MPI wants it."""
        from mpi4py import MPI

        channels, rows, columns = self.covered.shape
        made = MPI.Datatype.fromcode(self.covered.dtype.char).Create_subarray(
            (channels, rows, columns),
            (channels, *pixels.shape),
            (0, pixels.row_start, pixels.column_start),
        )
        made.Commit()
        self._made.append(made)
        return [self.covered, 1, made]

    def _fill_requests(self) -> tuple[list[Any], list[Any]]:
        """Return the sends to the destinations and the receives from the sources."""
        if self._fill is None:
            comm = self.ranks.comm
            self._fill = (
                [
                    comm.Send_init(self._message(shared.pixels), shared.rank, FILL_TAG)
                    for shared in self.tile.destinations
                ],
                [
                    comm.Recv_init(self._message(shared.pixels), shared.rank, FILL_TAG)
                    for shared in self.tile.sources
                ],
            )
            self._made += [*self._fill[0], *self._fill[1]]
        return self._fill

    def _collect_requests(self) -> tuple[list[Any], list[Any]]:
        """Return the sends to the sources and the receives from the destinations."""
        if self._collect is None:
            comm = self.ranks.comm
            self._returned = [
                np.zeros((len(self.covered), *shared.pixels.shape), self.covered.dtype)
                for shared in self.tile.destinations
            ]
            self._collect = (
                [
                    comm.Send_init(self._message(shared.pixels), shared.rank, COLLECT_TAG)
                    for shared in self.tile.sources
                ],
                [
                    comm.Recv_init(buffer, shared.rank, COLLECT_TAG)
                    for shared, buffer in zip(self.tile.destinations, self._returned, strict=True)
                ],
            )
            self._made += [*self._collect[0], *self._collect[1]]
        return self._collect

    def _sent(self, messages: Iterable[Rectangle]) -> None:
        traffic = self.ranks.traffic
        for pixels in messages:
            traffic.messages += 1
            traffic.bytes += pixels.size * len(self.covered) * self.covered.itemsize

    def test(self) -> None:
        """Let MPI move what is under way; without such calls long messages stand still."""
        began = time.perf_counter()
        if self._active and began - self._tested > TEST_INTERVAL:
            from mpi4py import MPI

            if MPI.Request.Testall(self._active):
                self._active = []
            self._tested = time.perf_counter()
            self.ranks.traffic.exchange_seconds += self._tested - began

    # ---------------------------------------------------------------- owner to halo

    def start_fill(self, owned: NDArray[Any]) -> None:
        """Take the owned fields (channels, rows, columns) and send them where they are needed."""
        self.tile.owned_part(self.covered)[...] = owned
        if self.ranks.comm is None:
            return
        began = time.perf_counter()
        sends, receives = self._fill_requests()
        for request in (*receives, *sends):
            request.Start()
        self._active = [*receives, *sends]
        self._sent(shared.pixels for shared in self.tile.destinations)
        self.ranks.traffic.exchange_seconds += time.perf_counter() - began

    def await_source(self, k: int) -> None:
        """Wait until the part of the halo that source k owns is there."""
        began = time.perf_counter()
        self._fill_requests()[1][k].Wait()
        self.ranks.traffic.exchange_seconds += time.perf_counter() - began

    def finish_fill(self) -> None:
        """Wait until the halo is there and what was sent may be changed."""
        self._wait()

    def fill(self, owned: NDArray[Any]) -> NDArray[Any]:
        """Return the covered fields of owned ones; valid until the next call."""
        self.start_fill(owned)
        self.finish_fill()
        return self.covered

    # ---------------------------------------------------------------- halo to owner

    def start_collect(self) -> None:
        """Be ready to receive what the neighbours have added to their halos."""
        if self.ranks.comm is None:
            return
        began = time.perf_counter()
        _, receives = self._collect_requests()
        for request in receives:
            request.Start()
        self._active = list(receives)
        self.ranks.traffic.exchange_seconds += time.perf_counter() - began

    def send_back(self, k: int) -> None:
        """Send what was added to the halo of source k, which is final from now on."""
        began = time.perf_counter()
        request = self._collect_requests()[0][k]
        request.Start()
        self._active.append(request)
        self._sent([self.tile.sources[k].pixels])
        self.ranks.traffic.exchange_seconds += time.perf_counter() - began

    def finish_collect(self) -> NDArray[Any]:
        """Return a view of the owned pixels, with the neighbours' contributions added."""
        self._wait()
        for shared, returned in zip(self.tile.destinations, self._returned, strict=False):
            self.covered[(slice(None), *shared.pixels.slices)] += returned
        return self.tile.owned_part(self.covered)

    def collect(self) -> NDArray[Any]:
        """Adjoint of `fill`: a view of the owned pixels of the covered fields, their halos added."""
        self.start_collect()
        for k in range(len(self.tile.sources)):
            self.send_back(k)
        return self.finish_collect()

    def _wait(self) -> None:
        if self._active:
            from mpi4py import MPI

            began = time.perf_counter()
            MPI.Request.Waitall(self._active)
            self._active = []
            self.ranks.traffic.exchange_seconds += time.perf_counter() - began

    def close(self) -> None:
        """Give back requests and datatypes; the fields stay, but are not exchanged any more."""
        self._release()


def _give_back(made: list[Any]) -> None:
    """Free requests and datatypes, unless MPI has ended (after an error on the way out)."""
    if made:
        from mpi4py import MPI

        if not MPI.Is_finalized():
            for handle in made:
                handle.Free()
