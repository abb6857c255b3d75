"""The ranks of the command, and how it ends on all of them."""

from __future__ import annotations

import faulthandler
import os
import sys
import time
import traceback
from array import array
from collections.abc import Callable, Mapping
from typing import Any

from ptyxrf.driver.job import watchdog
from ptyxrf.driver.job.abort import abort_all, say
from ptyxrf.driver.job.world import world

#: Environment variables with the number of processes and that of this one, by launcher. The first pair that
#: is set counts, so that a launcher inside a job step of SLURM comes before SLURM.
LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)

#: Seconds that a failing rank waits for the others to fail too, before it ends them; after Ctrl-C the others
#: probably wait for it.
PATIENCE, PATIENCE_INTERRUPTED = 2.0, 0.3

#: Seconds by which each rank waits longer than the one before it.
STAGGER = 0.4

#: Exit statuses: after Ctrl-C, and after an internal error.
INTERRUPTED, BROKEN = 130, 1

#: Environment variable: 1 prints tracebacks of internal errors and of crashes in compiled code.
TRACEBACK = "PTYXRF_TRACEBACK"


def launched(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of processes of this launch and that of this one; (1, 0) without a launcher."""
    for size, rank in LAUNCHERS:
        if environment.get(size, "").isdigit():
            place = environment.get(rank, "0")
            return int(environment[size]), int(place) if place.isdigit() else 0
    return 1, 0


def communicator() -> Any:
    """Return the communicator of all ranks of this launch, or None for a single process.

    Raises
    ------
    ValueError
        Several processes were started, but they do not see each other: each would do the whole work.
    """
    size, _ = launched(os.environ)
    if size == 1 and "PMIX_RANK" not in os.environ:
        return None  # MPI is not loaded where it is not needed
    try:
        comm = world()
    except (ImportError, RuntimeError) as error:
        raise ValueError(
            f"launch: {size} processes were started together, but mpi4py does not work ({error}): install "
            "ptyxrf[mpich], or ptyxrf[mpi] beside the MPI of your cluster"
        ) from None
    if comm.Get_size() == 1 and size > 1:
        from mpi4py import MPI

        raise ValueError(
            f"launch: {size} processes were started together, but MPI sees each of them alone, and each "
            "would do the whole work: under SLURM use srun --mpi=pmi2 (srun --mpi=list tells what there is), "
            "elsewhere the mpiexec of the MPI that mpi4py was built with "
            f"({MPI.Get_library_version().splitlines()[0].strip()})"
        )
    return comm if comm.Get_size() > 1 else None


class Failure(Exception):
    """The end of a command: its exit status and the line that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def alone(run: Callable[[Any], int]) -> int:
    """Run a command in a single process.

    Parameters
    ----------
    run : callable
        Given a communicator or None; returns the exit status or raises `Failure`.
    """
    try:
        return run(None)
    except Failure as failure:
        say(f"ptyxrf: {failure.message}")
        return failure.status


def together(comm: Any, run: Callable[[Any], int]) -> int:
    """Run a command on all ranks: output is printed once, and an error on any rank ends all.

    Parameters
    ----------
    comm : communicator
        Of several ranks.
    run : callable
        As for `alone`.

    Returns
    -------
    int
        The exit status, if it is the same on all ranks. If only some ranks fail, one of them reports why and
        ends all.
    """
    first = comm.Get_rank() == 0
    meeting = comm.Dup()
    watchdog.start(comm, watchdog.DEFAULT_SECONDS, kill_launcher=True)
    if os.environ.get(TRACEBACK) == "1":
        faulthandler.enable()
    if not first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    message = ""
    try:
        status = run(comm)
    except Failure as failure:
        status, message = failure.status, failure.message
    except KeyboardInterrupt:
        status, message = INTERRUPTED, "interrupted"
    except SystemExit as ending:  # of help
        status = ending.code if isinstance(ending.code, int) else 0
    except Exception as error:
        status, message = BROKEN, _described(error)
    interrupted = status == INTERRUPTED
    failures = _failures(meeting, bool(message), PATIENCE_INTERRUPTED if interrupted else PATIENCE)
    alike = failures in (0, meeting.Get_size())
    if alike and not _is_unable_to_end():
        watchdog.stop(together=True)
        if failures and first:
            say(f"ptyxrf: {message}")
        return status
    if not message or (alike and not first):
        time.sleep(5 * PATIENCE)  # a rank that has failed reports why, and ends this one
    speaker = "ptyxrf" if interrupted or alike else f"ptyxrf: rank {comm.Get_rank()}"
    abort_all(comm, status or BROKEN, message and f"{speaker}: {message}")
    return status


def _is_unable_to_end() -> bool:
    """Return whether the end of the interpreter would hang or crash, on files that ranks failed to write."""
    tiled_file = sys.modules.get("ptyxrf.driver.files.tiled_file")
    return tiled_file is not None and bool(tiled_file.UNCLOSED)


def _described(error: Exception) -> str:
    """Return the message for an internal error: one line, or a traceback if asked for."""
    if os.environ.get(TRACEBACK) == "1":
        return "".join(traceback.format_exception(error))
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}; " if frames else ""
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"error: {what} ({where}{TRACEBACK}=1 in the environment shows the way there)"


def _failures(meeting: Any, failed: bool, patience: float) -> int | None:
    """Return how many ranks have failed; None if not all ranks arrive in time.

    Only a failed rank limits its wait.
    """
    mine, total = array("i", [failed]), array("i", [0])
    with watchdog.ALL_RANKS:
        request = meeting.Iallreduce(mine, total)
        # ranks wait for different times, so that one of several reports and ends the others
        stagger = STAGGER * min(meeting.Get_rank(), 10)
        end = time.monotonic() + patience + stagger
        while not request.Test():
            if failed and time.monotonic() > end:
                return None
            time.sleep(0.005)
    if failed and total[0] < meeting.Get_size():
        time.sleep(stagger)
    return total[0]
