"""The experiments in the order of the paper, by the names that the command takes."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

NAMES = (
    "spectrum",
    "perturbation",
    "rank",
    "landscape",
    "probe",
    "overlap",
    "noise",
    "size",
    "elements",
    "images",
    "today",
    "mismatch",
)


def experiment(name: str) -> ModuleType:
    """Return the module of an experiment: it has TITLE, PAPER and run(study).

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in NAMES:
        raise ValueError(f"NAME: expected one of {', '.join(NAMES)} or all, got {name!r}")
    module = {"today": "sequential_practice"}.get(name, name)
    return import_module(f"ptyxrf.experiments.{module}")
