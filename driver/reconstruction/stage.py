"""A stage of a reconstruction: one method is applied until there is a reason to stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.history import History, Reason, Work
from ptyxrf.driver.data.refined_sensitivity import RefinedSensitivity
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.objective import DTYPES, Objective
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.batch_iteration import after_batches
from ptyxrf.driver.reconstruction.checkpoint import Checkpoints, start_digest
from ptyxrf.driver.reconstruction.first_maps import first_maps, fit_with_prior
from ptyxrf.driver.reconstruction.judgement import judge
from ptyxrf.driver.reconstruction.probe_modes import orthogonal_modes
from ptyxrf.driver.reconstruction.probe_start import ProbeStart
from ptyxrf.driver.reconstruction.quality import measure_quality
from ptyxrf.driver.reconstruction.reporting import Callback, Reporter, check_start
from ptyxrf.driver.reconstruction.run_state import Ended, Resumed, RunState
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


@dataclass(frozen=True)
class Job:
    """What all stages of a reconstruction share.

    Attributes
    ----------
    given : Scan
        As the user has given it.
    scan : Scan
        With the probe from which the reconstruction starts.
    found : ProbeStart
        Where that comes from.
    settings : Settings
        Resolved, of the whole reconstruction.
    start : mapping
        Of the user.
    callback : callable or None
    comm : communicator or None
    """

    given: Scan
    scan: Scan
    found: ProbeStart
    settings: Settings
    start: Mapping[str, ArrayLike]
    callback: Callback | None
    comm: Any


@dataclass(frozen=True)
class Handover:
    """What a stage takes over from those before it.

    Attributes
    ----------
    start : mapping
        Starting values that replace those of the user.
    enter : callable
        Takes an objective to that start, beyond what the values say.
    held : frozenset of str, optional
        See `Schedule`.
    note : str
        Of the start.
    ended : sequence of Ended
        The stages before this one.
    seconds : float
        Since the reconstruction began.
    stopped : bool
        Whether the callback has asked to stop.
    sensitivity : RefinedSensitivity, optional
        That the stage uses, where it is not the scan's.
    """

    start: Mapping[str, ArrayLike] = field(default_factory=dict)
    enter: Callable[[Objective], None] = lambda objective: None
    held: frozenset[str] | None = None
    note: str = ""
    ended: Sequence[Ended] = ()
    seconds: float = 0.0
    stopped: bool = False
    sensitivity: RefinedSensitivity | None = None


@dataclass(frozen=True)
class Stage:
    """A stage at its end.

    Attributes
    ----------
    objective : Objective
    vector : array
        The unknowns at the end.
    result : Result
        This rank's part.
    ended : Ended
        What later checkpoints hold of it.
    """

    objective: Objective
    vector: NDArray[Any]
    result: Result
    ended: Ended


def run_stage(job: Job, settings: Settings, before: Handover) -> Stage:
    """Apply a method until there is a reason to stop; all ranks take part.

    Parameters
    ----------
    job : Job
    settings : Settings
        Resolved, of this stage.
    before : Handover
    """
    objective = _objective(job, settings, before)
    unit = 1 / objective.scale_weights()
    first = settings.fluorescence_first and settings.method == "joint" and bool((objective.alpha > 0).any())
    settings = settings.replace(fluorescence_first=first)
    checkpoints = _checkpoints(job, objective, before)
    resumed = checkpoints.resume() if checkpoints is not None and job.settings.resume else None
    if isinstance(resumed, Ended):
        objective.held = before.held or frozenset()
        vector, history, reason, ended = resumed.restore(objective), resumed.history, resumed.reason, resumed
    else:
        run, note = (resumed.run, "") if resumed else _begin(job, settings, objective, before, checkpoints)
        reporter = Reporter(
            objective, unit, run, settings, job.callback, checkpoints, note, before.held or frozenset()
        )
        schedule = Schedule(settings, before.held)
        state, reason = _iterate(settings, objective, schedule, reporter, resumed, stopped=before.stopped)
        check_start(reporter.history[0], settings.precision)
        vector, history = state.vector, reporter.history
        ended = Ended.of(objective, vector, history, reason)
    derived = {
        "probe_ranking": job.found.ranking,
        "resumed_after": resumed.after if isinstance(resumed, Resumed) else [],
    }
    result = _result(settings.as_dict() | derived, objective, vector, reason, history, unit)
    return Stage(objective, vector, result.replaced(sensitivity=before.sensitivity), ended)


def _objective(job: Job, settings: Settings, before: Handover) -> Objective:
    """Read this rank's data, and return its objective at the start of the stage."""
    scan, model = job.scan, settings.part(Model)
    log.log(_level(scan), "reading %d patterns", scan.N)
    data = LocalData.read(
        scan, model.method, DTYPES[model.precision], model.halo_margin, Ranks(job.comm),
        memory=model.memory,
    )  # fmt: skip
    judge(data, settings)
    objective = Objective(scan, settings=model, start={**job.start, **before.start}, data=data)
    before.enter(objective)
    return objective


def _level(scan: Scan) -> int:
    """Return the level at which a phase is logged: those of small scans are too short to announce."""
    return logging.INFO if scan.N * scan.m**2 > MANY_PIXELS else logging.DEBUG


def _checkpoints(job: Job, objective: Objective, before: Handover) -> Checkpoints | None:
    """Return the writer of checkpoints, if asked for."""
    settings = job.settings
    if settings.checkpoint is None:
        return None
    return Checkpoints(
        settings.checkpoint,
        objective,
        settings.agreement() | {"start": start_digest(job.start)},
        settings.checkpoint_seconds,
        settings.checkpoint_iterations,
        job.given,
        job.found,
        before.ended,
    )


def _begin(
    job: Job, settings: Settings, objective: Objective, before: Handover, checkpoints: Checkpoints | None
) -> tuple[RunState, str]:
    """Return the state of a new stage, and a note; put first maps into the start if asked for."""
    seconds, note = before.seconds, job.found.note + before.note
    with_prior = settings.fluorescence_prior != "none" and objective.data.counts is not None
    # the joint fit that follows the others has weights and strengths from them
    searched = with_prior and not (settings.method == "joint" and before.ended)
    if not settings.fluorescence_first and not searched:
        return RunState(History(), None, seconds), note
    log.log(_level(objective.scan), "fitting first maps to the fluorescence alone")
    began = time.perf_counter()
    pause = None if checkpoints is None else checkpoints.answer_signals
    if settings.method == "fluorescence":
        objective.initial = fit_with_prior(objective, settings, pause)
        sweeps, objective.work = objective.sweeps, Work()
    else:
        probe = objective.probe_of(objective.initial)  # which may be scaled to the patterns
        start = {**job.start, "probe": probe}
        maps = first_maps(objective.data, objective.alpha > 0, start, settings, pause)
        objective.weights.restore(maps.weights)
        sweeps = maps.sweeps
        if settings.fluorescence_first:
            objective.fields.view(objective.initial)[objective.fields.elements] = maps.elements
    if settings.fluorescence_first or settings.method == "fluorescence":
        note = f"{note}, maps of the fluorescence alone ({sweeps:g} sweeps over it)"
    if searched:
        note += f", strengths of their prior {', '.join(f'{one:.3g}' for one in objective.weights.strengths)}"
    return RunState(History(), None, seconds + time.perf_counter() - began), note


def _iterate(
    settings: Settings,
    objective: Objective,
    schedule: Schedule,
    reporter: Reporter,
    resumed: Resumed | None,
    *,
    stopped: bool,
) -> tuple[State, Reason]:
    """Iterate from the start, or from a checkpoint, until there is a reason to stop."""
    stops = settings.part(Stops)
    if stops.max_seconds is not None:
        stops = stops.replace(max_seconds=max(stops.max_seconds - reporter.earlier, 0.0))
    minimiser = SOLVERS[settings.solver](objective, settings.part(SolverSettings), stops)
    if resumed is None:
        schedule.begin(objective)
        state = minimiser.start(objective.initial)
        reason = reporter.report(state)
        if stopped:
            reason = Reason.CALLBACK
    else:
        state, reason = minimiser.restore(resumed.saved), None
        objective.work = resumed.work  # without the evaluation that restored the point
    while reason is None:
        if schedule.frees(objective, state):
            state = minimiser.reset(state)
        reason = minimiser.reason(state)
        if reason is None:
            number, sweeps = state.number, settings.batch_sweeps
            first = number == 0 and sweeps > 0
            state = after_batches(minimiser, objective, state, sweeps) if first else minimiser.step(state)
            if state.number > number:
                moved = objective.beam.followed(state.vector, search=schedule.searches(state))
                state = state if moved is None else minimiser.reset(state, moved)
                reason = reporter.report(state)
    return state, reason


def _result(
    settings: dict[str, Any],
    objective: Objective,
    vector: NDArray[Any],
    reason: Reason,
    history: History,
    unit: float,
) -> Result:
    """Return this rank's part of the result."""
    quality = measure_quality(objective, vector, converged=reason.converged)
    if quality is not None:
        history = history.with_floor(quality.noise_floor)
    factor = 1.0
    if settings["refine_probe"] and objective.method == "ptychography":
        factor = object_factor(objective, vector, settings["scale_from"])
    derived = {
        "object_factor": factor,
        "alpha_used": (unit * objective.alpha).tolist(),
        "prior_used": objective.weights.strengths.tolist(),
        "fluorescence_count_scale_used": objective.weights.scales.tolist(),
        "mean_count": objective.mean_count,
        "probe_scale_held": objective.beam.pinned,
    }
    probe = objective.probe_of(vector) / objective.real.type(factor)
    return Result(
        object=objective.complex_object(vector) * objective.real.type(factor),
        elements=objective.elements_of(vector).copy(),
        probe=orthogonal_modes(probe) if settings["refine_probe"] and len(probe) > 1 else probe,
        history=history,
        reason=reason,
        method=objective.method,
        settings=settings | derived,
        predicted_fluorescence=objective.predicted_fluorescence(vector),
        pattern_misfit=objective.pattern_misfit(),
        positions=objective.beam.positions(vector) if settings["refine_positions"] != "none" else None,
        intensities=objective.beam.intensities(vector) if settings["refine_intensities"] else None,
        quality=quality,
        pattern_background=objective.beam.background(vector),
        matrix=objective.fields.only("matrix", vector),
        shared=(objective.tile, objective.ranks) if objective.ranks.size > 1 else None,
    )
