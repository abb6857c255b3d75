"""Reconstructions of scans as a nanoprobe records them, scored beside their goals.

    python benchmarks/realism/compare.py [CASES...] [--seeds 1 2 3] [--specimens 3 4 5] [--joint]

An independent model of the experiment makes the scans; it lies in a folder that PTYXRF_SHARED names (default:
../shared beside the checkout) and is no part of the project. Each case is a kind of scan with the settings
that its user would choose (cases.py). The command prints the medians over seeds and specimens as a Markdown
table, and marks those that miss their goal. README.md describes the columns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from cases import CASES, JOINT, MEASURED, PTYCHOGRAPHY, Case
from run_case import Job, Record, run
from shared import folder
from table import table

import ptyxrf

#: Environment variables that restrict every library to one thread.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


def chosen(names: Sequence[str], joint: bool) -> list[Case]:
    """Return the cases of the given names, with those that their goals refer to; no names: all.

    Parameters
    ----------
    names : sequence of str
    joint : bool
        Add the cases with element maps.

    Raises
    ------
    ValueError
        An unknown name.
    """
    for name in names:
        if name not in CASES:
            raise ValueError(f"CASES: expected some of {', '.join(CASES)}, got {name!r}")
    picked = [CASES[name] for name in names] or ([] if joint else [*PTYCHOGRAPHY, *MEASURED])
    picked += JOINT if joint else ()
    referred = {goal.of for case in picked for goal in case.goals}
    wanted = {case.name for case in picked} | referred
    return [case for case in CASES.values() if case.name in wanted]


def changes_of(entries: Sequence[str]) -> dict[str, Any]:
    """Return settings given as NAME=VALUE.

    Raises
    ------
    ValueError
        There is no such setting, or it does not take the value.
    """
    declared, found = ptyxrf.Settings.declared(), {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not equals:
            raise ValueError(f"--set: expected NAME=VALUE, got {entry!r}")
        if name in declared:
            found[name] = declared[name].checked(f"--set {name}", declared[name].kind.from_text(text))
        else:
            raise ValueError(f"--set: expected a setting of ptyxrf.reconstruct, got {entry!r}")
    return found


def jobs_of(cases: Sequence[Case], options: argparse.Namespace) -> list[Job]:
    """Return the runs: one for each case, seed and specimen, and one for the star, which was measured once.

    The first run of a case draws its picture.
    """
    jobs = []
    for case in cases:
        pairs = [(seed, specimen) for seed in options.seeds for specimen in options.specimens]
        for place, (seed, specimen) in enumerate(pairs if case.source != "star" else [(0, 0)]):
            drawn = options.pictures is not None and place == 0
            picture = options.pictures / f"{case.name}.png" if drawn else None
            jobs.append(Job(case.name, seed, specimen, options.changes, options.cache, picture))
    return jobs


def outcomes(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Record | Exception]]:
    """Make the runs in processes with one thread each, and yield them in order."""
    os.environ.update(ONE_THREAD)  # the processes are new, and inherit it
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for job, future in [(job, pool.submit(run, job)) for job in jobs]:
            try:
                yield job, future.result()
            except (ValueError, OSError, ArithmeticError, MemoryError) as error:
                yield job, error


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog=f"Cases: {', '.join(CASES)}."
    )
    parser.add_argument("cases", nargs="*", metavar="CASES", help="default: all without element maps")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N", help="of the noise")
    parser.add_argument("--specimens", nargs="+", type=int, default=[3, 4, 5], metavar="N")
    parser.add_argument("--joint", action="store_true", help="the cases with element maps (alone: only they)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for all cases")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, of one thread each")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "ptyxrf-realism",
        metavar="FOLDER",
        help="where scans are kept (default: %(default)s)",
    )
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw the first run of each case")
    options = parser.parse_args(words)
    if options.jobs < 1:
        parser.error(f"--jobs: expected a number of processes above 0, got {options.jobs}")
    try:
        options.chosen = chosen(options.cases, options.joint)
        options.changes = changes_of(options.set)
        folder()
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Make the runs and print the table; return 1 if a run failed."""
    options = parse(words)
    jobs = jobs_of(options.chosen, options)
    records: list[Record] = []
    for number, (job, outcome) in enumerate(outcomes(jobs, options.jobs), 1):
        label = f"{job.case}, seed {job.seed}, specimen {job.specimen}"
        if isinstance(outcome, Exception):
            print(f"{label}: failed: {outcome}", file=sys.stderr, flush=True)
            continue
        records.append(outcome)
        print(f"{number}/{len(jobs)} {label}: {outcome['seconds']:.1f} s", file=sys.stderr, flush=True)
    if records:
        print(table(records))
    return int(len(records) < len(jobs))


if __name__ == "__main__":
    raise SystemExit(main())
