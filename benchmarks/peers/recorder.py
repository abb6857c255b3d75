"""The common part of all runners: the job, and the clock and snapshots of a trajectory.

A runner is a script in the environment of one package: `python run_PACKAGE.py JOB.json`. It needs only NumPy
and its package.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class Job:
    """A run of one method.

    Attributes
    ----------
    data : dict of str to array
        `patterns`, `positions`, `probe`, `shape`, `refine_probe`: see `problems.Problem`.
    settings : dict
        Settings of the method.
    folder : Path
        Folder of snapshots and trajectory.
    iterations : int
        Largest number of iterations.
    max_seconds : float
        Largest time of the solver.
    threads : int
        Threads, or ranks.
    """

    def __init__(self, path: str | Path) -> None:
        words: dict[str, Any] = json.loads(Path(path).read_text())
        with np.load(words["data"]) as file:
            self.data = {name: file[name] for name in file.files}
        self.settings: dict[str, Any] = words["settings"]
        self.folder = Path(words["folder"])
        self.iterations, self.max_seconds = int(words["iterations"]), float(words["max_seconds"])
        self.threads = int(words["threads"])
        self.shape = tuple(int(size) for size in self.data["shape"])
        self.refine_probe = bool(self.data["refine_probe"])


def job_of_command_line() -> Job:
    """Return the job in the file that is the argument of the script."""
    return Job(sys.argv[1])


def is_kept(iteration: int) -> bool:
    """Return whether an iteration is measured: the first 12, then at steps of about 8 %."""
    return iteration <= 12 or int(np.log(iteration) / 0.08) != int(np.log(iteration - 1) / 0.08)


def clocks() -> np.ndarray:
    """Return processor time and wall time in seconds; they differ on a busy machine."""
    return np.array([time.process_time(), time.perf_counter()])


class Recorder:
    """Time a solver; the clocks stop while a snapshot is taken. With threads, seconds are wall time.

    Call `start` after the preparation (modules imported, data loaded, code compiled, plans made), then `note`
    before the first iteration and after each iteration.

    Parameters
    ----------
    job : Job
    steps : int
        Steps of the algorithm per iteration of the package.
    """

    def __init__(self, job: Job, steps: int = 1) -> None:
        self.job, self._steps = job, steps
        self.rows: list[dict[str, float]] = []
        self._began = np.zeros(2)
        self._iteration = -1

    def start(self) -> None:
        """Start the clocks."""
        self._began = clocks()

    def note(self, current: Callable[[], tuple[Any, Any]], transforms: Callable[[], float]) -> bool:
        """Record the state of the solver.

        Parameters
        ----------
        current : callable
            Returns object and probe in the conventions of the data; called each time.
        transforms : callable
            Returns the number of transforms of one pattern so far, forward or inverse.

        Returns
        -------
        bool
            Whether the run is over.
        """
        now = clocks()
        seconds, wall = now - self._began
        if self.job.threads > 1:
            seconds = wall
        self._iteration += 1
        over = self._iteration >= self.job.iterations or seconds > self.job.max_seconds
        z, probe = current()
        if over or is_kept(self._iteration):
            np.savez(self.job.folder / f"{len(self.rows)}.npz", object=z, probe=probe)
            pairs = transforms() / 2 / len(self.job.data["patterns"])
            self.rows.append(
                {
                    "iteration": self._iteration,
                    "steps": self._iteration * self._steps,
                    "seconds": float(seconds),
                    "wall_seconds": float(wall),
                    "pairs": pairs,
                }
            )
        self._began += clocks() - now
        return bool(over)

    def write(self, **facts: Any) -> None:
        """Write the trajectory, and facts about the run, to the folder of the job."""
        record = {"rows": self.rows, **facts}
        (self.job.folder / "trajectory.json").write_text(json.dumps(record))
