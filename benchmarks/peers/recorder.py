"""What all runners share: the job they are given, and the clock and the snapshots of a trajectory.

A runner is a script for the Python of one package's own environment: `python run_PACKAGE.py JOB.json`. It
needs nothing beyond NumPy and its package.
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
    """A run to be made.

    Attributes
    ----------
    data : dict of str to array
        `patterns`, `positions`, `probe`, `shape`, `refine_probe`: see `problems.Problem`.
    settings : dict
        Of the method.
    folder : Path
        Where snapshots and trajectory go.
    iterations : int
        Most iterations.
    max_seconds : float
        Most seconds of solver time, of the processor.
    """

    def __init__(self, path: str | Path) -> None:
        words: dict[str, Any] = json.loads(Path(path).read_text())
        with np.load(words["data"]) as file:
            self.data = {name: file[name] for name in file.files}
        self.settings: dict[str, Any] = words["settings"]
        self.folder = Path(words["folder"])
        self.iterations, self.max_seconds = int(words["iterations"]), float(words["max_seconds"])
        self.shape = tuple(int(size) for size in self.data["shape"])
        self.refine_probe = bool(self.data["refine_probe"])


def job_of_command_line() -> Job:
    """Return the job whose file is the script's argument."""
    return Job(sys.argv[1])


def is_kept(iteration: int) -> bool:
    """Return whether an iteration is measured: the first 12, then about every 8 %."""
    return iteration <= 12 or int(np.log(iteration) / 0.08) != int(np.log(iteration - 1) / 0.08)


def clocks() -> np.ndarray:
    """Return the seconds of the processor and of the wall clock; a busy machine drives them apart."""
    return np.array([time.process_time(), time.perf_counter()])


class Recorder:
    """Times a solver, and stands the clocks still while a snapshot is taken.

    Call `start` when all is ready (modules imported, data loaded, code compiled and plans made), then
    `note` before the first iteration and after each one.

    Parameters
    ----------
    job : Job
    steps : int
        Steps of the algorithm in an iteration, where the package counts several as one.
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
        """Take down where the solver is.

        Parameters
        ----------
        current : callable
            Returns object and probe, in the conventions of the data.
        transforms : callable
            Returns the transforms of one pattern made so far, forward or inverse.

        Returns
        -------
        bool
            Whether the run is over.
        """
        now = clocks()
        seconds, wall = now - self._began
        self._iteration += 1
        over = self._iteration >= self.job.iterations or seconds > self.job.max_seconds
        if over or is_kept(self._iteration):
            object, probe = current()
            np.savez(self.job.folder / f"{len(self.rows)}.npz", object=object, probe=probe)
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
        """Write the trajectory, and facts about the run, where the caller looks for them."""
        record = {"rows": self.rows, **facts}
        (self.job.folder / "trajectory.json").write_text(json.dumps(record))
