"""Under which ranks the command runs, and how it ends on all of them."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

#: What launchers tell each process: how many there are, and which one it is. The first pair that is there
#: counts: a launcher that runs inside a job step of SLURM has the last word.
LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)

#: Seconds that a failing rank waits for the others to fail too, before it ends them.
PATIENCE = 2.0


def launched(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return how many processes a launcher started together, and which one this is; (1, 0) without one."""
    for size, rank in LAUNCHERS:
        if environment.get(size, "").isdigit():
            place = environment.get(rank, "0")
            return int(environment[size]), int(place) if place.isdigit() else 0
    return 1, 0


def world() -> Any:
    """Return the communicator of all processes of this launch; loads MPI."""
    from mpi4py import MPI

    return MPI.COMM_WORLD


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


def say(message: str) -> None:
    """Write a line on standard error, in one piece: other ranks may write too."""
    sys.stderr.write(message.rstrip("\n") + "\n")
    sys.stderr.flush()


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
    """Run a command on all ranks: what it prints comes once, and an error on any rank ends all.

    Parameters
    ----------
    comm : communicator
        Of several ranks.
    run : callable
        As for `alone`.

    Returns
    -------
    int
        The exit status, where all ranks end alike. Where only some fail, one of them says why and ends all.
    """
    first = comm.Get_rank() == 0
    meeting = comm.Dup()
    if not first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        return run(comm)
    except Failure as failure:
        status, message = failure.status, failure.message
    except Exception:
        status, message = 1, traceback.format_exc()
    if _all_fail(meeting):
        if first:
            say(f"ptyxrf: {message}")
        return status
    say(f"ptyxrf: rank {comm.Get_rank()}: {message}")
    comm.Abort(status)
    return status


def _all_fail(meeting: Any) -> bool:
    """Return whether every rank comes here within the time that is given to it."""
    request = meeting.Ibarrier()
    # ranks that fail alone do not wait equally long, so that one of several speaks first and ends the others
    end = time.monotonic() + PATIENCE + 0.05 * min(meeting.Get_rank(), 40)
    while time.monotonic() < end:
        if request.Test():
            return True
        time.sleep(0.005)
    return False
