"""What is kept of the probes of positions, and how they are shifted: for the objective and for its plan."""

from __future__ import annotations


def keeps_probes(memory: str, sampling: str | None, *, refined: bool, moving: bool) -> bool:
    """Return whether the shifted probe of each position is kept, or shifted just before it is used.

    A probe that is refined or moves is another one at each point, and is used once there. Fluorescence at the
    positions uses it again.

    Parameters
    ----------
    memory : {"cached", "low", "disk"}
    sampling : {"grid", "scan"} or None
        Of the fluorescence.
    refined, moving : bool
        Whether the probe is refined, and whether positions or intensities are.
    """
    return memory == "cached" or sampling == "scan" or not (refined or moving or memory == "disk")


def expands_probes(sampling: str | None, *, full: bool, refined: bool, moving: bool) -> bool:
    """Return whether a probe is shifted by an expansion, where its size allows it (`can_expand`).

    Full curvature and fluorescence at the positions need whole fields, and an expansion needs positions that
    stay. Nothing is kept then. `full` tells the curvature, and the others are those of `keeps_probes`.
    """
    return refined and not moving and not full and sampling != "scan"
