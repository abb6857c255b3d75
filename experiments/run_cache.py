"""Runs the reconstructions of experiments, keeps them on disk, and shows how far they are."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Mapping
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
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.experiments.paper_cases import PAPER, Case
from ptyxrf.parallel.startup import from_first_rank

#: The paper's solver as tuned here, truncated Newton, with the budget of the paper's where one is given.
TUNED: dict[str, Any] = {"solver": "newton", "precision": "single", "max_iterations": 1000}


#: Part of the steps that smaller versions make.
QUICK_STEPS = 0.4


@dataclass
class Cost:
    """What an experiment took: also the parts that were kept from before.

    Attributes
    ----------
    seconds, sweeps : float
    runs : int
        Reconstructions.
    """

    seconds: float = 0.0
    sweeps: float = 0.0
    runs: int = 0
    counted: set[str] = field(default_factory=set)

    def add(self, name: str, seconds: float, sweeps: float, runs: int = 1) -> None:
        """Count a part once."""
        if name not in self.counted:
            self.counted.add(name)
            self.seconds += seconds
            self.sweeps += sweeps
            self.runs += runs


class Study:
    """Where experiments compute.

    Whatever takes long is kept in ``folder/runs`` under a name made of its settings and the version, and is
    not computed again: an interrupted study goes on where it was. All ranks make the same calls and get the
    same answers.

    Parameters
    ----------
    folder : path
        Where results go.
    quick : bool
        Smaller versions.
    images : pair of path, optional
        Magnitude and phase of the experiment on images.
    comm : communicator or None
    fresh : bool
        Compute again what is there.
    quiet : bool
        No progress.
    """

    def __init__(
        self,
        folder: Path,
        *,
        quick: bool = False,
        images: tuple[Path, Path] | None = None,
        comm: Any = None,
        fresh: bool = False,
        quiet: bool = False,
    ) -> None:
        self.folder, self.quick, self.images, self.comm = folder, quick, images, comm
        self.fresh, self.quiet = fresh, quiet
        self.first = comm is None or comm.Get_rank() == 0
        self.cost = Cost()
        self.label = ""
        self._kept = folder / "runs"
        self._made: set[str] = set()
        from_first_rank(comm, lambda: self._kept.mkdir(parents=True, exist_ok=True))

    def begin(self, label: str) -> None:
        """Begin an experiment: its cost is counted from zero."""
        self.cost, self.label = Cost(), label

    def _name(self, kind: str, settings: Mapping[str, Any]) -> str:
        text = json.dumps(
            {"kind": kind, "version": version("ptyxrf"), **settings}, sort_keys=True, default=str
        )
        return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _is_kept(self, name: str, path: Path) -> bool:
        wanted = not self.fresh or name in self._made
        return bool(from_first_rank(self.comm, lambda: wanted and path.exists()))

    def _say(self, text: str) -> None:
        if self.first and not self.quiet:
            sys.stderr.write(f"{self.label}: {text}\n")
            sys.stderr.flush()

    # ---------------------------------------------------------------- reconstructions

    def paper(self, case: Case, method: str, **settings: Any) -> Result:
        """Reconstruct as the paper does, but for the settings that are given; quick: with fewer steps."""
        settings = PAPER | settings
        if self.quick:
            settings["max_iterations"] = math.ceil(settings["max_iterations"] * QUICK_STEPS)
        return self._run(case, method, "paper's solver", settings)

    def tuned(self, case: Case, method: str, **settings: Any) -> Result:
        """Reconstruct with the tuned solver and the statistical weight, but for the settings given.

        The joint method starts from x = 0.5 and, as it does by default, the maps of the fluorescence alone.
        """
        return self._run(case, method, "tuned solver", TUNED | settings)

    def _run(self, case: Case, method: str, label: str, settings: Mapping[str, Any]) -> Result:
        if method != "joint":
            settings = {key: value for key, value in settings.items() if not key.startswith("alpha")}
        start = case.start
        if method == "joint" and settings.get("fluorescence_first", settings.get("solver") != "paper"):
            del start["elements"]
        name = self._name(method, {**case.identity, "start": list(start), "settings": dict(settings)})
        path = self._kept / f"{name}.h5"
        title = f"{case.label}, {method}, {label}"
        if method == "joint":
            title += f", alpha {settings.get('alpha', 'statistical')} x {settings.get('alpha_scale', 1)}"
        if not self._is_kept(name, path):
            terminal = sys.stderr.isatty()
            with progress(
                quiet=self.quiet or not self.first or not terminal,
                label=f"{self.label}: {title}",
                max_iterations=settings.get("max_iterations"),
                max_sweeps=settings.get("max_sweeps"),
            ) as callback:
                run = reconstruct(
                    case.scan, method, start=start, callback=callback, comm=self.comm, **settings
                )
            result = run.gather()
            from_first_rank(self.comm, lambda: write_result(path, result))
            self._made.add(name)
            last = result.history[-1]
            self._say(
                f"{title}: {last.iteration} iterations, {last.sweeps:.0f} sweeps, {last.seconds:.1f} s, "
                f"loss {last.loss:.4g}, {_errors(last.errors)}"
            )
        else:
            result = from_first_rank(self.comm, lambda: read_result(path))
        self.cost.add(name, result.history[-1].seconds, result.history[-1].sweeps)
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
        """Compute arrays, or read them if they were computed before.

        Parameters
        ----------
        title : str
            Says what is computed.
        settings : dict
            All that the arrays depend on.
        function : callable
            Returns them by name.
        together : bool
            All ranks call the function, which gives the same to each; otherwise the first rank alone does.
        """
        name = self._name("arrays", {"title": title, **settings})
        path = self._kept / f"{name}.npz"
        if not self._is_kept(name, path):
            began = time.perf_counter()
            arrays = dict(function() if together else from_first_rank(self.comm, function))
            seconds = time.perf_counter() - began
            from_first_rank(self.comm, lambda: _save(path, arrays | {"seconds": np.array(seconds)}))
            self._made.add(name)
            self._say(f"{title}: {seconds:.1f} s")
        stored: dict[str, NDArray[Any]] = from_first_rank(self.comm, lambda: _load(path))
        self.cost.add(name, float(stored.pop("seconds")), 0.0, runs=0)
        return stored

    def objective(self, case: Case, method: str, *, comm: Any = None, **settings: Any) -> Objective:
        """Return the objective that the paper minimises, in double precision with the full Hessian."""
        defaults = {"alpha": "gradnorm", "curvature": "full", "start": case.start}
        return Objective(case.scan, method, comm=comm, **(defaults | settings))


def point(objective: Objective, object: NDArray[Any], elements: NDArray[Any]) -> NDArray[Any]:
    """Return a known object and its maps as the unknowns of an objective."""
    values = {"real_part": object.real, "imaginary_part": object.imag, "elements": elements}
    return objective.scatter(**{name: values[name] for name in objective.unknowns})


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
