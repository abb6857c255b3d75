"""Damage files of every kind, read each in a process of its own, and say what came of it.

    python tests/fuzz/damaged_files.py --files 2000 --seed 1 [--workers W] [--only KIND]

Each damaged file must give one clear error that names it, or the right answer: never a crash, a hang, another
exception, or another answer that the file could have proved wrong. Ends with code 1 where one does not; what
happened to it is printed with the number that makes it again (`--one NUMBER --folder DIR`).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import itertools
import multiprocessing
import pickle
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from damage import BYTES, NO_VALUES, SAME_VALUES, STRUCTURE, damage_structure
from originals import Kind

from ptyxrf.driver.command.main import main as command

#: Seconds after which a file counts as one that makes the reader hang.
TIME_LIMIT = 20.0
#: Seconds within which a process is there and has loaded what it needs, on a machine that is busy.
START_LIMIT = 300.0
#: Bytes that reading one of these small files may take beyond what a process has when it begins.
MEMORY_LIMIT = 2 << 30
#: A worker makes way for a new one after so many files, so that nothing piles up.
FILES_OF_A_WORKER = 400

ERROR, RIGHT, OTHER = "clear error", "right", "cannot be known"
WRONG, UNCLEAR, CRASH, HANG = "wrong answer", "unclear error", "crash", "hang"
GOOD = (ERROR, RIGHT, OTHER)


@dataclass(frozen=True)
class Verdict:
    """What came of a damaged file."""

    number: int
    kind: str
    way: str
    outcome: str
    said: str


def plan(seed: int, number: int, names: list[str], hdf5: dict[str, bool]) -> tuple[str, str]:
    """Return kind and way of damage of a file; the same for the same seed and number."""
    rng = np.random.default_rng([seed, number])
    kind = names[number % len(names)]
    if not hdf5[kind] or rng.random() < 0.5:
        return kind, str(rng.choice(list(BYTES)))
    return kind, str(rng.choice(list(STRUCTURE)))


def same(first: Any, second: Any) -> bool:
    """Return whether two readings are one and the same; the types of numbers do not count."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        first, second = np.asarray(first), np.asarray(second)
        if first.shape != second.shape or first.dtype.kind not in "fciub" or second.dtype.kind not in "fciub":
            return False
        return np.array_equal(first, second, equal_nan=True)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return repr(first) == repr(second)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _read(kind: Kind, path: Path) -> tuple[str, Any]:
    """Read a file; returns an outcome of its own or what was read."""
    try:
        return "", kind.read(path)
    except (ValueError, OSError) as error:
        text = str(error)
        if any(isinstance(link, MemoryError) for link in _chain(error)):
            return UNCLEAR, f"out of memory: {text}"
        if "\n" in text.strip() or str(path) not in text:
            return UNCLEAR, f"{type(error).__name__}: {text!r}"
        return ERROR, text
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return UNCLEAR, f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"


def _command(words: list[str]) -> str:
    """Run the command; returns what is wrong with how it ended."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = command(words)
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{' '.join(words[:1])}: {type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    lines = [line for line in said.getvalue().splitlines() if not line.startswith("ptyxrf: warning: ")]
    if code in (0, 1) and not lines:  # 1: what is printed names what is wrong
        return ""
    if code == 2 and len(lines) == 1 and lines[0].startswith("ptyxrf: error: ") and "Memory" not in lines[0]:
        return ""
    return f"{' '.join(words[:1])}: ended with {code} and {lines}"


def judge(seed: int, number: int, folder: Path, all_kinds: dict[str, Kind]) -> Verdict:
    """Damage one file, read it, and say what came of it."""
    names = list(all_kinds)
    name, way = plan(seed, number, names, {key: kind.hdf5 for key, kind in all_kinds.items()})
    kind, place = all_kinds[name], folder / str(names.index(name))
    whole = (place / "whole").read_bytes()
    right = pickle.loads((place / "right").read_bytes())
    rng = np.random.default_rng([seed, number, 1])
    path = folder / f"{number}" / f"damaged{kind.ending}"
    path.parent.mkdir(exist_ok=True)
    what = ""
    if way in BYTES:
        path.write_bytes(BYTES[way](rng, whole))
    else:
        path.write_bytes(whole)
        what = damage_structure(rng, way, path)

    def verdict(outcome: str, said: str) -> Verdict:
        return Verdict(number, name, way, outcome, f"{what}: {said}" if what else said)

    outcome, answer = _read(kind, path)
    if outcome == UNCLEAR:
        return verdict(outcome, answer)
    complaint = _command(["info", str(path)]) if kind.hdf5 else ""
    if complaint:
        return verdict(UNCLEAR, complaint)
    if outcome == ERROR:
        return verdict(ERROR, answer)
    if same(answer, right):
        return verdict(RIGHT, "")
    different = ", ".join(key for key in right if not same(answer.get(key), right[key]))
    if what.startswith("entry_1/history_1/"):
        # a loss or an error that there is not is NaN there
        return verdict(OTHER, f"{different} differ")
    counts = different in ("fluorescence", "counts, fluorescence")
    lost = (way == "NaN" and counts) or what.startswith("MAPS/scalers")
    if different == "title" or lost:
        # nothing depends on a title; counts that are NaN, or without a live time, are left out
        return verdict(OTHER, f"{different} differ")
    provable = (kind.own and way in BYTES) or way in SAME_VALUES or way in NO_VALUES
    return verdict(WRONG if provable else OTHER, f"{different} differ")


def _work(pipe: Connection, seed: int, folder: Path, module: str) -> None:
    """Judge the files whose numbers come through the pipe."""
    warnings.simplefilter("error", RuntimeWarning)
    warnings.simplefilter("ignore", UserWarning)
    all_kinds = kinds_of(module)
    # the reading of a file that claims to hold terabytes must not get them
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_LIMIT, used + MEMORY_LIMIT))
    pipe.send(None)  # ready: from now on it is the file that takes the time
    while (number := pipe.recv()) is not None:
        pipe.send(judge(seed, number, folder, all_kinds))
        gc.collect()


class _Worker:
    """A process that judges files, until one of them ends it."""

    def __init__(self, context: Any, *work: Any) -> None:
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, *work), daemon=True)
        self.process.start()
        other.close()
        self.number: int | None = None
        self.until, self.done = time.monotonic() + START_LIMIT, 0

    def give(self, number: int, limit: float) -> None:
        self.pipe.send(number)
        self.number, self.until = number, time.monotonic() + limit

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def kinds_of(module: str) -> dict[str, Kind]:
    """Return the kinds of files of a module beside this one."""
    return importlib.import_module(module).kinds()


def prepare(folder: Path, all_kinds: dict[str, Kind]) -> None:
    """Write a whole file of each kind, and what reading it gives."""
    for index, (name, kind) in enumerate(all_kinds.items()):
        place = folder / str(index)
        place.mkdir()
        path = place / f"whole{kind.ending}"
        kind.write(path)
        outcome, answer = _read(kind, path)
        if outcome:
            raise SystemExit(f"{name}: the whole file cannot be read: {answer}")
        (place / "right").write_bytes(pickle.dumps(answer))
        path.rename(place / "whole")


def run(
    numbers: list[int], seed: int, folder: Path, workers: int, module: str, limit: float
) -> list[Verdict]:
    """Judge files, several at a time; a worker that crashes or hangs is replaced."""
    all_kinds = kinds_of(module)
    names, hdf5 = list(all_kinds), {key: kind.hdf5 for key, kind in all_kinds.items()}
    context = multiprocessing.get_context("forkserver")
    # what is loaded once need not be loaded by each worker
    context.set_forkserver_preload(
        ["originals", "numpy", "h5py", "ptyxrf.driver.command.main", "ptyxrf.driver.analysis.inspection"]
    )
    waiting, verdicts = list(reversed(numbers)), []
    crew: list[_Worker] = []
    try:
        while waiting or crew:
            while len(crew) < min(workers, len(waiting)):
                crew.append(_Worker(context, seed, folder, module))
            ready = wait([worker.pipe for worker in crew], timeout=0.5)
            for worker in list(crew):
                lost = ""
                if worker.pipe in ready:
                    try:
                        verdict = worker.pipe.recv()
                    except (EOFError, OSError):
                        worker.process.join()
                        lost = CRASH
                    else:
                        if verdict is not None:
                            verdicts.append(verdict)
                            worker.number, worker.done = None, worker.done + 1
                        if waiting and worker.done < FILES_OF_A_WORKER:
                            worker.give(waiting.pop(), limit)
                            continue
                elif time.monotonic() > worker.until:
                    lost = HANG
                else:
                    continue
                if lost:
                    if worker.number is None:
                        raise RuntimeError(f"a process that reads files did not start: {lost}")
                    code = worker.process.exitcode
                    said = f"no answer in {limit:g} s" if lost == HANG else f"ended with {code}"
                    verdicts.append(
                        Verdict(worker.number, *plan(seed, worker.number, names, hdf5), lost, said)
                    )
                worker.end()
                crew.remove(worker)
    finally:
        for worker in crew:
            worker.end()
    return sorted(verdicts, key=lambda verdict: verdict.number)


def table(verdicts: list[Verdict]) -> str:
    """Return counts by kind and by damage."""
    outcomes = [*GOOD, WRONG, UNCLEAR, CRASH, HANG]
    lines = []
    for title, key in (("kind", "kind"), ("damage", "way")):
        counts: dict[str, Counter[str]] = {}
        for verdict in verdicts:
            counts.setdefault(getattr(verdict, key), Counter())[verdict.outcome] += 1
        lines.append(f"{title:<30}{'files':>7}" + "".join(f"{outcome:>16}" for outcome in outcomes))
        order = {name: i for i, name in enumerate([*BYTES, *STRUCTURE])}
        for name in sorted(counts, key=lambda name: (order.get(name, -1), name)):
            row = counts[name]
            cells = "".join(f"{row[outcome] or '':>16}" for outcome in outcomes)
            lines.append(f"{name:<30}{row.total():>7}{cells}")
        lines.append("")
    total = Counter(verdict.outcome for verdict in verdicts)
    bad = sum(count for outcome, count in total.items() if outcome not in GOOD)
    lines.append(
        f"{len(verdicts)} damaged files: {total[ERROR]} clear errors, {total[RIGHT]} right answers, "
        f"{total[OTHER]} whose damage cannot be known, {bad} failures"
    )
    return "\n".join(lines)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", help="kinds that have this in their name")
    parser.add_argument("--one", type=int, help="damage this file alone, in this process, and keep it")
    parser.add_argument("--folder", type=Path, help="where the files go (default: a temporary folder)")
    parser.add_argument("--kinds", default="originals", help="module beside this one that has the kinds")
    parser.add_argument("--time-limit", type=float, default=TIME_LIMIT, help="seconds for a file")
    options = parser.parse_args()
    all_kinds = kinds_of(options.kinds)
    names = list(all_kinds)
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, all_kinds)
        if options.one is not None:
            if options.folder is None:
                parser.error("--one needs --folder")
            print(judge(options.seed, options.one, folder, all_kinds))
            return 0
        chosen = (
            number for number in itertools.count() if (options.only or "") in names[number % len(names)]
        )
        numbers = list(itertools.islice(chosen, options.files))
        began = time.monotonic()
        verdicts = run(numbers, options.seed, folder, options.workers, options.kinds, options.time_limit)
    for verdict in verdicts:
        if verdict.outcome not in GOOD:
            print(f"{verdict.number}: {verdict.kind}, {verdict.way}: {verdict.outcome}: {verdict.said}")
    print(table(verdicts))
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if all(verdict.outcome in GOOD for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
