"""The memory of each rank above that of an idle one, beside the prediction of `ptyxrf plan`.

    python benchmarks/memory.py [--ranks 1 2 4 8] [--n 1024 --m 128 --per-side 32] [--elements 0]

The same reconstruction (two iterations, with patterns and maps that are generated when they are sliced) runs
on increasing numbers of ranks. The result is the peak resident memory of each rank, less the memory after its
start: Python, libraries, compiled kernels, and MPI.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scaling import make_scan, peak, resident

from ptyxrf.driver.job.ranks import world
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.planning.plan import make_plan
from ptyxrf.driver.planning.problem_size import ProblemSize
from ptyxrf.driver.reconstruction.compilation import compile_kernels
from ptyxrf.driver.reconstruction.reconstruct import reconstruct


class MadeMaps:
    """Maps (N_e, n, n) of float32 that are generated when they are sliced."""

    def __init__(self, elements: int, n: int) -> None:
        self.shape, self.dtype = (elements, n, n), np.dtype(np.float32)

    def __getitem__(self, key: Any) -> Any:
        shape = np.broadcast_to(np.float32(0), self.shape)[key].shape
        return np.random.default_rng(0).random(shape, dtype=np.float32) + 1


def parser(description: str | None, *, ranks: list[int], n: int, elements: int) -> argparse.ArgumentParser:
    """Return the parser of a benchmark that launches workers, with given defaults."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--ranks", type=int, nargs="+", default=ranks)
    parser.add_argument("--n", type=int, default=n)
    parser.add_argument("--m", type=int, default=128)
    parser.add_argument("--per-side", type=int, default=32)
    parser.add_argument("--elements", type=int, default=elements, help="on the grid; 0: ptychography alone")
    parser.add_argument("--precision", choices=("single", "double"), default="single")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


def scan_of(options: argparse.Namespace) -> Any:
    """Return the scan that the options describe."""
    scan = make_scan(options.n, options.m, options.per_side)
    if options.elements:
        scan = scan.replace(fluorescence=MadeMaps(options.elements, options.n))
    return scan


def from_ranks(ranks: int, *more: str) -> Any:
    """Start this command again as a worker on some ranks, and return the JSON that the first one prints."""
    words = [
        str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks),
        sys.executable, "-m", "mpi4py", *sys.argv, "--worker", *more,
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def work(options: argparse.Namespace) -> None:
    """Reconstruct on the ranks of this launch; the first one prints the bytes of each as JSON."""
    comm = world()
    scan = scan_of(options)
    method = "joint" if options.elements else "ptychography"
    compile_kernels(scan, Model(method=method, precision=options.precision), comm)
    comm.Barrier()
    idle = resident()
    reconstruct(
        scan, method, alpha=1.0, precision=options.precision, max_iterations=2, noise_stop=False, comm=comm
    )
    used = comm.gather(peak() - idle, root=0)
    if comm.Get_rank() == 0:
        print(json.dumps(used))


def main() -> None:
    """Measure and print the table."""
    options = parser(__doc__, ranks=[1, 2, 4, 8], n=1024, elements=0).parse_args()
    if options.worker:
        work(options)
        return
    rows = []
    print("ranks  measured MiB (least, most)  planned MiB (least, most)  most: measured / planned")
    for ranks in options.ranks:
        used = [size / 2**20 for size in from_ranks(ranks)]
        problem = ProblemSize.of_scan(
            scan_of(options),
            Model(method="joint" if options.elements else "ptychography", precision=options.precision),
        )
        planned = make_plan(problem, ranks).memory / 2**20
        rows.append({"ranks": ranks, "measured": used, "planned": planned.tolist()})
        print(
            f"{ranks:5d}  {min(used):12.1f} {max(used):12.1f} {planned.min():15.1f} {planned.max():10.1f} "
            f"{max(used) / planned.max():20.2f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
