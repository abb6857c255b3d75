"""A scan of many frames: time of reading, of an iteration, and the peak memory beside `ptyxrf plan`.

    python benchmarks/large.py [--frames 100000 --m 128] [--ranks 2] [--compressed] [--folder DIR]
    python benchmarks/large.py --frames 1000 --m 64                    # seconds

The frames are counts of a simulated pool, drawn at random, as `uint16` in chunks: 3.3 GB for 10^5 of 128^2.
The file is written first, and deleted in the end. It is read from beginning to end, as fast as a program can
that does nothing else, and then by a reconstruction on some ranks, both after its pages were dropped from the
page cache. The fit is not the subject: one iteration, the time of which is also given per pattern and sweep.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from memory import from_ranks
from numpy.typing import NDArray

from ptyxrf.driver.data.lazy_arrays import LazyArray
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.cxi import DETECTOR, PATTERNS
from ptyxrf.driver.files.hdf5_writer import writing
from ptyxrf.driver.files.scan_file import patterns_in_chunk, read_scan, write_beside_patterns
from ptyxrf.driver.job.ranks import world
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.planning.memory import Share, memory_of
from ptyxrf.driver.planning.plan import make_plan
from ptyxrf.driver.planning.problem_size import ProblemSize
from ptyxrf.driver.reconstruction.compilation import compile_kernels
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate

#: Frames of the pool along an edge, and counts of a pixel on average.
POOL, COUNTS = 8, 5.0
#: What a share of the memory has of a load.
OF_LOAD = ("positions", "owned", "covered", "rows", "columns")
#: Frames written, and bytes read, at a time.
BLOCK, PIECE = 2000, 1 << 22


class DrawnFrames(LazyArray):
    """Frames (N, m, m) of uint16, each one of a pool."""

    def __init__(self, count: int, m: int) -> None:
        rng = np.random.default_rng(0)
        pool = simulate("cells", m=m, per_side=POOL, overlap=0.8).patterns
        self._pool = rng.poisson(pool * (COUNTS / pool.mean())).astype(np.uint16)
        self._drawn = rng.integers(len(pool), size=count)
        self.shape, self.dtype = (count, m, m), self._pool.dtype

    def __getitem__(self, key: Any) -> NDArray[np.uint16]:
        return self._pool[self._drawn[key]]


def scan_of(frames: int, m: int) -> Scan:
    """Return a raster over whole pixels with steps of a thirteenth of the window."""
    columns = int(np.ceil(np.sqrt(frames)))
    places = np.stack(np.divmod(np.arange(frames), columns), axis=1) * max(m // 13, 1)
    probe = simulate("cells", m=m, per_side=2).probe
    return Scan(DrawnFrames(frames, m), places.astype(float), probe)


def write(path: Path, scan: Scan, *, compress: bool) -> None:
    """Write a scan file in chunks of 256 KB, compressed or without any filter."""
    with writing(path, "large", "data_1") as writer:
        writer.group(DETECTOR, "NXdetector")
        shape = (scan.N, scan.m, scan.m)
        chunks = (patterns_in_chunk(shape, np.uint16), scan.m, scan.m)
        if compress:
            dataset = writer.create(PATTERNS, shape, np.uint16, chunks=chunks, compress=True)
        else:
            dataset = writer.file.create_dataset(PATTERNS, shape, np.uint16, chunks=chunks)
        for first in range(0, scan.N, BLOCK):
            dataset[first : first + BLOCK] = scan.patterns[first : first + BLOCK]
        write_beside_patterns(writer, scan)


def drop(path: Path) -> None:
    """Write a file to the disk, and let the system forget its pages."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_plainly(path: Path) -> float:
    """Return the seconds of reading a file from beginning to end."""
    drop(path)
    began, room = time.perf_counter(), bytearray(PIECE)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(room):
            pass
    return time.perf_counter() - began


def timed(call: Callable[..., Any], spent: list[tuple[float, float]]) -> Callable[..., Any]:
    """Return a function that adds what each call takes of the clock and of the processor to a list."""

    def timed_call(*arguments: Any, **more: Any) -> Any:
        began = time.perf_counter(), time.process_time()
        value = call(*arguments, **more)
        spent.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        return value

    return timed_call


class Held(Thread):
    """Looks now and then at what the process holds beside pages of files, which the system may drop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = self.idle = anonymous_bytes()

    def run(self) -> None:
        """Remember the most."""
        while True:
            self.most = max(self.most, anonymous_bytes())
            time.sleep(0.01)


def anonymous_bytes() -> int:
    """Return the bytes of memory of this process that are not pages of files."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", status)[1])  # type: ignore[index]


def work(options: argparse.Namespace) -> None:
    """Reconstruct on the ranks of this launch; the first one prints times and bytes of each as JSON."""
    comm = world()
    scan = read_scan(options.worker, check=False)
    model = Model(method="ptychography", precision="single", memory=options.memory)
    compile_kernels(scan, model, comm, products=False)
    reading: list[tuple[float, float]] = []
    LocalData.read = timed(LocalData.read, reading)  # type: ignore[method-assign]
    clock: list[float] = []
    held = Held()
    comm.Barrier()
    held.start()
    result = reconstruct(
        scan, "ptychography", memory=options.memory, precision="single", refine_probe=False, max_iterations=1,
        noise_stop=False, callback=lambda *_: clock.append(time.process_time()), comm=comm,
    )  # fmt: skip
    start, end = result.history[0], result.history[-1]
    sweeps = end.sweeps - start.sweeps
    facts = {
        "bytes": held.most - held.idle,
        "reading": reading[0],
        "iteration": (end.seconds - start.seconds, clock[-1] - clock[0]),
        "sweeps": sweeps,
    }
    every = comm.gather(facts, root=0)
    if comm.Get_rank() == 0:
        print(json.dumps(every))


def report(path: Path, options: argparse.Namespace) -> None:
    """Write, read and reconstruct, and print a line for each."""
    began = time.perf_counter()
    write(path, scan_of(options.frames, options.m), compress=options.compressed)
    size = path.stat().st_size
    print(f"written      {size / 1e9:.3f} GB in {time.perf_counter() - began:.1f} s", flush=True)
    plain = read_plainly(path)
    print(f"plain read   {plain:.2f} s, {size / 1e9 / plain:.2f} GB/s", flush=True)
    problem = ProblemSize.of_scan(
        read_scan(path, check=False), Model(method="ptychography", precision="single")
    )
    plan = make_plan(problem, options.ranks)
    drop(path)
    ranks = from_ranks(options.ranks, str(path))
    slowest = max(each["reading"][0] for each in ranks)
    print(
        f"reading      {slowest:.2f} s of the clock ({plain / slowest:.2f} of the plain rate), "
        + f"{sum(each['reading'][1] for each in ranks):.2f} s of processors"
    )
    share = Share(*(getattr(plan.load, name) for name in OF_LOAD), options.ranks)
    planned_bytes = memory_of(problem, share, options.memory)["total"].tolist()
    for rank, (each, planned) in enumerate(zip(ranks, planned_bytes, strict=True)):
        seconds, processor = each["iteration"]
        of_pattern = 1e6 * processor * options.ranks / each["sweeps"] / options.frames
        print(
            f"rank {rank:2d}      {each['sweeps']:.4g} sweeps in {seconds:.2f} s, {of_pattern:.2f} us of the "
            f"processor a pattern and sweep; memory {each['bytes'] / 2**20:.0f} MiB, "
            f"{each['bytes'] / planned:.3f} of the plan"
        )


def main() -> None:
    """Measure and print the lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--m", type=int, default=128)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--memory", choices=("cached", "low", "disk"), default="low")
    parser.add_argument("--compressed", action="store_true", help="gzip with shuffle, as write_scan does")
    parser.add_argument("--folder", type=Path, help="where the file is written")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        report(Path(folder) / "large.h5", options)


if __name__ == "__main__":
    main()
