"""Run the reconstructions of the experiments, store them on disk, and report progress."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.command.progress import progress
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.driver.reconstruction.judgement import SuspiciousScan
from ptyxrf.driver.reconstruction.reconstruct import DoubtfulFit, reconstruct
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.experiments.conditions import Condition, conditions_of
from ptyxrf.experiments.paper_cases import PAPER, Case
from ptyxrf.parallel.startup import from_first_rank

#: The tuned solver: truncated Newton with this package's defaults.
TUNED: dict[str, Any] = {
    "solver": "newton",
    "precision": "single",
    "max_iterations": 1000,
    "fluorescence_prior": "none",  # the paper has none
}

#: Fraction of the paper's iterations that the reduced versions (``--quick``) make.
QUICK_STEPS = 0.4


@dataclass
class Cost:
    """The cost of an experiment. Results that are read from disk count what they took when computed.

    Attributes
    ----------
    seconds, sweeps : float
    runs : int
        Number of reconstructions.
    counted : set of str
        Names of the results already counted.
    """

    seconds: float = 0.0
    sweeps: float = 0.0
    runs: int = 0
    counted: set[str] = field(default_factory=set)

    def add(self, name: str, seconds: float, sweeps: float, runs: int = 1) -> None:
        """Add the cost of a result, unless it has been counted already."""
        if name not in self.counted:
            self.counted.add(name)
            self.seconds += seconds
            self.sweeps += sweeps
            self.runs += runs


class RunCache:
    """Compute what experiments need, or read it from disk if an earlier run has computed it.

    Each result is a file in ``folder/runs``. Its name contains a hash of all settings and of the version. An
    interrupted experiment resumes where it stopped. All ranks make the same calls and get the same results.

    Parameters
    ----------
    folder : path
        Folder of the output.
    quick : bool
        Run the reduced versions of the experiments.
    images : pair of path, optional
        Magnitude and phase for the experiment on images.
    conditions : sequence of Condition, optional
        Those under which the claims of section 3 are compared; default: all.
    comm : communicator or None
    fresh : bool
        Recompute results of earlier runs.
    quiet : bool
        Report no progress.
    """

    def __init__(
        self,
        folder: Path,
        *,
        quick: bool = False,
        images: tuple[Path, Path] | None = None,
        conditions: Sequence[Condition] | None = None,
        comm: Any = None,
        fresh: bool = False,
        quiet: bool = False,
    ) -> None:
        self.folder, self.quick, self.images, self.comm = folder, quick, images, comm
        self.fresh, self.quiet = fresh, quiet
        self.conditions = tuple(conditions_of() if conditions is None else conditions)
        self.first = comm is None or comm.Get_rank() == 0
        self.cost = Cost()
        self.label = ""
        self._runs = folder / "runs"
        self._computed: set[str] = set()
        from_first_rank(comm, lambda: self._runs.mkdir(parents=True, exist_ok=True))

    def begin(self, label: str) -> None:
        """Begin an experiment, with its cost at zero."""
        self.cost, self.label = Cost(), label

    def _name(self, kind: str, settings: Mapping[str, Any]) -> str:
        text = json.dumps(
            {"kind": kind, "version": version("ptyxrf"), **settings}, sort_keys=True, default=str
        )
        return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _is_stored(self, name: str, path: Path) -> bool:
        wanted = not self.fresh or name in self._computed
        return bool(from_first_rank(self.comm, lambda: wanted and path.exists()))

    def _report(self, text: str) -> None:
        if self.first and not self.quiet:
            sys.stderr.write(f"{self.label}: {text}\n")
            sys.stderr.flush()

    # ---------------------------------------------------------------- reconstructions

    def paper_run(self, case: Case, method: str, **changes: Any) -> Result:
        """Reconstruct a case with the paper's solver and settings, except for `changes`.

        The reduced versions make fewer iterations.
        """
        values = PAPER | changes
        if self.quick:
            values["max_iterations"] = math.ceil(values["max_iterations"] * QUICK_STEPS)
        return self._run(case, "paper's solver", Settings.paper(method=method, **_relevant(method, values)))

    def tuned_run(self, case: Case, method: str, **changes: Any) -> Result:
        """Reconstruct a case with the tuned solver and the statistical weight, except for `changes`.

        The joint method starts from x = 0.5 and, by default, from the maps of the fluorescence alone.
        """
        return self._run(case, "tuned solver", Settings(method=method, **_relevant(method, TUNED | changes)))

    def _run(self, case: Case, label: str, settings: Settings) -> Result:
        start, method = case.start, settings.method
        if method == "joint" and settings.fluorescence_first is not False:
            del start["elements"]
        name = self._name(method, {**case.identity, "start": list(start), "settings": settings.as_dict()})
        path = self._runs / f"{name}.h5"
        if self._is_stored(name, path):
            result = from_first_rank(self.comm, lambda: read_result(path))
        else:
            result = self._reconstruct(case, label, settings, start)
            from_first_rank(self.comm, lambda: write_result(path, result))
            self._computed.add(name)
        self.cost.add(name, result.history[-1].seconds, result.history[-1].sweeps)
        return result

    def _reconstruct(self, case: Case, label: str, settings: Settings, start: Mapping[str, Any]) -> Result:
        """Reconstruct on all ranks with progress, and return the whole result."""
        title = f"{case.label}, {settings.method}, {label}"
        if settings.method == "joint":
            title += f", alpha {settings.alpha} x {settings.alpha_scale:g}"
        with (
            progress(
                quiet=self.quiet or not self.first or not sys.stderr.isatty(),
                label=f"{self.label}: {title}",
                max_iterations=settings.max_iterations,
                max_sweeps=settings.max_sweeps,
            ) as callback,
            warnings.catch_warnings(),
        ):
            # experiments are about scans and links that are not good
            for category in (SuspiciousScan, DoubtfulFit):
                warnings.simplefilter("ignore", category)
            run = reconstruct(case.scan, settings=settings, start=start, callback=callback, comm=self.comm)
        result: Result = run.gather()
        last = result.history[-1]
        self._report(
            f"{title}: {last.iteration} iterations, {last.sweeps:.0f} sweeps, {last.seconds:.1f} s, "
            f"loss {last.loss:.4g}, {_errors(last.errors)}"
        )
        return result

    # ---------------------------------------------------------------- other long computations

    def compute(
        self,
        title: str,
        settings: Mapping[str, Any],
        function: Callable[[], Mapping[str, NDArray[Any]]],
        *,
        together: bool = False,
    ) -> dict[str, NDArray[Any]]:
        """Compute arrays, or read them if an earlier run has computed them.

        Parameters
        ----------
        title : str
            What is computed.
        settings : dict
            Everything that the arrays depend on.
        function : callable
            Returns the arrays by name.
        together : bool
            Call the function on all ranks; it must return the same arrays on each. By default only the first
            rank calls it.

        Returns
        -------
        dict of str to array

        Raises
        ------
        ValueError
            The file of an earlier run is damaged.
        """
        name = self._name("arrays", {"title": title, **settings})
        path = self._runs / f"{name}.npz"
        if not self._is_stored(name, path):
            began = time.perf_counter()
            arrays = dict(function() if together else from_first_rank(self.comm, function))
            seconds = time.perf_counter() - began
            from_first_rank(self.comm, lambda: _save(path, arrays | {"seconds": np.array(seconds)}))
            self._computed.add(name)
            self._report(f"{title}: {seconds:.1f} s")
        stored: dict[str, NDArray[Any]] = from_first_rank(self.comm, lambda: _load(path))
        self.cost.add(name, float(stored.pop("seconds")), 0.0, runs=0)
        return stored


def _relevant(method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a method depends on: single modalities have no weight."""
    return {key: value for key, value in values.items() if method == "joint" or not key.startswith("alpha")}


def _errors(errors: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {errors[name]:.3g}" for name in ("mse", "mse_aligned") if name in errors)


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **dict[str, Any](arrays))


def _load(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (EOFError, ValueError, BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path}: expected arrays of an earlier run, got {error} (remove the file)"
        ) from None
