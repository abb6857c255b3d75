"""Run experiments and write their figures, numbers, verdicts and the page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ptyxrf.driver.data.plain_json import plain
from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.experiments.catalogue import NAMES, experiment
from ptyxrf.experiments.figures import write_figure
from ptyxrf.experiments.findings import Findings
from ptyxrf.experiments.page import write_page
from ptyxrf.experiments.run_cache import Cost, RunCache
from ptyxrf.parallel.startup import from_first_rank


def run_experiments(names: Sequence[str], cache: RunCache, report: Callable[[str], None]) -> None:
    """Run experiments, and write the files of each and the page as soon as it ends.

    Parameters
    ----------
    names : sequence of str
        Names from `NAMES`.
    cache : RunCache
    report : callable
        Takes each line with a verdict.

    Raises
    ------
    ValueError
        The file of an earlier experiment is damaged.
    """
    modules = {name: experiment(name) for name in names}
    from_first_rank(cache.comm, lambda: _records(cache.folder))  # find damaged files before hours of work
    for name, module in modules.items():
        cache.begin(name)
        began = time.perf_counter()
        findings: Findings = module.run(cache)
        elapsed = time.perf_counter() - began

        from_first_rank(cache.comm, partial(_write, cache, name, module, findings, elapsed))
        for claim in findings.claims:
            where = f", {claim.condition}" if claim.condition else ""
            report(f"{name}: {claim.verdict}: {claim.text}{where}: {claim.figures}")
        cost = cache.cost
        report(f"{name}: {cost.runs} reconstructions, {cost.sweeps:.0f} sweeps, {cost.seconds:.0f} s")
        from_first_rank(cache.comm, lambda: write_page(cache.folder, _records(cache.folder)))


def _write(cache: RunCache, name: str, module: Any, findings: Findings, elapsed: float) -> None:
    """Write the figures and the JSON file of an experiment."""
    pictures = []
    for picture in findings.pictures:
        file = f"{name}-{picture.name}.png"
        figure = picture.draw()
        with whole_file(cache.folder / file) as temporary:
            write_figure(temporary, figure)
        pictures.append({"file": file, "caption": picture.caption})
    record = {
        "name": name,
        "title": module.TITLE,
        "paper": module.PAPER,
        "about": module.__doc__.strip().splitlines()[0],
        "version": version("ptyxrf"),
        "quick": cache.quick,
        "claims": [{**asdict(claim), "verdict": claim.verdict} for claim in findings.claims],
        "tables": [asdict(table) for table in findings.tables],
        "pictures": pictures,
        "notes": findings.notes,
        "cost": _cost(cache.cost, elapsed),
        "numbers": findings.numbers,
    }
    with whole_file(cache.folder / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(plain(record), indent=1, allow_nan=False), encoding="utf-8")


def _cost(cost: Cost, elapsed: float) -> dict[str, float]:
    return {"reconstructions": cost.runs, "sweeps": cost.sweeps, "seconds": cost.seconds, "elapsed": elapsed}


def _records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of all experiments in the folder, in the order of the paper."""
    paths = [folder / f"{name}.json" for name in NAMES]
    return [_record(path) for path in paths if path.exists()]


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"name", "claims", "cost", "tables"} <= record.keys():
        raise ValueError(f"{path}: expected the record of an experiment, got other content (remove the file)")
    return record
