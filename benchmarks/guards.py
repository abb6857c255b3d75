"""The cost of the guards: their share of a reconstruction, by how the file stores its patterns.

    [mpiexec -n 2] python benchmarks/guards.py [--n 224 --m 64 --per-side 16] [--max-sweeps 160]

A simulated scan of the size of `ptyxrf demo` is written in each way, one pattern a chunk, and the command
reconstructs it: ptychography with probe and positions refined, without maps, which leaves the guards a larger
share than the joint fit. Seconds are those of the processor on the first rank. "arguments" compares scan and
settings between ranks, "names" locks outputs, "pointers" looks at links and sources, "digests" are those of
the data in checkpoints; "chunks" is the time to read all values less that in which HDF5 reads them unchecked:
below 0 where unpacking here is faster.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin

from ptyxrf.driver.command.main import main as command
from ptyxrf.driver.files import checkpoint_file, hdf5_reader, name_lock, pattern_file, stored_array
from ptyxrf.driver.files.cxi import PATTERNS
from ptyxrf.driver.files.scan_file import write_scan
from ptyxrf.driver.job.ranks import world
from ptyxrf.driver.objective import local_data
from ptyxrf.driver.reconstruction import checkpoint, reconstruct
from ptyxrf.driver.simulation.simulate import simulate

WAYS: dict[str, dict[str, Any]] = {
    "as written": {},
    "not in chunks": {"chunks": None},
    "checksums alone": {"fletcher32": True},
    "gzip": {"compression": "gzip", "shuffle": True},
    "LZF": {"compression": "lzf", "shuffle": True},
    "LZ4": dict(hdf5plugin.LZ4()),
    "bitshuffle": dict(hdf5plugin.Bitshuffle()),
    "Blosc2": dict(hdf5plugin.Blosc2()),
}
#: Functions of the guards by what they are for, each with the module whose callers are timed.
GUARDS: dict[str, tuple[tuple[Any, str], ...]] = {
    "arguments": ((reconstruct, "require_same_problem"),),
    "names": ((name_lock, "_wait_for"),),
    "pointers": tuple((hdf5_reader, name) for name in ("link_problem", "source_problem", "missing_filter")),
    "digests": ((local_data, "digest_patterns"), (checkpoint, "scan_digest")),
}
READERS = hdf5_reader, stored_array, pattern_file, checkpoint_file


class Watch:
    """Adds up the processor time of functions."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False

    def replace(self, owner: Any, name: str, note: Callable[..., None] | None = None) -> None:
        """Replace a function of a module by a timed one; calls within others do not count."""
        function = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._inside:
                return function(*arguments, **options)
            if note is not None:
                note(*arguments)
            self._inside, began = True, time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += time.process_time() - began
                self._inside = False

        setattr(owner, name, timed)


def write_in(way: dict[str, Any], path: Path, scan: Any) -> None:
    """Write a scan with its patterns stored in a way."""
    write_scan(path, scan)
    if way:
        with h5py.File(path, "r+") as file:
            patterns = file[PATTERNS][...]
            del file[PATTERNS]
            file.create_dataset(PATTERNS, data=patterns, **{"chunks": (1, *patterns.shape[1:])} | way)


def unchecked(reads: list[tuple[str, str, Any]]) -> float:
    """Return the seconds in which HDF5 reads the same values."""
    seconds = 0.0
    for path, name, key in reads:
        with h5py.File(path, "r") as file:
            dataset = file[name]
            began = time.process_time()
            dataset[key]
            seconds += time.process_time() - began
    return seconds


def measured(path: Path, sweeps: int, watches: dict[str, Watch], reads: list[Any]) -> dict[str, float]:
    """Return the seconds of each guard in a reconstruction, and those of all of it."""
    for watch in watches.values():
        watch.seconds = 0.0
    reads.clear()
    out = path.with_suffix(".result.h5")
    words = f"reconstruct {path} --out {out} --method ptychography --refine-probe --refine-positions each"
    words += f" --max-sweeps {sweeps} --no-noise-stop --no-report --quiet"
    began = time.process_time()
    if command(words.split()):
        raise SystemExit(f"{path} was not reconstructed")
    spent = time.process_time() - began
    seconds = {name: watch.seconds for name, watch in watches.items()}
    return seconds | {"chunks": seconds["chunks"] - unchecked(list(reads)), "all": spent}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, value in (("n", 224), ("m", 64), ("per-side", 16), ("max-sweeps", 160)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    reads: list[tuple[str, str, Any]] = []
    watches = {name: Watch() for name in (*GUARDS, "chunks")}
    for name, functions in GUARDS.items():
        for module, function in functions:
            watches[name].replace(module, function)
    for module in READERS:
        watches["chunks"].replace(
            module,
            "read_values",
            lambda dataset, key=(), *_: reads.append((dataset.file.filename, dataset.name, key)),
        )
    comm = world()
    first = comm is None or comm.Get_rank() == 0
    scan = simulate(n=options.n, m=options.m, per_side=options.per_side, elements=3, photons=100.0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder if comm is None else comm.bcast(folder))
        for number, name in enumerate([options.ways[0], *options.ways]):  # the first run loads and compiles
            path = place / f"{number}.h5"
            if first:
                write_in(WAYS[name], path, scan)
            if comm is not None:
                comm.Barrier()
            row = measured(path, options.max_sweeps, watches, reads)
            if first and not number:
                print("patterns         ", *(f"{key:>10}" for key in (*row, "share")))
            elif first:
                share = (sum(row.values()) - row["all"]) / row["all"]
                print(
                    f"{name:17}",
                    *(f"{1e3 * value:7.1f} ms" for value in row.values()),
                    f"{100 * share:8.2f} %",
                )


if __name__ == "__main__":
    main()
