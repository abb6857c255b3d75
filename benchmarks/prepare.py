"""What `prepare` takes beside h5py reading the same chunks: time and memory.

    python benchmarks/prepare.py --frames 10000 --size 256

Each kind of chunks has a process of its own, whose peak memory is its own. The wall time is near that of the
reading thread where cores are idle, which then compress.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

import ptyxrf
from ptyxrf.driver.preparation.frames import BLOCK_BYTES

#: Chunks of raw files, and what h5py is told of them.
CHUNKS: dict[str, dict[str, Any]] = {
    "gzip": {"compression": "gzip", "shuffle": True},
    "bitshuffle, LZ4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "LZ4": dict(hdf5plugin.LZ4()),
    "plain": {},
}


def make_raw(path: Path, frames: int, size: int, chunks: str) -> None:
    """Write frames of Poisson counts, a chunk each, and what else a scan needs."""
    rng = np.random.default_rng(0)
    radius = np.hypot(*(np.indices((size, size)) - size // 2))
    some = rng.poisson(3000 * np.exp(-radius / (size / 20)), (50, size, size)).astype(np.uint16)
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "data", (frames, size, size), np.uint16, chunks=(1, size, size), **CHUNKS[chunks]
        )
        for first in range(0, frames, len(some)):
            data[first : first + len(some)] = some[: frames - first]
        file["y_um"], file["x_um"] = np.array(np.divmod(np.arange(frames), 100)) * 0.05
        file["energy_keV"], file["distance_m"], file["pixel_size_um"] = 8.0, 2.0, 75.0


def read(path: Path) -> float:
    """Return the seconds that h5py needs to read all frames in batches of the same size."""
    began = time.thread_time()
    with h5py.File(path) as file:
        data = file["data"]
        step = max(1, BLOCK_BYTES // (data[0].nbytes))
        for first in range(0, len(data), step):
            data[first : first + step]
    return time.thread_time() - began


def measure(chunks: str, frames: int, size: int) -> str:
    """Return the line of a kind of chunks."""
    how = {"orientation": "given", "probe": "mean-pattern", "size": size}
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw.h5", Path(folder) / "scan.h5"
        make_raw(raw, 50, size, chunks)
        ptyxrf.prepare(raw, out, **how)  # imports what it needs
        make_raw(raw, frames, size, chunks)
        alone = min(read(raw) for _ in range(2))
        began = time.thread_time(), time.process_time(), time.perf_counter()
        ptyxrf.prepare(raw, out, **how)
        ended = time.thread_time(), time.process_time(), time.perf_counter()
    ratios = [(after - before) / alone for before, after in zip(began, ended, strict=True)]
    each = 1e6 * alone / frames
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    figures = f"{each:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {ratios[2]:.2f} | {peak:.0f} MB"
    return f"| {chunks} | {figures} |"


def main() -> None:
    """Print a line for each kind of chunks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    print("| chunks | h5py, us a frame | reading thread / h5py | all threads | wall | peak memory |")
    print("|---|---|---|---|---|---|")
    for chunks in CHUNKS:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            print(process.apply(measure, (chunks, options.frames, options.size)), flush=True)


if __name__ == "__main__":
    main()
