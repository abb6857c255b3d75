"""The table, the ratios and the picture of trajectories.

A record is a dict with `problem`, `method`, `package` and `rows`. A row has `iteration`, `steps` (of the
algorithm: several per iteration in some packages), `seconds` (processor time), `wall_seconds`, `pairs` (FFT
pairs per pattern), `loss`, `gradient` and, for `known`, `mse`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = dict[str, Any]

#: The measure of each problem: its key in a row, its name, and the accuracies.
MEASURES: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "known": ("mse", "aligned MSE", (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 6e-5, 4e-5)),
    "star": ("loss", "loss", (200.0, 120.0, 105.0, 100.0, 95.0, 93.0, 92.0)),
}

#: The time of a peer counts for the ratio up to this many iterations.
MOST_ITERATIONS = 100

#: Tolerance of a number of steps that should be whole.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Crossing:
    """The point at which a trajectory first reaches an accuracy."""

    iteration: int
    seconds: float
    pairs: float


def crossing(record: Record, level: float) -> Crossing | None:
    """Return where a run first reaches a level, or None.

    The logarithm of the error is interpolated linearly between rows that are several steps apart, and the
    next whole step counts.
    """
    key = MEASURES[record["problem"]][0]
    before = record["rows"][0]
    for row in record["rows"]:
        if row[key] <= level:
            break
        before = row
    else:
        return None
    share, span = 1.0, row["steps"] - before["steps"]
    if span > 1 and before[key] > row[key] > 0:
        steps = span * math.log(before[key] / level) / math.log(before[key] / row[key])
        share = math.ceil(steps - ROUNDING) / span

    def at(name: str) -> float:
        return float(before[name] + share * (row[name] - before[name]))

    return Crossing(math.ceil(at("iteration") - ROUNDING), at("seconds"), at("pairs"))


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _of_problem(records: Sequence[Record]) -> dict[str, list[Record]]:
    return {
        problem: found
        for problem in MEASURES
        if (found := [record for record in records if record["problem"] == problem])
    }


def table(records: Sequence[Record]) -> str:
    """Return Markdown tables, one for each problem.

    The columns of the accuracies show the seconds of solver time and, in brackets, the FFT pairs per pattern
    at which a run first reaches them.
    """
    parts = []
    for problem, found in _of_problem(records).items():
        key, name, levels = MEASURES[problem]
        heads = [
            "method", "version", "iterations", "seconds", "by the wall clock", "FFT pairs per pattern",
            f"last {name}", "last loss", "last gradient", *(f"{name} {level:g}" for level in levels),
        ]  # fmt: skip
        if key == "loss":  # it is the measure already
            heads.remove("last loss")
        lines = [f"## {problem}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for record in found:
            last = record["rows"][-1]
            cells = [record["method"], record["version"], str(last["iteration"])]
            cells += [_number(last[name]) for name in ("seconds", "wall_seconds", "pairs", key)]
            if key != "loss":
                cells.append(_number(last["loss"]))
            cells.append(f"{last['gradient']:.1e}")
            for level in levels:
                at = crossing(record, level)
                cells.append("–" if at is None else f"{_number(at.seconds)} ({_number(at.pairs)})")
            lines.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def ratios(records: Sequence[Record]) -> list[str]:
    """Return a line for each accuracy that a peer reaches in 100 iterations: its time over that of ptyxrf."""
    lines = []
    for problem, found in _of_problem(records).items():
        own = next((record for record in found if record["package"] == "ptyxrf"), None)
        _, name, levels = MEASURES[problem]
        for record in found:
            if own is None or record["package"] == own["package"]:
                continue
            for level in levels:
                theirs, ours = crossing(record, level), crossing(own, level)
                if theirs is None or theirs.iteration > MOST_ITERATIONS:
                    continue
                head = f"{problem}, {name} {level:g}: {record['method']} takes {theirs.seconds:.3g} s"
                if ours is None:
                    lines.append(f"{head}, ptyxrf did not reach it")
                elif ours.seconds > 0:
                    ratio, pairs = theirs.seconds / ours.seconds, theirs.pairs / ours.pairs
                    lines.append(f"{head}, {ratio:.2g} times ptyxrf's (FFT pairs: {pairs:.2g} times)")
    return lines


def draw(records: Sequence[Record], path: Path) -> None:
    """Draw error against seconds and against FFT pairs, both axes logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    problems = _of_problem(records)
    figure = Figure(figsize=(12, 4.5 * len(problems)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(problems), 2, squeeze=False)
    for row, (problem, found) in zip(panels, problems.items(), strict=True):
        key, name, _ = MEASURES[problem]
        axes = {"seconds": "processor seconds of the solver", "pairs": "FFT pairs per pattern"}
        for panel, (across, label) in zip(row, axes.items(), strict=True):
            for record in found:
                # the start is at 0 or near it, which a logarithmic axis cannot show
                points = [point for point in record["rows"] if point["iteration"] > 0]
                own = record["package"] == "ptyxrf"
                panel.plot(
                    [point[across] for point in points],
                    [point[key] for point in points],
                    color="black" if own else None,
                    linewidth=2.5 if own else 1.2,
                    linestyle="--" if own and record["method"] != record["package"] else "-",
                    label=record["method"],
                )
            panel.set(xscale="log", yscale="log", xlabel=label, ylabel=name, title=problem)
            panel.grid(alpha=0.3, which="both")
        row[0].legend(fontsize=7)
    figure.savefig(path, dpi=120)
