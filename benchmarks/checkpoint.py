"""The cost of checkpoints: seconds to write one, and their share of a run at the default interval.

    python benchmarks/checkpoint.py [--ranks 1 2] [--n 2048 --m 128 --per-side 32] [--elements 3]

A joint reconstruction (with patterns and maps that are generated when they are sliced) writes a checkpoint
after every iteration. The first write is left out, because the quasi-Newton solver has few vectors then. The
share is that of one checkpoint every 300 seconds. For comparison there are a plain copy of the file with the
same flush to the disk, the time to read it, and the time of the checksums of the data as a fraction of
loading them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from memory import from_ranks, parser, scan_of

from ptyxrf.driver.files.whole_file import synchronise
from ptyxrf.driver.job.ranks import world
from ptyxrf.driver.objective import local_data
from ptyxrf.driver.reconstruction.checkpoint import Checkpoints, remove_checkpoints
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.settings import CheckpointPolicy


class Clock:
    """Times the calls of functions that it wraps."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def watch(self, owner: Any, name: str) -> None:
        """Replace a function of a class or a module by a timed one."""
        function: Callable[..., Any] = getattr(owner, name)
        times = self.seconds.setdefault(name, [])

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                times.append(time.perf_counter() - began)

        setattr(owner, name, timed)


def work(options: argparse.Namespace) -> None:
    """Reconstruct on the ranks of this launch; the first one prints what it measured as JSON."""
    comm = world()
    scan = scan_of(options)
    path = Path(options.out) / "run.checkpoint.h5"
    settings: dict[str, Any] = {
        "alpha": 1.0, "noise_stop": False, "loss_tolerance": 0, "fluorescence_first": False, "comm": comm,
        "precision": options.precision,
    }  # fmt: skip
    reconstruct(scan, max_iterations=0, **settings)  # compiles and plans
    clock = Clock()
    clock.watch(Checkpoints, "_write")
    clock.watch(Checkpoints, "resume")
    for name in ("digest_patterns", "digest_fluorescence", "load_amplitudes", "load_fluorescence"):
        clock.watch(local_data, name)
    began = time.perf_counter()
    result = reconstruct(
        scan, checkpoint=path, checkpoint_iterations=1, max_iterations=options.iterations, **settings
    )
    spent = time.perf_counter() - began
    setting_up = spent - result.history[-1].seconds - clock.seconds["_write"][-1]
    loading = sum(sum(clock.seconds[name]) for name in clock.seconds if name.startswith("load_"))
    digesting = sum(sum(clock.seconds[name]) for name in clock.seconds if name.startswith("digest_"))
    reconstruct(
        scan,
        checkpoint=path,
        resume=True,
        max_iterations=options.iterations,
        checkpoint_seconds=0,
        **settings,
    )
    writes = clock.seconds["_write"]
    if comm.Get_rank() > 0:
        return
    copy = path.with_name("copy")
    began = time.perf_counter()
    shutil.copyfile(path, copy)
    synchronise(copy)
    copying = time.perf_counter() - began
    ends = np.diff([record.seconds for record in result.history])
    print(
        json.dumps(
            {
                "ranks": comm.Get_size(),
                "bytes": os.path.getsize(path),
                "write": statistics.median(writes[1:]),
                "write_most": max(writes[1:]),
                "copy": copying,
                "resume": clock.seconds["resume"][-1],
                # the seconds of a record include the write of the iteration before
                "iteration": statistics.median(ends[2:] - np.array(writes[1:-1])),
                "load": loading,
                "digest": digesting,
                "set_up": setting_up,
            }
        )
    )
    copy.unlink()
    remove_checkpoints(path)


def main() -> None:
    """Measure and print the table."""
    words = parser(__doc__, ranks=[1, 2], n=2048, elements=3)
    words.add_argument("--iterations", type=int, default=4)
    words.add_argument("--out", help="folder for the checkpoints, on the disk to be measured")
    options = words.parse_args()
    if options.worker:
        work(options)
        return
    rows = []
    print("ranks     MB  write s (most)   copy s  resume s  iteration s  share at 300 s  digest / load")
    for ranks in options.ranks:
        with tempfile.TemporaryDirectory(dir=options.out) as folder:
            row = from_ranks(ranks, "--out", folder)
        row["share"] = row["write"] / (CheckpointPolicy().checkpoint_seconds + row["write"])
        rows.append(row)
        print(
            f"{ranks:5d} {row['bytes'] / 1e6:6.0f} {row['write']:8.2f} ({row['write_most']:.2f}) "
            f"{row['copy']:8.2f} {row['resume']:9.2f} {row['iteration']:12.2f} {row['share']:14.2%} "
            f"{row['digest'] / row['load']:14.1%}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
