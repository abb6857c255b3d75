"""The order of work of a rank: positions computed while their halo arrives and while it goes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ptyxrf.parallel.halo import HaloField


def overlapped(
    batch: int,
    incoming: HaloField,
    outgoing: HaloField | None,
    *,
    arrived: Callable[[int], None],
    complete: Callable[[], None],
    leaving: Callable[[int], None],
) -> Iterator[tuple[int, int]]:
    """Yield the positions of a tile, a few at a time, and exchange halos in between.

    Before a batch is handed out, the parts of the halo that it touches have arrived; after it, the parts
    that no later position touches go back. MPI is given time between batches. On one rank there is nothing
    to exchange and the batches follow each other.

    Parameters
    ----------
    batch : int
        Most positions at a time.
    incoming : HaloField
        Its fill has been started.
    outgoing : HaloField or None
        What the positions add to; None: nothing goes back. Its collect is started here and finished by the
        caller, who may first complete the owned pixels.
    arrived : callable
        Given the number of a source whose part of the halo is there.
    complete : callable
        Called once, when the whole halo is there and before any part of it goes back.
    leaving : callable
        Given the number of a source, before its part of the halo goes back.

    Yields
    ------
    (int, int)
        First position and one beyond the last, in the order of ``tile.positions``.
    """
    tile = incoming.tile
    count = len(tile.positions)
    awaited = sorted(range(len(tile.sources)), key=lambda k: tile.first_use[k])
    kept = sorted(range(len(tile.sources)), key=lambda k: tile.last_use[k])
    if outgoing is not None:
        outgoing.start_collect()

    def receive(until: int) -> None:
        while awaited and tile.first_use[awaited[0]] < until:
            k = awaited.pop(0)
            incoming.await_source(k)
            arrived(k)

    completed = False

    def finish_receiving() -> None:
        nonlocal completed
        if not completed:
            receive(count + 1)
            incoming.finish_fill()
            complete()
            completed = True

    def send(done: int) -> None:
        while outgoing is not None and kept and tile.last_use[kept[0]] <= done:
            finish_receiving()
            k = kept.pop(0)
            leaving(k)
            outgoing.send_back(k)

    outer = min(tile.first_use, default=count)  # until there no patch touches a halo
    exchanges = bool(tile.sources or tile.destinations)
    for start in range(0, count, batch):
        end = min(start + batch, count)
        if exchanges:
            receive(end)
        yield start, end
        if not exchanges:
            continue
        incoming.test()
        if start >= outer:
            send(end)
        # neighbours send back when we do: before that there is nothing to move
        if outgoing is not None and len(kept) < len(tile.sources):
            outgoing.test()
    finish_receiving()
    send(count)
