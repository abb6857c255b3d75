"""One call from a scan to a result."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.setting import takes_settings
from ptyxrf.driver.job.settings import JobSettings
from ptyxrf.driver.job.watchdog import require_whole_job, watched
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.same_problem import require_same_problem
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.objective.start import starting_probe
from ptyxrf.driver.reconstruction.checkpoint import kept_probe, locked_checkpoint
from ptyxrf.driver.reconstruction.compilation import compile_kernels
from ptyxrf.driver.reconstruction.illumination import illuminated_part
from ptyxrf.driver.reconstruction.judgement import refuse_too_large
from ptyxrf.driver.reconstruction.link_verdict import judge_link
from ptyxrf.driver.reconstruction.probe_start import check_probe_start, find_probe
from ptyxrf.driver.reconstruction.reporting import Callback
from ptyxrf.driver.reconstruction.sequence import one_after_the_other, stages_of
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.reconstruction.stage import Handover, Job, run_stage
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed

#: Largest change of the object, relative to vacuum, for which the linear link of real transmission holds: the
#: neglected term of the exponential is half its square.
WEAK_CONTRAST = 0.3
#: Part of the illuminated object beyond it from which the link is doubted.
STRONG_PART = 0.05


class DoubtfulFit(UserWarning):
    """The fit is poor, or the link between maps and object does not hold: the verdict of a result."""


@takes_settings(Settings, ("method",))
def reconstruct(
    scan: Scan,
    settings: Settings,
    start: Mapping[str, ArrayLike] | None = None,
    callback: Callback | None = None,
    comm: Any = None,
    watchdog_seconds: float = 0.0,
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
        Given the `IterationRecord` of each iteration, which names the stage, and a `View` of the object at
        it; a true answer, on any rank, stops the reconstruction.
    comm : communicator or None
        The ranks that share the work. None: one rank, without MPI.
    watchdog_seconds : float
        End all processes of `comm`, which then has to hold all ranks of the job, with one message and exit
        code 70 when a rank sends no heartbeat for so long or hangs, as `watched` does. No other process is
        ended. 0: never.

    Returns
    -------
    Result
        Where several ranks share the work, this rank's part: see `Result.gather`. With `sequential_first`
        its `fallback` is the result of both modalities one after the other.

    Raises
    ------
    ValueError
        An argument is wrong, or a checkpoint cannot be read or written, is of another reconstruction, or is
        written by a run that has not ended.

    Warns
    -----
    UserWarning
        There is no checkpoint to resume from, or the newest is damaged; data or model are suspicious: no
        count scale, contrast too strong for the linear link.
    """
    start = {} if start is None else start
    stages = agreed(comm, lambda: _checked(scan, settings, start, callback, comm, watchdog_seconds))
    if not settings.force:
        refuse_too_large(scan, Ranks(comm).size)
    others = {"callback": "none" if callback is None else "given", "watchdog_seconds": str(watchdog_seconds)}
    require_same_problem(comm, scan, stages[-1], start, others)
    with watched(comm, watchdog_seconds), locked_checkpoint(stages[-1], comm):
        return _reconstructed(scan, stages, start, callback, comm)


def _reconstructed(
    scan: Scan,
    stages: list[Settings],
    start: Mapping[str, ArrayLike],
    callback: Callback | None,
    comm: Any,
) -> Result:
    """Run the stages, and judge what came of them."""
    job = _job(scan, stages, start, callback, comm)
    before, fallback = Handover(seconds=job.found.seconds), None
    if len(stages) > 1:
        before, fallback = one_after_the_other(job, stages)
    stage = run_stage(job, stages[-1], before)
    _warn_of_strong_contrast(stage.objective, stage.vector)
    quality = stage.result.quality
    if fallback is not None:
        quality = judge_link(stage.objective, stage.vector, stage.result, fallback)
    _warn_of_doubts(quality)
    return stage.result.replaced(fallback=fallback, quality=quality) if fallback else stage.result


def _warn_of_doubts(quality: Quality | None) -> None:
    """Warn of a poor fit, and of a link that does not hold."""
    if quality is not None:
        for good, verdict in ((quality.good, quality.verdict), (quality.link_good, quality.link)):
            if good is False:
                warnings.warn(verdict, DoubtfulFit, stacklevel=5)


def _checked(
    scan: Scan,
    settings: Settings,
    start: Mapping[str, ArrayLike],
    callback: Callback | None,
    comm: Any,
    watchdog_seconds: float,
) -> list[Settings]:
    """Return the settings of each stage; refuse wrong arguments before kernels are compiled."""
    if not isinstance(scan, Scan):
        raise ValueError(f"scan: expected a Scan (read_scan reads files), got {type(scan).__name__}")
    if callback is not None and not callable(callback):
        raise ValueError(
            f"callback: expected a function of an IterationRecord and a View, got {type(callback).__name__}"
        )
    if JobSettings(watchdog_seconds=watchdog_seconds).watchdog_seconds:
        require_whole_job(comm)
    starting_probe(scan, start, None)
    stages = stages_of(settings, scan, start)
    check_probe_start(scan, stages[-1], start)
    return stages


def _job(
    scan: Scan,
    stages: list[Settings],
    start: Mapping[str, ArrayLike],
    callback: Callback | None,
    comm: Any,
) -> Job:
    """Return what the stages share, with the probe from which they start."""
    settings = stages[-1]
    products = settings.solver == "newton" or len(stages) > 1  # the verdict on a link takes some
    for stage in reversed(stages):  # the last one needs most kernels
        compile_kernels(scan, stage.part(Model), comm, products=products)
    found = kept_probe(scan, settings, comm) or find_probe(scan, settings, comm)
    return Job(scan, _with_probe(scan, found.probe), found, settings, start, callback, comm)


def _with_probe(scan: Scan, probe: NDArray[Any]) -> Scan:
    """Return the scan with the probe of the start, and without a truth of another shape."""
    if probe is scan.probe:
        return scan
    of_other_shape = {"probe"} if probe.shape != scan.probe.shape else set()
    truth = {name: array for name, array in scan.truth.items() if name not in of_other_shape}
    return scan.replace(probe=probe, truth=truth)


def _warn_of_strong_contrast(objective: Objective, vector: NDArray[Any]) -> None:
    """Warn where the linear link was used for a specimen that is not weak: transmission is an exponential."""
    model, scan = objective.settings, objective.scan
    obeys = bool(scan.truth) and scan.phase_shift is None  # a simulation with that link
    if model.method != "joint" or model.link != "linear" or obeys:
        return
    z = objective.complex_object(vector)
    area = illuminated_part(objective.scan, objective.tile, objective.ranks)
    vacuum = 1j * model.link_offset if model.link_offset else 1.0
    beyond = np.abs(z[area] - vacuum) > WEAK_CONTRAST * abs(vacuum)
    count, pixels = objective.ranks.sum(np.array([beyond.sum(), beyond.size], dtype=np.float64))
    strong = count / pixels
    if strong > STRONG_PART:
        warnings.warn(
            f"link: the linear link expects weak contrast, but {100 * strong:.0f} % of the illuminated "
            f"object differ from vacuum by more than {100 * WEAK_CONTRAST:.0f} %: the maps are not "
            "quantitative there",
            stacklevel=5,
        )
