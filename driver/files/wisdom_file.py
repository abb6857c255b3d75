"""What FFTW has learned on a kind of machine, kept from one process to the next.

There is a file for each processor model and version of FFTW in this user's cache, or in the folder that the
environment variable PTYXRF_WISDOM names (one on a node's own disk, say); PTYXRF_WISDOM=off keeps none. Plans
can always be made anew, so a file that cannot be read or written is passed over.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyfftw

from ptyxrf.driver.files.user_cache import cache_folder
from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.kernels.fftw.planning import plan_wisdom, take_wisdom
from ptyxrf.parallel.shared_plans import share_plans
from ptyxrf.parallel.startup import from_first_rank

VARIABLE = "PTYXRF_WISDOM"

#: Files whose wisdom this process has.
_taken: set[Path] = set()


def processor() -> str:
    """Return the model of the processor, in characters for a file name."""
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    # virtual machines leave the name vague
    words = [facts.get(key, "") for key in ("model name", "cpu family", "model", "stepping")]
    name = " ".join(filter(None, words)) or platform.processor() or platform.machine()
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def wisdom_path() -> Path | None:
    """Return the file for this machine; None where none is kept."""
    where = os.environ.get(VARIABLE, "")
    if where == "off":
        return None
    folder = Path(where).expanduser() if where else cache_folder()
    return folder / f"fftw-{pyfftw.fftw_version}-{processor()}.json"


def read_wisdom(path: Path) -> tuple[bytes, ...]:
    """Return the wisdom of a file; nothing where there is none, or something else."""
    try:
        parts = json.loads(path.read_text(encoding="ascii"))["wisdom"]
        return tuple(str(part).encode("ascii") for part in parts)
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _take(wisdom: tuple[bytes, ...]) -> None:
    if len(wisdom) == len(plan_wisdom()):  # one part for each precision
        take_wisdom(wisdom)


def load_wisdom(comm: Any) -> None:
    """Take what was learned before, once in a process; the first rank reads the file.

    Parameters
    ----------
    comm : communicator or None
    """
    path = wisdom_path()
    new = path is not None and path not in _taken
    wisdom = from_first_rank(comm, lambda: read_wisdom(path) if path is not None and new else ())
    if path is not None:
        _taken.add(path)
    _take(wisdom)


def save_wisdom() -> None:
    """Add what this process has learned to the file, whole or not at all."""
    path = wisdom_path()
    if path is None:
        return
    _take(read_wisdom(path))  # others may have learned something meanwhile
    parts = [part.decode("ascii") for part in plan_wisdom()]
    with suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps({"wisdom": parts}), encoding="ascii")


def prepare_plans(comm: Any, kind: Hashable, plan: Callable[[bool], Any]) -> None:
    """Make plans of transforms on all ranks, with what was learned before, and remember what is new.

    Parameters
    ----------
    comm, kind, plan
        As for `share_plans`.
    """
    load_wisdom(comm)
    if share_plans(comm, kind, plan):
        save_wisdom()
