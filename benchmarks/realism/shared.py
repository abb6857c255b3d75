"""The folder of data and models that is no part of the project."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path
from types import ModuleType

#: Files without which there is nothing to run.
NEEDED = ("simulate.py", "score.py")


def folder() -> Path:
    """Return the shared folder: that of PTYXRF_SHARED, or ../shared beside the checkout.

    Raises
    ------
    ValueError
        It has no independent model of scans.
    """
    path = Path(os.environ.get("PTYXRF_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    if not all((path / "realism" / name).is_file() for name in NEEDED):
        raise ValueError(
            f"found no {' and '.join(NEEDED)} in {path / 'realism'}: set PTYXRF_SHARED to the folder that "
            "has realism/ and data/"
        )
    return path


@cache
def module(name: str) -> ModuleType:
    """Return the shared module "simulate" or "score"."""
    path = folder() / "realism" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"shared_{name}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"expected a Python file, got {path}")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found
