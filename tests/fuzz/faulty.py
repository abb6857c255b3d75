"""Readers with the faults that `damaged_files.py` is there to find."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from originals import Kind

CONTENT = bytes(range(256)) * 4


def _write(path: Path) -> None:
    path.write_bytes(CONTENT)


def _checked(path: Path) -> dict[str, Any]:
    """Read a file and know whether it is whole."""
    content = path.read_bytes()
    if content != CONTENT:
        raise ValueError(f"{path}: expected other bytes")
    return {"content": content}


def _crashing(path: Path) -> dict[str, Any]:
    if path.read_bytes() != CONTENT:
        os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def _hanging(path: Path) -> dict[str, Any]:
    if path.read_bytes() != CONTENT:
        time.sleep(1000)
    return {}


def _greedy(path: Path) -> dict[str, Any]:
    if path.read_bytes() != CONTENT:
        try:
            np.ones(1 << 32)
        except MemoryError as error:
            raise ValueError(f"{path}: cannot be read ({error})") from error
    return {}


def _with_another_exception(path: Path) -> dict[str, Any]:
    return {"value": {CONTENT: 1}[path.read_bytes()]}


def _nameless(path: Path) -> dict[str, Any]:
    if path.read_bytes() != CONTENT:
        raise ValueError("damaged")
    return {}


def kinds() -> dict[str, Kind]:
    """Return a good reader and one for each fault."""
    readers = {
        "good": _checked,
        "wrong": lambda path: {"content": path.read_bytes()},
        "crashing": _crashing,
        "hanging": _hanging,
        "greedy": _greedy,
        "another exception": _with_another_exception,
        "nameless": _nameless,
    }
    return {name: Kind(_write, read, own=True, hdf5=False) for name, read in readers.items()}
