"""One call from a scan to a result."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ptyxrf.driver.data.history import History, Reason
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.setting import takes_settings
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.objective import DTYPES, Objective
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.objective.start import starting_probe
from ptyxrf.driver.reconstruction.checkpoint import (
    Checkpoints,
    Resumed,
    RunState,
    kept_probe,
    start_digest,
)
from ptyxrf.driver.reconstruction.compilation import compile_kernels
from ptyxrf.driver.reconstruction.first_maps import first_maps
from ptyxrf.driver.reconstruction.illumination import illuminated_part
from ptyxrf.driver.reconstruction.probe_modes import orthogonal_modes
from ptyxrf.driver.reconstruction.probe_start import ProbeStart, check_probe_start, find_probe
from ptyxrf.driver.reconstruction.quality import measure_quality
from ptyxrf.driver.reconstruction.reporting import Callback, Reporter, check_start
from ptyxrf.driver.reconstruction.scale import object_factor
from ptyxrf.driver.reconstruction.schedule import Schedule
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.solver.minimiser import Minimiser
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.state import State
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton
from ptyxrf.parallel.reduction import Ranks

log = logging.getLogger("ptyxrf")

SOLVERS: dict[str, type[Minimiser]] = {"quasi-newton": QuasiNewton, "newton": TruncatedNewton}

#: Pixels of patterns above which reading and first maps take long enough to be announced.
MANY_PIXELS = 2**25

#: Largest change of the object, relative to vacuum, for which the linear link of real transmission holds: the
#: neglected term of the exponential is half its square.
WEAK_CONTRAST = 0.3


@takes_settings(Settings, ("method",))
def reconstruct(
    scan: Scan,
    settings: Settings,
    start: Mapping[str, ArrayLike] | None = None,
    callback: Callback | None = None,
    comm: Any = None,
) -> Result:
    """Reconstruct a scan.

    With a communicator of several ranks each one calls this with the same arguments and gets its part of the
    result.

    Parameters
    ----------
    scan : Scan
    {settings}
    start : mapping, optional
        Starting values by the names of the unknowns, as in ``Objective.scatter``: arrays or numbers.
    callback : callable, optional
        Given the `IterationRecord` of each iteration and a `View` of the object at it; a true answer, on any
        rank, stops the reconstruction.
    comm : communicator or None
        The ranks that share the work. None: one rank, without MPI.

    Returns
    -------
    Result
        Where several ranks share the work, this rank's part: see `Result.gather`.

    Raises
    ------
    ValueError
        An argument is wrong, or a checkpoint cannot be read or written, or is of another reconstruction.

    Warns
    -----
    UserWarning
        There is no checkpoint to resume from, or the newest is damaged; data or model are suspicious: no
        count scale, contrast too strong for the linear link.
    """
    if not isinstance(scan, Scan):
        raise ValueError(f"scan: expected a Scan (read_scan reads files), got {type(scan).__name__}")
    if callback is not None and not callable(callback):
        raise ValueError(
            f"callback: expected a function of an IterationRecord and a View, got {type(callback).__name__}"
        )
    start = {} if start is None else start
    starting_probe(scan, start, None)  # a wrong start is found before kernels are compiled
    settings = settings.resolved(scan, start)
    objective, found = _objective(scan, settings, start, comm)
    unit = 1 / objective.scale_weights()
    settings = _with_first_maps(settings, objective)
    checkpoints, resumed = _checkpoints(settings, scan, objective, start, found)
    run, note = (resumed.run, "") if resumed else _begin(settings, objective, start, found, checkpoints)
    reporter = Reporter(objective, unit, run, settings, callback, checkpoints, note)
    state, reason = _iterate(settings, objective, reporter, resumed)
    check_start(reporter.history[0], settings.precision)
    _warn_of_strong_contrast(objective, state)
    derived = {"probe_ranking": found.ranking, "resumed_after": resumed.after if resumed else []}
    return _result(settings.as_dict() | derived, objective, state, reason, reporter, unit)


def _objective(
    scan: Scan, settings: Settings, start: Mapping[str, ArrayLike], comm: Any
) -> tuple[Objective, ProbeStart]:
    """Compile, read this rank's data, and return its objective with the probe from which it starts."""
    check_probe_start(scan, settings, start)
    model = settings.part(Model)
    compile_kernels(scan, model, comm)
    log.log(_level(scan), "reading %d patterns", scan.N)
    data = LocalData.read(scan, model.method, DTYPES[model.precision], model.halo_margin, Ranks(comm))
    found = kept_probe(scan, settings, comm) or find_probe(scan, settings, comm)
    if found.probe is not scan.probe:
        of_other_shape = {"probe"} if found.probe.shape != scan.probe.shape else set()
        truth = {name: array for name, array in scan.truth.items() if name not in of_other_shape}
        scan = scan.replace(probe=found.probe, truth=truth)
        data = replace(data, scan=scan)
    return Objective(scan, settings=model, start=start, data=data), found


def _with_first_maps(settings: Settings, objective: Objective) -> Settings:
    """Return the settings, without first maps where no map would come of them."""
    first = settings.fluorescence_first and settings.method == "joint" and bool((objective.alpha > 0).any())
    return settings.replace(fluorescence_first=first)


def _level(scan: Scan) -> int:
    """Return the level at which a phase is logged: those of small scans are too short to announce."""
    return logging.INFO if scan.N * scan.m**2 > MANY_PIXELS else logging.DEBUG


def _iterate(
    settings: Settings, objective: Objective, reporter: Reporter, resumed: Resumed | None
) -> tuple[State, Reason]:
    """Iterate from the start, or from a checkpoint, until there is a reason to stop."""
    schedule = Schedule(settings)
    stops = settings.part(Stops)
    if stops.max_seconds is not None:
        stops = stops.replace(max_seconds=max(stops.max_seconds - reporter.earlier, 0.0))
    minimiser = SOLVERS[settings.solver](objective, settings.part(SolverSettings), stops)
    if resumed is None:
        schedule.begin(objective)
        state = minimiser.start(objective.initial)
        reason = reporter.report(state)
    else:
        state, reason = minimiser.restore(resumed.saved), None
        objective.work = resumed.work  # without the evaluation that restored the point
    while reason is None:
        if schedule.frees(objective, state):
            state = minimiser.reset(state)
        reason = minimiser.reason(state)
        if reason is None:
            number, state = state.number, minimiser.step(state)
            if state.number > number:
                moved = objective.beam.followed(state.vector, search=schedule.searches(state))
                state = state if moved is None else minimiser.reset(state, moved)
                reason = reporter.report(state)
    return state, reason


def _checkpoints(
    settings: Settings,
    scan: Scan,
    objective: Objective,
    start: Mapping[str, ArrayLike],
    found: ProbeStart,
) -> tuple[Checkpoints | None, Resumed | None]:
    """Return the writer of checkpoints, and what a run resumes from, if asked for."""
    if settings.checkpoint is None:
        return None, None
    checkpoints = Checkpoints(
        settings.checkpoint,
        objective,
        settings.agreement() | {"start": start_digest(start)},
        settings.checkpoint_seconds,
        settings.checkpoint_iterations,
        scan,
        found,
    )
    return checkpoints, checkpoints.resume() if settings.resume else None


def _begin(
    settings: Settings,
    objective: Objective,
    start: Mapping[str, ArrayLike],
    found: ProbeStart,
    checkpoints: Checkpoints | None,
) -> tuple[RunState, str]:
    """Return the state of a new run, and a note; put first maps into the start if asked for."""
    if not settings.fluorescence_first:
        return RunState(History(), None, found.seconds), found.note
    log.log(_level(objective.scan), "fitting first maps to the fluorescence alone")
    began = time.perf_counter()
    probe = objective.probe_of(objective.initial)  # which may be scaled to the patterns
    pause = None if checkpoints is None else checkpoints.answer_signals
    maps = first_maps(objective.data, objective.alpha > 0, {**start, "probe": probe}, settings, pause)
    objective.fields.view(objective.initial)[objective.fields.elements] = maps.elements
    note = f"{found.note}, maps of the fluorescence alone ({maps.sweeps:g} sweeps over it)"
    return RunState(History(), None, found.seconds + time.perf_counter() - began), note


def _result(
    settings: dict[str, Any],
    objective: Objective,
    state: State,
    reason: Reason,
    reporter: Reporter,
    unit: float,
) -> Result:
    """Return this rank's part of the result."""
    quality = measure_quality(objective, state.vector, converged=reason.converged)
    history = reporter.history
    if quality is not None:
        history = history.with_floor(quality.noise_floor)
    factor = 1.0
    if settings["refine_probe"] and objective.method == "ptychography":
        factor = object_factor(objective, state.vector, settings["scale_from"])
    derived = {
        "object_factor": factor,
        "alpha_used": (unit * objective.alpha).tolist(),
        "mean_count": objective.mean_count,
    }
    probe = objective.probe_of(state.vector) / objective.real.type(factor)
    return Result(
        object=objective.complex_object(state.vector) * objective.real.type(factor),
        elements=objective.elements_of(state.vector).copy(),
        probe=orthogonal_modes(probe) if settings["refine_probe"] and len(probe) > 1 else probe,
        history=history,
        reason=reason,
        method=objective.method,
        settings=settings | derived,
        predicted_fluorescence=objective.predicted_fluorescence(state.vector),
        pattern_misfit=objective.pattern_misfit(),
        positions=objective.beam.positions(state.vector) if settings["refine_positions"] != "none" else None,
        intensities=objective.beam.intensities(state.vector) if settings["refine_intensities"] else None,
        quality=quality,
        pattern_background=objective.beam.background(state.vector),
        shared=(objective.tile, objective.ranks) if objective.ranks.size > 1 else None,
    )


def _warn_of_strong_contrast(objective: Objective, state: State) -> None:
    """Warn where the linear link of real transmission was used for a specimen that is not weak."""
    model = objective.settings
    if model.method != "joint" or model.link != "linear" or model.link_offset == 0:
        return
    z = objective.complex_object(state.vector)
    area = illuminated_part(objective.scan, objective.tile, objective.ranks)
    vacuum = 1j * model.link_offset
    beyond = np.abs(z[area] - vacuum) > WEAK_CONTRAST * abs(vacuum)
    count, pixels = objective.ranks.sum(np.array([beyond.sum(), beyond.size], dtype=np.float64))
    strong = count / pixels
    if strong > 0.01:
        warnings.warn(
            f"link: the linear link expects weak contrast, but {100 * strong:.0f} % of the illuminated "
            f"object differ from vacuum by more than {100 * WEAK_CONTRAST:.0f} %: the maps are not "
            "quantitative there",
            stacklevel=4,
        )
