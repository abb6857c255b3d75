"""Error against time and number of FFTs: ptyxrf and other ptychography packages on the same data.

    python benchmarks/peers/environments.py FOLDER
    python benchmarks/peers/compare.py --out DIR --environments FOLDER [--star siemens-star-small.npz.bz2]

The first command makes an environment for each package that pip can install; `--python PACKAGE=PATH` names
the interpreter of a package that is installed elsewhere. Packages without an environment are skipped with a
message. Each method runs in a process of its own with one thread and single precision, from the same flat
start; methods.py and README.md give its settings and the reasons for them. The seconds are those of the
solver alone: imports, loading the data, building the problem, compilation and planning precede the clock, and
it stops while an iterate is saved. They are processor time, which depends less on other processes than wall
time; wall time is recorded as well. With --threads N, the other packages have N threads and ptyxrf N ranks,
and seconds are wall time. The objective of ptyxrf in double precision measures all iterates.

The output is a JSON file of each run in DIR/runs (a run that is there already with the same settings is not
repeated, unless --fresh is given), and results.md, results.json and results.png.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from environments import PACKAGES, python_in
from methods import METHODS, Method
from problems import SPECIMENS, Judge, Problem, known, star
from report import draw, ratios, table

#: Environment variables that set the threads of every library.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def interpreters(folder: Path | None, named: list[str]) -> dict[str, Path]:
    """Return the interpreter of each package that has an environment.

    Parameters
    ----------
    folder : Path or None
        Folder of virtual environments with the names of the packages.
    named : list of str
        PACKAGE=PATH.

    Raises
    ------
    ValueError
        An unknown package or a missing file.
    """
    found = {"ptyxrf": Path(sys.executable)}
    if folder is not None:
        if not folder.is_dir():
            raise ValueError(f"--environments: expected a folder, got {str(folder)!r}")
        found |= {name: python_in(folder, name) for name in PACKAGES if python_in(folder, name).exists()}
    for entry in named:
        name, _, path = entry.partition("=")
        if name not in PACKAGES or not path:
            raise ValueError(f"--python: expected PACKAGE=PATH with {', '.join(PACKAGES)}, got {entry!r}")
        if not Path(path).is_file():
            raise ValueError(f"--python: expected an interpreter, got {path!r}")
        found[name] = Path(path)
    return found


def run(
    problem: Problem, judge: Judge, method: Method, python: Path, max_seconds: float, threads: int
) -> dict[str, Any]:
    """Run a method with so many threads, or ranks, and return its record.

    Raises
    ------
    RuntimeError
        The runner failed; the message is its last line.
    """
    settings = method.settings[problem.name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        problem.write(folder / "data.npz")
        job = {
            "data": str(folder / "data.npz"),
            "settings": settings,
            "folder": name,
            "iterations": method.iterations,
            "max_seconds": max_seconds,
            "threads": threads,
        }
        (folder / "job.json").write_text(json.dumps(job))
        runner = Path(__file__).with_name(f"run_{method.package}.py")
        words = [str(python), str(runner), str(folder / "job.json")]
        if method.package == "ptyxrf" and threads > 1:
            words, threads = [str(python.with_name("mpiexec")), "-n", str(threads), *words], 1
        environment = os.environ | dict.fromkeys(THREADS, str(threads)) | {"MPLBACKEND": "Agg"}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stderr.strip() or f"ended with code {done.returncode}").splitlines()[-1])
        record: dict[str, Any] = json.loads((folder / "trajectory.json").read_text())
        for k, row in enumerate(record["rows"]):
            with np.load(folder / f"{k}.npz") as file:
                if not np.isfinite(file["object"]).all():
                    record["rows"], record["diverged"] = record["rows"][:k], True
                    break
                row.update(judge.measure(file["object"], file["probe"]))
    return {
        "problem": problem.name,
        "method": method.name,
        "package": method.package,
        "settings": settings,
        "max_seconds": max_seconds,
        "threads": job["threads"],
        **record,
    }


def stored(path: Path, method: Method, problem: str, limits: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record in a file if its run had the same settings."""
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text())
    wanted = {"settings": method.settings[problem], **limits}
    return record if wanted == {name: record.get(name) for name in wanted} else None


def chosen(words: list[str]) -> list[Method]:
    """Return the methods whose names contain one of the words (no words: all), and that of ptyxrf."""
    for word in words:
        if not any(word.lower() in method.name.lower() for method in METHODS):
            names = ", ".join(method.name for method in METHODS)
            raise ValueError(f"--only: expected part of a name among {names}, got {word!r}")
    picked = [
        each for each in METHODS if not words or any(word.lower() in each.name.lower() for word in words)
    ]
    return picked if METHODS[0] in picked else [METHODS[0], *picked]


def parse(words: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="The docstring of this file describes the measurement.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--environments", type=Path, metavar="FOLDER", help="of virtual environments")
    parser.add_argument("--python", action="append", default=[], metavar="PACKAGE=PATH")
    parser.add_argument("--star", type=Path, metavar="FILE", help="siemens-star-small.npz.bz2")
    parser.add_argument("--specimen", choices=SPECIMENS, default=SPECIMENS[0], help="object to simulate")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="parts of methods' names")
    parser.add_argument("--max-seconds", type=float, default=60.0, metavar="S", help="solver time of a run")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the others; ranks of ptyxrf")
    parser.add_argument("--fresh", action="store_true", help="repeat runs with stored results")
    options = parser.parse_args(words)
    if options.threads < 1:
        parser.error(f"--threads: expected a number of at least 1, got {options.threads}")
    if not options.max_seconds > 0:
        parser.error(f"--max-seconds: expected a number above 0, got {options.max_seconds}")
    if options.star is not None and not options.star.is_file():
        parser.error(f"--star: expected a file, got {str(options.star)!r}")
    if options.out.exists() and not options.out.is_dir():
        parser.error(f"--out: expected a folder, got {str(options.out)!r}")
    try:
        options.methods = chosen(options.only)
        options.interpreters = interpreters(options.environments, options.python)
        options.problems = [known(options.specimen)]
    except ValueError as error:
        parser.error(str(error))
    if options.star is not None:
        try:
            options.problems.append(star(options.star))
        except (OSError, KeyError, ValueError, EOFError) as error:
            parser.error(f"--star: expected the Siemens star as .npz or .npz.bz2, got {error}")
    return options


def main(words: list[str] | None = None) -> int:
    """Run the methods and write the results; return 1 if a run failed."""
    options = parse(words)
    folder = options.out / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    limits = {"max_seconds": options.max_seconds, "threads": options.threads}
    failed = False
    for problem in options.problems:
        judge: Judge | None = None
        for method in options.methods:
            label = f"{problem.name}, {method.name}"
            if problem.name not in method.settings:
                continue
            name = problem.name if problem.name == "star" else f"{problem.name}-{options.specimen}"
            path = folder / f"{name}-{method.slug}.json"
            record = None if options.fresh else stored(path, method, problem.name, limits)
            if record is None and method.package not in options.interpreters:
                print(f"{label}: skipped, no environment for {method.package}", flush=True)
                continue
            if record is None:
                print(f"{label}: running", flush=True)
                judge = judge or Judge(problem)
                python = options.interpreters[method.package]
                try:
                    record = run(problem, judge, method, python, **limits)
                except RuntimeError as error:
                    print(f"{label}: failed: {error}", file=sys.stderr, flush=True)
                    failed = True
                    continue
                path.write_text(json.dumps(record, indent=1) + "\n")
            records.append(record)
    if not records:
        print("no run to report", file=sys.stderr)
        return 1
    tables, lines = table(records), ratios(records)
    (options.out / "results.md").write_text(
        tables + "\n" + "".join(f"- {line}\n" for line in lines), encoding="utf-8"
    )
    (options.out / "results.json").write_text(json.dumps(records, indent=1) + "\n")
    draw(records, options.out / "results.png")
    print(tables + "\n" + "\n".join(lines))
    print(f"wrote results.md, results.json and results.png in {options.out}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
