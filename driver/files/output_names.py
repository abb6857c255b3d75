"""Names of the files that a reconstruction writes beside its result."""

from __future__ import annotations

from pathlib import Path


def named_after(result: Path, ending: str) -> Path:
    """Return the name of a file that belongs to a result.

    Parameters
    ----------
    result : Path
    ending : str
        Such as ".png".

    Returns
    -------
    Path
        run.h5 has run.png. Other names keep all their letters: alpha0.1 has alpha0.1.png and run.cxi has
        run.cxi.png, so that results of different names share nothing.
    """
    return result.parent / ((result.stem if result.suffix == ".h5" else result.name) + ending)
