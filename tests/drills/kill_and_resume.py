"""Drill: kill reconstructions (-9) at random moments, and resume them until they end.

    python tests/drills/kill_and_resume.py --runs 100 --ranks 2

Each run starts the command under mpiexec on a random number of ranks up to `--ranks`, with a checkpoint
after every iteration, so that many are killed while they write one. One rank, or all, or the launcher is
killed, up to three times a run. Checked are: after each kill the last checkpoint on disk is whole and no
older than it should be; the next start goes on right after it; the result at the end is that of a run
without kills; nothing else is left. Ends with code 1 after a failure.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mpi_launch import MPIEXEC, ONE_THREAD
from scans import joint_scan

from ptyxrf.driver.files.checkpoint_file import check_fields, read_checkpoint
from ptyxrf.driver.files.hdf5_reader import READ_ERRORS
from ptyxrf.driver.files.result_file import read_result
from ptyxrf.driver.files.scan_file import write_scan
from ptyxrf.driver.reconstruction.checkpoint import older_path

ITERATIONS = 40
#: Share of the kills that come before the first iteration.
EARLY = 0.1
#: Limit for a hang.
PATIENCE = 120.0


class Drill(Exception):
    """A promise does not hold."""


class Start:
    """One start of the command; reads its lines as they come."""

    def __init__(self, folder: Path, scan: Path, ranks: int) -> None:
        words = [
            "reconstruct", scan, "--out", folder / "r.h5", "--resume", "--checkpoint-iterations", "1",
            "--max-iterations", ITERATIONS, "--inner-limit", "2", "--precision", "double",
            "--no-sequential-first",  # numbers of iterations are those of one stage
            "--loss-tolerance", "0", "--gradient-tolerance", "0", "--no-noise-stop", "--no-report",
        ]  # fmt: skip
        command = [*MPIEXEC, "-n", ranks, sys.executable, "-m", "ptyxrf", *words]
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )
        self.lines: list[str] = []
        self.first_line = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("iteration"):
                self.first_line.set()
        self.first_line.set()

    def iterations(self) -> list[int]:
        """Return the iterations that were reported."""
        found = (re.match(r"iteration +(\d+) ", line) for line in self.lines)
        return [int(match[1]) for match in found if match]

    def ranks(self) -> list[int]:
        """Return the process ids of the ranks: the youngest generation below the launcher."""
        children = collections.defaultdict(list)
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = status.read_text()
            except OSError:
                continue  # it has ended
            children[int(text.rpartition(")")[2].split()[1])].append(int(status.parent.name))
        generation, below = [self.process.pid], children[self.process.pid]
        while below:
            generation, below = below, [pid for parent in below for pid in children[parent]]
        return generation

    def kill(self, rng: random.Random) -> str:
        """Kill one rank, all, or the launcher with all; return which."""
        ranks = self.ranks()
        what = rng.choice(["one rank", "all ranks", "the launcher"])
        victims = [rng.choice(ranks)] if what == "one rank" else ranks
        if what == "the launcher":
            victims = [self.process.pid, *ranks]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has ended by itself
        self.end()
        # a rank that outlives its launcher must write nothing more
        for pid in ranks:
            deadline = time.monotonic() + PATIENCE
            while alive(pid):
                if time.monotonic() > deadline:
                    raise Drill(f"rank {pid} goes on after {what} was killed")
                time.sleep(0.005)
        return what

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


def alive(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def on_disk(folder: Path) -> int | None:
    """Return the iteration of the newest whole checkpoint, None where there is no file."""
    path = folder / "r.checkpoint.h5"
    there = [file for file in (path, older_path(path)) if file.exists()]
    for file in there:
        try:
            check_fields(file)
            return int(read_checkpoint(file).facts["iteration"])
        except READ_ERRORS as error:
            raise Drill(f"a kill has left a damaged checkpoint: {error}") from error
    return None


def one_run(folder: Path, scan: Path, expected, most_ranks: int, span: float, rng, counts) -> None:
    """Start, kill and restart until the end; check the promises."""
    kills, last = rng.randint(1, 3), None
    while True:
        start = Start(folder, scan, rng.randint(1, most_ranks))
        killed = False
        if kills > 0:
            early = rng.random() < EARLY
            if early:
                time.sleep(rng.uniform(0.0, 1.5))
            else:
                start.first_line.wait(PATIENCE)
                time.sleep(rng.uniform(0.0, span))
            if start.process.poll() is None:
                counts[start.kill(rng)] += 1
                killed = True
                kills -= 1
        code = start.end()
        reported = start.iterations()
        if last is not None and reported and reported[0] != last + 1:
            raise Drill(f"went on with iteration {reported[0]} after the checkpoint of iteration {last}")
        if code == 0:
            break
        if not killed:
            raise Drill(f"ended with code {code}: {''.join(start.lines)}")
        remains = [file for file in folder.iterdir() if file.suffix == ".part"]
        counts["within a checkpoint"] += bool(remains)
        last = on_disk(folder)
        if (folder / "r.h5").exists():  # the checkpoints are no longer needed
            counts["after the result"] += 1
            continue
        # an iteration is reported when it ends; except for the start it begins only after the checkpoint of
        # the one before is written
        promised = reported[-1] - 1 if reported else 0
        if (last or 0) < promised:
            raise Drill(f"iteration {reported[-1]} was reported, the checkpoint is of {last}")
        if last is not None:
            counts["iterations lost"] += max(0, (reported[-1] if reported else last) - last)
    left = sorted(file.name for file in folder.iterdir())
    if left != ["r.h5"]:
        raise Drill(f"left beside the result: {left}")
    result = read_result(folder / "r.h5")
    losses = [[record.loss for record in one.history] for one in (result, expected)]
    np.testing.assert_allclose(*losses, rtol=1e-10)
    np.testing.assert_allclose(result.object, expected.object, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(result.elements, expected.elements, rtol=1e-6, atol=1e-7)


def main() -> int:
    """Run the drill; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--ranks", type=int, default=2, help="most ranks of a start")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        scan = root / "scan.h5"
        made = joint_scan(24, 8)
        write_scan(scan, made.replace(truth=None))
        (root / "whole").mkdir()
        start = Start(root / "whole", scan, 1)
        start.first_line.wait(PATIENCE)
        first = time.monotonic()
        if start.end() != 0:
            print("".join(start.lines), file=sys.stderr)
            return 1
        span = time.monotonic() - first
        expected = read_result(root / "whole" / "r.h5")
        right = 0
        for run in range(options.runs):
            folder = root / f"run-{run}"
            folder.mkdir()
            try:
                one_run(
                    folder,
                    scan,
                    expected,
                    options.ranks,
                    span,
                    random.Random(f"{options.seed} {run}"),
                    counts,
                )
                right += 1
            except (Drill, AssertionError, subprocess.TimeoutExpired) as error:
                print(f"run {run} of seed {options.seed}: {error}", file=sys.stderr, flush=True)
    kills = sum(counts[what] for what in ("one rank", "all ranks", "the launcher"))
    print(f"{right} of {options.runs} runs ended with the right result, after {kills} kills in all:")
    for what, count in counts.items():
        print(f"  {what}: {count}")
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if right == options.runs else 1


if __name__ == "__main__":
    sys.exit(main())
