"""Names of the files that a reconstruction writes beside its result."""

from __future__ import annotations

from pathlib import Path

#: Behind whole names, so that they differ from names without ".h5".
MARK = "_"


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
        run.h5 has run.png. Names with another end, or none, keep all their letters and are marked: alpha0.1
        has alpha0.1_.png, run.cxi has run.cxi_.png and run has run_.png. No two results share a name.
    """
    short = result.name.removesuffix(".h5")
    if short == result.name or short.endswith(MARK):
        short = result.name + MARK
    return result.parent / (short + ending)
