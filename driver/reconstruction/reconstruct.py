"""One call from a scan to a result."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.history import IterationRecord, Reason
from ptyxrf.driver.data.result import Result, TiledResult
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.links import Link
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.accuracy import ErrorMeter
from ptyxrf.driver.reconstruction.checkpoint import SECONDS, Checkpoints, start_digest
from ptyxrf.driver.reconstruction.coverage import covers
from ptyxrf.driver.reconstruction.discrepancy import noise_level
from ptyxrf.driver.reconstruction.first_maps import HELD_BUDGET, HELD_ITERATIONS, first_maps
from ptyxrf.driver.reconstruction.illumination import illuminated_part
from ptyxrf.driver.solver.minimiser import Iteration, SolverOptions, Standing
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton
from ptyxrf.parallel.reduction import Ranks

#: A gradient a step; inner solves with Hessian products; the latter as published.
SOLVERS = ("quasi-newton", "newton", "paper")
#: Most inner steps of an iteration: of quasi-Newton so many that an iteration is about as much work as one of
#: truncated Newton.
INNER_LIMITS = {"quasi-newton": 10, "newton": 15, "paper": 50}

#: Largest change of the object, relative to vacuum, for which the linear link of real transmission holds:
#: the neglected term of the exponential is half its square.
WEAK_CONTRAST = 0.3


def _number(name: str, value: Any, low: float, *, whole: bool = False) -> Any:
    good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not good or math.isnan(value) or value < low or (whole and value % 1 != 0):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name}: expected {kind} of at least {low:g}, got {value!r}")
    return int(value) if whole else float(value)


def _probe_start(refine_probe: bool | int) -> int | None:
    """Return the iteration before which the probe is freed, or None where it is known."""
    if isinstance(refine_probe, bool | np.bool_):
        return 0 if refine_probe else None
    return _number("refine_probe", refine_probe, 0, whole=True)


def _warn_of_strong_contrast(z: NDArray[Any], area: NDArray[np.bool_], offset: float, ranks: Ranks) -> None:
    """Say so where the linear link was used for a specimen that is not weak."""
    vacuum = 1j * offset
    beyond = np.abs(z[area] - vacuum) > WEAK_CONTRAST * abs(vacuum)
    count, pixels = ranks.sum(np.array([beyond.sum(), beyond.size], dtype=np.float64))
    strong = count / pixels
    if strong > 0.01:
        warnings.warn(
            f"link: the linear link expects weak contrast, but {100 * strong:.0f} % of the illuminated "
            f"object differ from vacuum by more than {100 * WEAK_CONTRAST:.0f} %: the maps are not "
            "quantitative there",
            stacklevel=3,
        )


def reconstruct(
    scan: Scan,
    method: str = "joint",
    *,
    alpha: str | ArrayLike = "statistical",
    alpha_scale: float = 1.0,
    curvature: str | None = None,
    precision: str = "single",
    refine_probe: bool | int = False,
    rescale_probe: bool | None = None,
    start: Mapping[str, ArrayLike] | None = None,
    link: str | Link = "linear",
    link_offset: float = 0.0,
    nonnegative: bool = True,
    max_iterations: int = 100,
    max_sweeps: float | None = None,
    max_seconds: float | None = None,
    inner_limit: int | None = None,
    gradient_tolerance: float = 1e-6,
    loss_tolerance: float = 1e-4,
    noise_stop: bool = True,
    fluorescence_first: bool | None = None,
    preconditioner: bool | None = None,
    solver: str | None = None,
    memory: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = SECONDS,
    checkpoint_iterations: int = 0,
    resume: bool = False,
    callback: Callable[[IterationRecord], Any] | None = None,
    comm: Any = None,
) -> Result | TiledResult:
    """Reconstruct a scan.

    With a communicator of several ranks each one calls this with the same arguments and gets its part of the
    result.

    Parameters
    ----------
    scan : Scan
    method : {"joint", "ptychography", "fluorescence"}
    alpha, alpha_scale, precision, link, link_offset, comm
        See `Objective`.
    curvature : {"positive", "full", "gauss-newton"}, optional
        Hessian of the inner solves of truncated Newton; default "positive", or "full" for the paper's solver.
    refine_probe : bool or int
        False: the scan's probe is right. True: it is an unknown. A number: it becomes one after so many
        iterations, or earlier where the object converges before.
    rescale_probe : bool, optional
        Scale the given probe so that z = 1 explains the mean count; default: where the probe is refined.
    start : mapping, optional
        Starting values: ``real_part``, ``imaginary_part``, ``elements``, ``probe`` (arrays or numbers).
    nonnegative : bool
        Hold w >= 0.
    max_iterations : int
        Most outer iterations.
    max_sweeps, max_seconds : float, optional
        Budgets: sweeps over the positions (a gradient or Hessian product is 1, a forward pass 1/2), seconds.
    inner_limit : int, optional
        Most inner steps of an iteration: 10 quasi-Newton steps by default, 15 Hessian products with
        truncated Newton, or 50 for the paper's solver.
    gradient_tolerance, loss_tolerance : float
        Stop when the gradient norm falls below this fraction of the first, or the loss by less than this
        fraction in three iterations running; 0 turns a test off.
    noise_stop : bool
        Stop when the fluorescence, and with it the patterns, are fitted to within their noise, where the
        scan tells it (see `ptyxrf.driver.reconstruction.discrepancy`): further iterations would bring it
        into the maps.
    fluorescence_first : bool, optional
        Start the joint method with the maps that the fluorescence alone gives, and hold them during the
        first four iterations, or eight of truncated Newton (or a quarter of `max_sweeps`, and not while the
        probe moves), while the rest of the object comes to them. The sweeps over the fluorescence that this
        takes are in the first note of the history, its time is in the seconds. Default: where `start` has no
        elements and the light of the positions covers the object, but not for the paper's solver.
    preconditioner : bool, optional
        Default True, or False for the paper's solver.
    solver : {"quasi-newton", "newton", "paper"}, optional
        quasi-newton: limited-memory BFGS around the preconditioner, a gradient a step. newton: truncated
        Newton, a Hessian product a step inside. paper: that as arXiv 2511.02153 describes it, with the full
        Hessian and no preconditioner. Default: quasi-newton, or newton for fluorescence alone.
    memory : {"cached", "low"}, optional
        See `Objective`. Default: low with quasi-newton, which makes no Hessian products, cached otherwise.
    checkpoint : path-like, optional
        Where to write checkpoints, of which the last two are kept (see
        `ptyxrf.driver.reconstruction.checkpoint`); they stay there
        at the end: `ptyxrf.remove_checkpoints` removes them. Default: none are written.
    checkpoint_seconds : float
        Write one after the first iteration that ends so many seconds after the last; 0: not by time.
    checkpoint_iterations : int
        Write one every so many iterations; 0: not by count.
    resume : bool
        Go on from the newest checkpoint that is whole, or begin at the start where there is none. The data
        and all settings have to be those of the run that wrote it, but for budgets, stops and the number of
        ranks. Budgets count from the first start.
    callback : callable, optional
        Given the `IterationRecord` of each iteration; a true answer, on any rank, stops the reconstruction.

    Returns
    -------
    Result or TiledResult
        The latter where several ranks share the work.

    Raises
    ------
    ValueError
        Naming the argument, what was expected and what came; or a checkpoint that cannot be read or written,
        or is of another reconstruction.

    Warns
    -----
    UserWarning
        Where there is no checkpoint to go on from, or the newest is damaged; where the data or the model are
        suspicious: no count scale, contrast too strong for the linear link.
    """
    if not isinstance(scan, Scan):
        raise ValueError(f"scan: expected a Scan (read_scan reads files), got {type(scan).__name__}")
    if callback is not None and not callable(callback):
        raise ValueError(
            f"callback: expected a function of an IterationRecord, got {type(callback).__name__}"
        )
    for name, value in (
        ("nonnegative", nonnegative),
        ("noise_stop", noise_stop),
        ("resume", resume),
        ("fluorescence_first", fluorescence_first),
        ("rescale_probe", rescale_probe),
        ("preconditioner", preconditioner),
    ):
        if value is not None and not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name}: expected True or False, got {value!r}")
    if solver is None:
        # the fluorescence alone is a linear problem, for which conjugate gradients were made
        solver = "newton" if method == "fluorescence" else "quasi-newton"
    if solver not in SOLVERS:
        raise ValueError(f"solver: expected one of {', '.join(SOLVERS)}, got {solver!r}")
    plain = solver == "paper"
    if memory is None:
        memory = "low" if solver == "quasi-newton" else "cached"
    if curvature is None:
        curvature = "full" if plain else "positive"
    free_from = _probe_start(refine_probe)
    options = SolverOptions(
        max_iterations=_number("max_iterations", max_iterations, 0, whole=True),
        max_sweeps=np.inf if max_sweeps is None else _number("max_sweeps", max_sweeps, 0),
        max_seconds=np.inf if max_seconds is None else _number("max_seconds", max_seconds, 0),
        inner_limit=INNER_LIMITS[solver]
        if inner_limit is None
        else _number("inner_limit", inner_limit, 1, whole=True),
        gradient_tolerance=_number("gradient_tolerance", gradient_tolerance, 0),
        loss_tolerance=_number("loss_tolerance", loss_tolerance, 0),
        nonnegative=bool(nonnegative),
    )
    checkpoint_seconds = _number("checkpoint_seconds", checkpoint_seconds, 0)
    checkpoint_iterations = _number("checkpoint_iterations", checkpoint_iterations, 0, whole=True)
    if resume and checkpoint is None:
        raise ValueError("resume: expected the path of a checkpoint beside it, got checkpoint None")
    if rescale_probe is None:
        rescale_probe = free_from is not None
    objective = Objective(
        scan,
        method,
        alpha,
        curvature,
        precision,
        free_from is not None,
        start,
        comm,
        alpha_scale=alpha_scale,
        link=link,
        link_offset=link_offset,
        memory=memory,
        rescale_probe=rescale_probe,
    )
    unit = 1 / objective.scale_weights()
    objective.preconditioner.identity = not (preconditioner if preconditioner is not None else not plain)
    if fluorescence_first is None:
        fluorescence_first = not plain and "elements" not in (start or {}) and covers(scan)
    fluorescence_first = bool(fluorescence_first) and method == "joint" and bool((objective.alpha > 0).any())
    #: what the path of the iterations depends on
    path_settings = {
        "method": method,
        "alpha": alpha if isinstance(alpha, str) else np.asarray(alpha, dtype=float).tolist(),
        "alpha_scale": float(alpha_scale),
        "curvature": curvature,
        "precision": precision,
        "refine_probe": {None: False, 0: True}.get(free_from, free_from),
        "rescale_probe": bool(rescale_probe),
        "link": link if isinstance(link, str) else type(link).__name__,
        "link_offset": float(link_offset),
        "solver": solver,
        "preconditioner": not objective.preconditioner.identity,
        "inner_limit": options.inner_limit,
        "fluorescence_first": fluorescence_first,
        "nonnegative": options.nonnegative,
        "memory": memory,
    }
    level = noise_level(objective) if noise_stop else None
    checkpoints = resumed = None
    if checkpoint is not None:
        agreement = path_settings | {"start": start_digest(start or {})}
        checkpoints = Checkpoints(checkpoint, objective, agreement, checkpoint_seconds, checkpoint_iterations)
        resumed = checkpoints.resume() if resume else None
    first_note, earlier = "", 0.0 if resumed is None else resumed.earlier
    if fluorescence_first and resumed is None:
        began = time.perf_counter()
        maps = first_maps(
            scan,
            objective.alpha > 0,
            {**(start or {}), "probe": objective.present_probe},  # which may be scaled to the patterns
            precision,
            options.nonnegative,
            options.max_seconds,
            comm,
            None if checkpoints is None else checkpoints.answer_signals,
        )
        objective.fields_of(objective.initial)[objective.channels["elements"]] = maps.elements
        first_note = f", maps of the fluorescence alone ({maps.sweeps:g} sweeps over it)"
        earlier = time.perf_counter() - began
    options = replace(options, max_seconds=max(options.max_seconds - earlier, 0.0))
    history: list[IterationRecord] = [] if resumed is None else resumed.history
    meter = (
        ErrorMeter(scan, objective.tile, objective.ranks, blind=free_from is not None) if scan.truth else None
    )
    fitted, before = False, None if resumed is None else resumed.before

    def report(iteration: Iteration) -> Any:
        nonlocal fitted, before
        z, elements = objective.complex_object(iteration.vector), objective.elements_of(iteration.vector)
        errors = {} if meter is None else meter.measure(z, elements)
        record = IterationRecord(
            iteration.number,
            unit * iteration.value,
            objective.losses.ptychography,
            unit * objective.losses.fluorescence,
            unit * iteration.gradient_norm,
            iteration.inner_steps,
            objective.work.products,
            objective.work.gradients,
            objective.work.sweeps,
            iteration.step,
            earlier + iteration.seconds,
            iteration.note + (first_note if iteration.number == 0 else ""),
            errors,
        )
        history.append(record)
        if callback is not None and callback(record):
            return True
        held = objective.probe_is_frozen or objective.maps_are_held
        fitted = level is not None and not held and level.reached(objective.losses, before)
        before = None if held else objective.losses
        return fitted

    def prepare(number: int, converged: bool) -> bool:
        """Free what is held when its iteration has come, or as soon as the rest has nothing more to gain."""
        frozen = free_from is not None and free_from > 0 and number <= free_from and not converged
        spent = objective.work.sweeps > HELD_BUDGET * options.max_sweeps
        early = fluorescence_first and number <= HELD_ITERATIONS[solver] and not spent
        # maps of a wrong probe would hold back a probe that moves
        held = early and not converged and (free_from is None or frozen)
        # what is free stays so: after the start the flags can only go
        flags = objective.probe_is_frozen, objective.maps_are_held
        objective.probe_is_frozen = frozen and (number == 0 or objective.probe_is_frozen)
        objective.maps_are_held = held and (number == 0 or objective.maps_are_held)
        return number > 0 and flags != (objective.probe_is_frozen, objective.maps_are_held)

    def pause(standing: Standing) -> None:
        if checkpoints is not None:
            checkpoints.consider(standing, history, before, earlier)

    descent = QuasiNewton if solver == "quasi-newton" else TruncatedNewton
    solution = descent(objective, options, lambda: objective.work.sweeps, report, prepare, pause)
    vector, reason = solution.run(objective.initial, None if resumed is None else resumed.standing)
    reason = Reason.NOISE if fitted else reason
    if not np.isfinite([history[0].loss, history[0].gradient_norm]).all():
        raise ValueError(
            f"scan: expected data, start and weights with a finite loss and gradient, got a loss of "
            f"{history[0].loss} at the start (in {precision} precision)"
        )
    z = objective.complex_object(vector)
    if method == "joint" and link == "linear" and link_offset != 0:
        ranks = objective.ranks
        area = illuminated_part(scan, objective.tile, ranks) if meter is None else meter.area
        _warn_of_strong_contrast(z, area, link_offset, ranks)
    part = Result(
        object=z,
        elements=objective.elements_of(vector).copy(),
        probe=objective.probe_of(vector),
        history=history,
        reason=reason,
        method=method,
        settings=path_settings
        | {
            "refine_probe": refine_probe,
            "alpha_used": (unit * objective.alpha).tolist(),
            "mean_count": objective.mean_count,
            "max_iterations": options.max_iterations,
            "max_sweeps": max_sweeps,
            "max_seconds": max_seconds,
            "gradient_tolerance": options.gradient_tolerance,
            "loss_tolerance": options.loss_tolerance,
            "noise_stop": bool(noise_stop),
            "resumed_after": [] if resumed is None else resumed.after,
        },
        predicted_fluorescence=objective.predicted_fluorescence(vector),
        pattern_misfit=objective.pattern_misfit(),
    )
    return part if objective.ranks.size == 1 else TiledResult(part, objective.tile, objective.ranks)
