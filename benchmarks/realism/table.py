"""The table of medians, and which of them miss their goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cases import CASES, MEASURES, OPTIONAL, Goal

#: The word that marks a median beyond its goal, and that of one within.
MISSED, MET = "**missed**", "met"

#: Errors below this are those of rounding.
ROUNDING = 1e-9

Record = Mapping[str, Any]
Medians = dict[str, dict[str, float]]


def medians(records: Sequence[Record]) -> Medians:
    """Return the median of each measure over the runs of each case, by names of case and measure."""
    found: Medians = {}
    for name in dict.fromkeys(record["case"] for record in records):
        runs = [record for record in records if record["case"] == name]
        found[name] = {
            measure: float(np.median([run[measure] for run in runs]))
            for measure in MEASURES
            if all(measure in run for run in runs)
        }
    return found


def verdict(goal: Goal, values: Mapping[str, float], others: Medians) -> str:
    """Return a goal and whether the medians of its case meet it.

    Parameters
    ----------
    goal : Goal
    values : dict
        Medians of the case.
    others : dict
        Medians of all cases. The goal is open without those of a case that it refers to.
    """
    value = values[goal.measure]
    what = MEASURES[goal.measure]
    if goal.of:
        text = f"{what} < {goal.most:g} x that of {goal.of}"
        if goal.of not in others:
            return f"{text}: open"
        met = value < goal.most * others[goal.of][goal.measure]
    else:
        least = goal.most < 0
        text = f"{what} {'≥' if least else '≤'} {abs(goal.most):g}"
        met = value >= -goal.most if least else value <= goal.most
    return f"{text}: {MET if met else MISSED}"  # what is not a number misses


def table(records: Sequence[Record]) -> str:
    """Return a Markdown table with a row for each case.

    Parameters
    ----------
    records : sequence of dict
        Of `run_case.run`.
    """
    found = medians(records)
    columns = [
        name for name in MEASURES if name not in OPTIONAL or any(name in row for row in found.values())
    ]
    heads = ["case", *(MEASURES[name] for name in columns), "runs", "goal"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, values in found.items():
        runs = [record for record in records if record["case"] == name]
        numbers = [_number(values[column]) if column in values else "–" for column in columns]
        goals = "; ".join(verdict(goal, values, found) for goal in CASES[name].goals)
        lines.append("| " + " | ".join([name, *numbers, str(len(runs)), goals or "–"]) + " |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return "0" if abs(value) < ROUNDING else f"{value:.3g}"
