"""Which code transforms the patterns: explicit vector code, or a library where that cannot."""

from __future__ import annotations

from ptyxrf.kernels.simd.fourier import can_transform

#: auto: vector code where it can transform the size, else the library.
ENGINES = ("auto", "vector", "library")


def resolve_engine(engine: str, m: int) -> str:
    """Return "vector" or "library" for m x m patterns.

    Raises
    ------
    ValueError
        The name is unknown, or vector code is asked for where it cannot work.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "auto":
        return "vector" if can_transform(m) else "library"
    if engine == "vector" and not can_transform(m):
        raise ValueError(
            f"engine: expected 'auto' or 'library' for patterns of {m} x {m} pixels (vector code takes sizes "
            "with no prime factor above 7, and needs numba's compiler), got 'vector'"
        )
    return engine
