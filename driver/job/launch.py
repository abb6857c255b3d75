"""The command starts itself on several ranks of this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ptyxrf.driver.job.ranks import LAUNCHERS

#: Environment variable by which a rank knows that the command itself has started it.
STARTED = "PTYXRF_RANKS_STARTED"

#: Environment variables with the number of threads of a library.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def start_ranks(ranks: int | str, words: Sequence[str]) -> None:
    """Replace this process by mpiexec with the same command on several ranks, if there are to be several.

    Parameters
    ----------
    ranks : int or "auto"
        Number of ranks; "auto": one on each core that this process may use.
    words : sequence of str
        Those after ``ptyxrf``.

    Raises
    ------
    ValueError
        A launcher has started this process already, or there is no mpiexec or no mpi4py.
    """
    if os.environ.get(STARTED):
        return
    if ranks != 1 and any(name in os.environ for launcher in LAUNCHERS for name in launcher[:1]):
        raise ValueError(f"ranks: expected 1 under a launcher, which decides on the number, got {ranks}")
    count = cores() if ranks == "auto" else int(ranks)
    if count > 1:
        _become(_mpiexec(), count, words)


def cores() -> int:
    """Return the number of cores that this process may use; threads of one core count once."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    siblings = [Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") for cpu in usable]
    try:
        return len({path.read_text() for path in siblings})
    except OSError:  # not Linux, or hidden
        return len(usable)


def _mpiexec() -> str:
    """Return the launcher beside this Python, which belongs to its mpi4py, or else that of the path."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None or importlib.util.find_spec("mpi4py") is None:
        missing = "mpiexec" if found is None else "mpi4py"
        raise ValueError(f"ranks: there is no {missing} here: pip install 'ptyxrf[mpich]' brings both")
    return found


def _become(mpiexec: str, count: int, words: Sequence[str]) -> NoReturn:
    """Run the command on ranks of one thread each, in place of this process."""
    environment = {**dict.fromkeys(THREADS, "1"), **os.environ, STARTED: "1"}
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execve(mpiexec, [mpiexec, "-n", str(count), sys.executable, "-m", "ptyxrf", *words], environment)
