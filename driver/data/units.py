"""Lengths, bytes, durations and percentages as text, with the unit that keeps the number short."""

from __future__ import annotations

METRES = ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm"), (1e-9, "nm"), (1e-12, "pm"))
BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def _prefixed(value: float, units: tuple[tuple[float, str], ...], digits: int) -> str:
    # the margin keeps 1e-6 m at 1 µm in spite of rounding
    unit, name = next((unit for unit in units if value >= unit[0] * (1 - 1e-9)), units[-1])
    return f"{value / unit:.{digits}g} {name}"


def length_text(metres: float | None, digits: int = 3) -> str:
    """Return a length, such as "1.4 µm"; "unknown" for None."""
    return "unknown" if metres is None else _prefixed(metres, METRES, digits)


def bytes_text(count: float) -> str:
    """Return a number of bytes with a decimal prefix, such as "1.5 GB"."""
    return _prefixed(count, BYTES, 3)


def time_text(seconds: float) -> str:
    """Return a duration, such as "12.3 ms"."""
    return _prefixed(seconds, SECONDS, 3)


def percent_text(share: float | None, form: str = ".3g") -> str:
    """Return a fraction in per cent; "none" for None."""
    return "none" if share is None else f"{100 * share:{form}} %"
