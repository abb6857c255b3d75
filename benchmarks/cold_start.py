"""Time of a reconstruction with kernels that are compiled (an empty cache), and with kernels that are loaded.

Times are of the whole command: processor seconds of all its processes, and seconds of the clock. Seconds of
the iterations, as the result has them, are told apart: what is left are imports, kernels, reading, writing.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ptyxrf


def timed(words: list[str], cache: Path) -> tuple[float, float]:
    """Run the command and return its processor seconds and its seconds on the clock."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "ptyxrf", *words], check=True, env=environment)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended - began


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", help="scan file, such as scan.h5 of ptyxrf demo --quick")
    parser.add_argument("--ranks", default="1", help="number of ranks (1)")
    parser.add_argument("--repeat", type=int, default=3, help="warm runs (3)")
    options = parser.parse_args()
    print(f"{'':12}{'processor s':>12}{'clock s':>12}{'iterations s':>14}")
    with tempfile.TemporaryDirectory() as folder:
        out, cache = Path(folder) / "result.h5", Path(folder) / "cache"
        words = ["reconstruct", options.scan, "--out", str(out), "--ranks", options.ranks, "--quiet"]
        for name in ["cold", *["warm"] * options.repeat]:
            processor, clock = timed(words, cache)
            iterations = ptyxrf.read_result(out).history[-1].seconds
            print(f"{name:12}{processor:12.1f}{clock:12.1f}{iterations:14.1f}", flush=True)
        processor, clock = timed(["info", options.scan], cache)
        print(f"{'info':12}{processor:12.1f}{clock:12.1f}")


if __name__ == "__main__":
    main()
