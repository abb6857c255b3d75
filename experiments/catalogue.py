"""The names of the experiments on the command line, in the order of the paper."""

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
    "sequential",
    "mismatch",
)

#: Former names, which the command still accepts.
FORMER_NAMES = {"today": "sequential"}


def selected(name: str) -> list[str]:
    """Return the names that an argument of the command selects: one experiment, or all of them.

    Raises
    ------
    ValueError
        There is no experiment of that name.
    """
    name = FORMER_NAMES.get(name, name)
    if name == "all":
        return list(NAMES)
    if name not in NAMES:
        raise ValueError(f"NAME: expected one of {', '.join(NAMES)} or all, got {name!r}")
    return [name]


def experiment(name: str) -> ModuleType:
    """Return the module of an experiment, with ``TITLE``, ``PAPER`` and ``run(cache)``."""
    return import_module(f"ptyxrf.experiments.{name}")
