"""Run experiments and write what they give: figures, numbers, verdicts and the page."""

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
from ptyxrf.experiments.findings import Outcome
from ptyxrf.experiments.page import write_page
from ptyxrf.experiments.run_cache import Cost, Study
from ptyxrf.parallel.startup import from_first_rank


def run_experiments(names: Sequence[str], study: Study, say: Callable[[str], None]) -> None:
    """Run experiments one after the other; after each its files and the page are written.

    Parameters
    ----------
    names : sequence of str
        Of `NAMES`.
    study : Study
        All ranks have one.
    say : callable
        Given the lines with the verdicts.

    Raises
    ------
    ValueError
        If there is no such experiment.
    """
    modules = {name: experiment(name) for name in names}
    from_first_rank(study.comm, lambda: _records(study.folder))  # damaged ones are found before hours of work
    for name, module in modules.items():
        study.begin(name)
        began = time.perf_counter()
        outcome: Outcome = module.run(study)
        elapsed = time.perf_counter() - began

        from_first_rank(study.comm, partial(_write, study, name, module, outcome, elapsed))
        for claim in outcome.claims:
            say(f"{name}: {claim.verdict}: {claim.text}: {claim.figures}")
        cost = study.cost
        say(f"{name}: {cost.runs} reconstructions, {cost.sweeps:.0f} sweeps, {cost.seconds:.0f} s")
        from_first_rank(study.comm, lambda: write_page(study.folder, _records(study.folder)))


def _write(study: Study, name: str, module: Any, outcome: Outcome, elapsed: float) -> None:
    """Write the figures and the numbers of an experiment."""
    pictures = []
    for picture in outcome.pictures:
        file = f"{name}-{picture.name}.png"
        figure = picture.draw()
        with whole_file(study.folder / file) as temporary:
            write_figure(temporary, figure)
        pictures.append({"file": file, "caption": picture.caption})
    record = {
        "name": name,
        "title": module.TITLE,
        "paper": module.PAPER,
        "about": module.__doc__.strip().splitlines()[0],
        "version": version("ptyxrf"),
        "quick": study.quick,
        "claims": [{**asdict(claim), "verdict": claim.verdict} for claim in outcome.claims],
        "tables": [asdict(table) for table in outcome.tables],
        "pictures": pictures,
        "notes": outcome.notes,
        "cost": _cost(study.cost, elapsed),
        "numbers": outcome.numbers,
    }
    with whole_file(study.folder / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(plain(record), indent=1, allow_nan=False), encoding="utf-8")


def _cost(cost: Cost, elapsed: float) -> dict[str, float]:
    return {"reconstructions": cost.runs, "sweeps": cost.sweeps, "seconds": cost.seconds, "elapsed": elapsed}


def _records(folder: Path) -> list[dict[str, Any]]:
    """Return what experiments have left in the folder, in the order of the paper."""
    paths = [folder / f"{name}.json" for name in NAMES]
    return [_record(path) for path in paths if path.exists()]


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"name", "claims", "cost", "tables"} <= record.keys():
        raise ValueError(f"{path}: expected what an experiment left, got something else (remove the file)")
    return record
