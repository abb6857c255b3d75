"""What `ptyxrf bench` says: a row for each size and precision, and a summary."""

from __future__ import annotations

from typing import Any

from ptyxrf.driver.planning.bench import Measured
from ptyxrf.driver.planning.machine_timing import BLUR_WINDOW, BLURRED, WORK, PatternTimes, Spread

WIDTH = 10

HEAD = "\n".join(
    [
        "time of a pattern in multiples of the bound, one forward and one inverse FFT on one thread:",
        "(alone: a gradient that keeps nothing for Hessian products, as quasi-Newton steps have it)",
        " " * 29
        + "probe known".ljust(3 * WIDTH)
        + "".join(words.ljust(2 * WIDTH) for words in ("unknown", "and sub-pixel")),
        "   m  precision  bound (us)".ljust(29)
        + "".join(name.split(",")[0].ljust(WIDTH) for name in WORK)
        + "bound set by",
    ]
)


def row(times: PatternTimes) -> str:
    """Return the line of a size and precision."""
    start = f"{times.m:4d}  {times.precision:9s}  {1e6 * times.seconds['bound']:10.1f}"
    multiples = "".join(f"{times.multiples[name][1]:.2f}".ljust(WIDTH) for name in WORK)
    return f"{start:29s}{multiples}{times.bound.library}"


def _widest(spreads: list[Spread]) -> str:
    """Return how far quartiles are from their medians at most."""
    most = max(max(high - middle, middle - low) / middle for low, middle, high in spreads)
    return f"{100 * most:.1f} %"


def summary(measured: Measured) -> str:
    """Return what follows the rows."""
    machine = measured.machine
    pixels = ", ".join(f"{1e9 * seconds:.2f} ns {name}" for name, seconds in machine.pixel_seconds.items())
    blur = "; ".join(
        f"{name}: gradient {times['gradient'][1]:.2f}, product {times['product'][1]:.2f}"
        for name, times in measured.blur.items()
    )
    spreads = [values for times in measured.patterns for values in times.multiples.values()]
    lines = [
        f"medians; the quartiles lie within {_widest(spreads)} of them",
        f"a pixel of a field: {pixels}",
        f"blur of a map of {BLURRED}^2 by {BLUR_WINDOW}^2 in multiples of its four transforms: {blur}",
    ]
    for name, link in (("within a node", machine.within_node), ("between nodes", machine.between_nodes)):
        lines.append(f"messages {name}: {1e6 * link.latency:.2f} us, {link.bandwidth / 1e9:.2f} GB/s")
    lines.append(f"reduction: {1e6 * machine.reduction_seconds:.2f} us for each doubling of the ranks")
    lines.append(machine.name)
    return "\n".join(lines)


def facts(measured: Measured) -> dict[str, Any]:
    """Return the same as plain numbers, with quartiles, but without the constants of the machine."""
    return {
        "patterns": [
            {
                "m": times.m,
                "precision": times.precision,
                "bound_seconds": times.seconds["bound"],
                "bound_library": times.bound.library,
                "libraries": times.bound.libraries,
                "multiples": times.multiples,
            }
            for times in measured.patterns
        ],
        "blur": measured.blur,
    }
