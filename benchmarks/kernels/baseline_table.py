"""Multiples as a table, and beside those of a baseline: which have grown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

#: The multiples that the repository holds.
BASELINE = Path(__file__).with_name("baseline.json")

#: Differences of multiples below this do not matter, and are the noise of small kernels.
SMALL = 0.03

#: Name of the work, pattern size and precision -> multiple.
Multiples = dict[tuple[str, int, str], float]


def read(path: Path) -> Multiples:
    """Read what `write` wrote.

    Raises
    ------
    ValueError
        Naming the file.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {
            (str(name), int(m), precision): float(value)
            for name, sizes in rows.items()
            for m, precisions in sizes.items()
            for precision, value in precisions.items()
        }
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected multiples that --save wrote, got {error!r}") from error


def write(path: Path, multiples: Multiples) -> None:
    """Write multiples as JSON; what else the file has stays."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    kept = read(path) if path.exists() else {}
    for (name, m, precision), value in {**kept, **multiples}.items():
        rows.setdefault(name, {}).setdefault(str(m), {})[precision] = round(value, 3)
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def table(multiples: Multiples, units: dict[str, str]) -> Iterable[str]:
    """Yield lines of multiples: a row for each work, a column for each size and precision.

    Parameters
    ----------
    multiples : mapping
    units : mapping of str to str
        Heading -> what its multiples are of; names of work begin with the heading and a colon.
    """
    columns = list(dict.fromkeys((m, precision) for _, m, precision in multiples))
    head = "".join(f"{m} {precision}".rjust(12) for m, precision in columns)
    for unit, words in units.items():
        names = list(dict.fromkeys(name for name, _, _ in multiples if name.startswith(f"{unit}: ")))
        if not names:
            continue
        yield f"{unit}, in multiples of {words}"
        yield " " * 34 + head
        for name in names:
            values = (multiples.get((name, *column)) for column in columns)
            cells = "".join(("" if value is None else f"{value:.3f}").rjust(12) for value in values)
            yield f"  {name.split(': ', 1)[1]:32s}{cells}"


def compared(multiples: Multiples, baseline: Multiples, threshold: float) -> tuple[list[str], int]:
    """Return lines with each multiple over that of the baseline, and how many are above a threshold.

    Those are marked, unless the difference is small; what the baseline lacks or has beyond is said.
    """
    lines, grown = [f"{'work':34s}{'m':>5s} {'precision':10s}{'baseline':>9s}{'now':>9s}{'ratio':>8s}"], 0
    for key, value in multiples.items():
        name, m, precision = key
        start = f"{name:34s}{m:5d} {precision:10s}"
        before = baseline.get(key)
        if before is None:
            lines.append(f"{start}{'-':>9s}{value:9.3f}{'new':>8s}")
            continue
        slower = value > max(threshold * before, before + SMALL)
        grown += slower
        lines.append(f"{start}{before:9.3f}{value:9.3f}{value / before:8.2f}{'  SLOWER' if slower else ''}")
    missing = {name for name, *_ in baseline.keys() - multiples.keys()}
    if missing:
        lines.append(f"not timed now, or not everywhere: {', '.join(sorted(missing))}")
    return lines, grown
