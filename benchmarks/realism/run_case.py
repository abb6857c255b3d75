"""One run: make the scan of a case, reconstruct it as its user would, and score the result."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES, MAPS, MASSES, Case
from numpy.typing import NDArray
from pictures import draw
from scans import Data, data_of, scan_of
from shared import module

import ptyxrf

Record = dict[str, Any]

#: Cases whose kernels this process has compiled.
_compiled: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Job:
    """A run that another process can make.

    Attributes
    ----------
    case : str
        Its name.
    seed, specimen : int
    changes : dict
        Settings that replace those of the case.
    stored : Path
        Folder of scans.
    picture : Path or None
        File of the picture that is drawn.
    """

    case: str
    seed: int
    specimen: int
    changes: Mapping[str, Any]
    stored: Path
    picture: Path | None = None


@dataclass(frozen=True)
class Found:
    """What a reconstruction found, in the units of its scan.

    Attributes
    ----------
    object : (n_rows, n_cols) array of complex
    probe : (K, m, m) array of complex
    positions : (N, 2) array of float
        Refined, or as given.
    elements : (N_e, n_rows, n_cols) array of float or None
    loss : float
        Of the patterns, in mean counts.
    sweeps : float
        Over the patterns, and over the fluorescence where it is fitted alone.
    before : Found or None
        The fallback of a joint fit.
    quality : Quality or None
        Of a joint fit with a fallback.
    """

    object: NDArray[Any]
    probe: NDArray[Any]
    positions: NDArray[np.float64]
    elements: NDArray[Any] | None
    loss: float
    sweeps: float
    before: Found | None = None
    quality: ptyxrf.Quality | None = None


def run(job: Job) -> Record:
    """Make a run and return its measures.

    Returns
    -------
    dict
        "case", "seed", "specimen" and those of `cases.MEASURES` that the case has.
    """
    case = CASES[job.case]
    data = data_of(case, job.seed, job.specimen, job.stored)
    settings = {**case.settings, **job.changes}
    scan = scan_of(case, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the linear link expects weak contrast
        if (case.name, str(settings)) not in _compiled:
            _reconstruct(scan, case, settings | {"max_iterations": 1})
            _compiled.add((case.name, str(settings)))
        began = time.process_time()
        found = _reconstruct(scan, case, settings)
        seconds = time.process_time() - began
    record: Record = {
        "case": case.name,
        "seed": job.seed,
        "specimen": job.specimen,
        "loss": found.loss,
        "seconds": seconds,
        "sweeps": found.sweeps,
        **_scores(data, found),
        **_comparison(data, found),
    }
    if job.picture is not None:
        draw(job.picture, case.name, data, found, record)
    return record


def _reconstruct(scan: ptyxrf.Scan, case: Case, settings: Mapping[str, Any]) -> Found:
    """Reconstruct a scan by the method of a case."""
    method = "ptychography" if case.method == "sequential" else case.method
    result = last = ptyxrf.reconstruct(scan, method, start=case.start, **settings)
    sweeps = result.history[-1].sweeps
    positions = getattr(result, "positions", None)
    positions = scan.positions if positions is None else positions
    if case.method == "sequential":
        refined = scan.replace(probe=result.probe, positions=positions)
        # the fluorescence has its own defaults; a run that only compiles ends early
        limit = {name: settings[name] for name in ("max_iterations",) if name in settings}
        last = ptyxrf.reconstruct(refined, "fluorescence", **limit)
        sweeps += last.history[-1].sweeps
    before = None
    if result.fallback is not None:
        before = _found(result.fallback, positions, result.fallback.elements, sweeps)
    found = _found(result, positions, last.elements if case.joint else None, sweeps)
    return found if before is None else replace(found, before=before, quality=result.quality)


def _found(
    result: ptyxrf.Result, positions: NDArray[np.float64], elements: NDArray[Any] | None, sweeps: float
) -> Found:
    return Found(
        object=result.object,
        probe=result.probe,
        positions=positions,
        elements=elements,
        loss=result.history[-1].ptychography_loss / result.settings["mean_count"],
        sweeps=sweeps,
    )


def _comparison(data: Data, found: Found) -> dict[str, float]:
    """Return the errors of what came before a joint fit, and what this says of its link."""
    if found.before is None or found.quality is None:
        return {}
    scores = _scores(data, found.before)
    before = {f"{name}_before": scores[name] for name in ("object", *MAPS) if name in scores}
    return before | {"shift": found.quality.object_shift, "alarm": float(found.quality.link_good is False)}


def _scores(data: Data, found: Found) -> dict[str, float]:
    """Return the errors of a result: none without a truth; those of a diverged object are not numbers."""
    if "obj" not in data:
        return {}
    score = module("score")
    scores = {
        "positions": score.pos_error(found.positions, data["true"]),
        "positions_affine": score.pos_error(found.positions, data["true"], True),
    }
    try:
        plain = score.score(data, found.object, w=found.elements if "w" in data else None)
        affine = score.score(data, found.object, affine=True)
    except np.linalg.LinAlgError:
        return scores | {"object": np.nan, "object_affine": np.nan}
    scores |= {"object": plain["err"], "object_affine": affine["err"]}
    maps = plain.get("maps", ())
    scores |= {name: bias for name, (_, _, bias, _) in zip(MASSES, maps, strict=False)}
    return scores | {name: error for name, (error, *_) in zip(MAPS, maps, strict=False)}
