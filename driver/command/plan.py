"""``ptyxrf plan``: how a reconstruction spreads over ranks."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptyxrf.driver.command.outputs import check_outputs, on_first_rank
from ptyxrf.driver.command.parser import Subcommand, add_settings, flag_name, from_flags
from ptyxrf.driver.data.kinds import COUNT, COUNT_OR_ZERO, Choice, File, Number
from ptyxrf.driver.data.setting import SettingsGroup, redeclared, setting
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.settings import Settings

if TYPE_CHECKING:
    from ptyxrf.driver.planning.problem_size import ProblemSize

#: What describes a scan in numbers; the first three have to be there.
NUMBERS = ("n", "positions", "m", "elements", "sampling")
NEEDED = 3

#: Settings of the model on which a plan depends.
MODEL = ("method", "precision", "refine_probe", "refine_positions", "position_margin")


@dataclass(frozen=True, kw_only=True)
class PlanSettings(SettingsGroup):
    """What `plan` takes in place of a scan file, and beside it."""

    ranks: int = setting(1, COUNT, "number of ranks, up to 100000 in seconds")
    nodes: int | None = setting(
        None, COUNT, "nodes that the ranks are spread over (default: 64 ranks on each)"
    )
    n: int | None = setting(None, COUNT, "in place of a scan: edge of the object in pixels")
    positions: int | None = setting(None, COUNT, "in place of a scan: number of positions, on a raster")
    m: int | None = setting(
        None, Number(minimum=2, whole=True), "in place of a scan: edge of a pattern in pixels"
    )
    modes: int | None = setting(None, COUNT, "probe modes (default: as many as the scan has)")
    elements: int = setting(0, COUNT_OR_ZERO, "in place of a scan: number of maps")
    sampling: str = setting(
        "scan", Choice(("grid", "scan")), "in place of a scan: where the maps are sampled"
    )
    method: str = redeclared(Settings, "method", "joint")
    precision: str = redeclared(Settings, "precision", "single")
    refine_probe: bool = redeclared(Settings, "refine_probe", False)
    refine_positions: str = redeclared(Settings, "refine_positions", "none")
    position_margin: int = redeclared(Settings, "position_margin", Settings.position_margin)
    machine: str | None = setting(
        None, File(), "constants that ptyxrf bench wrote (default: those of this user)"
    )
    picture: str | None = setting(None, File(), "draw the tiles and the efficiency as PNG")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scan", metavar="SCAN", nargs="?", help="scan file; or give --n, --positions and --m")
    parser.add_argument("--json", action="store_true", help="the same as JSON, in SI units")
    add_settings(parser, "plan", PlanSettings)


def _run(options: argparse.Namespace) -> int:
    flags = from_flags(PlanSettings, options)
    given = [flag_name(key) for key in NUMBERS if key in flags]
    missing = [flag_name(key) for key in NUMBERS[:NEEDED] if key not in flags]
    if options.scan is None and missing:
        raise ValueError(f"SCAN: expected a scan file, or {', '.join(missing)}; got neither")
    if options.scan is not None and given:
        raise ValueError(f"{given[0]}: expected none beside a scan file, which says it itself")
    on_first_rank(options.comm, lambda: _plan(options, PlanSettings(**flags)))
    return 0


def _plan(options: argparse.Namespace, settings: PlanSettings) -> None:
    if settings.picture is not None:
        check_outputs([Path(settings.picture)], [options.scan, settings.machine])

    from ptyxrf.driver.command.plan_text import plan_text
    from ptyxrf.driver.planning.machine import Machine, default_path, read_machine
    from ptyxrf.driver.planning.plan import make_plan

    path = settings.machine or (default_path() if default_path().exists() else None)
    machine = Machine() if path is None else read_machine(path)
    plan = make_plan(_problem(options.scan, settings), settings.ranks, settings.nodes, machine)
    print(json.dumps(plan.facts(), indent=2) if options.json else plan_text(plan))
    if settings.picture is not None:
        from ptyxrf.driver.pictures.plan_picture import write_plan_picture

        write_plan_picture(settings.picture, plan)
        if not options.json:
            print(f"picture: {settings.picture}")


def _problem(scan: str | None, settings: PlanSettings) -> ProblemSize:
    from ptyxrf.driver.planning.problem_size import ProblemSize

    values = settings.as_dict()
    model = Model(**{key: values[key] for key in MODEL})
    if scan is None:
        numbers = {key: values[key] for key in NUMBERS}
        return ProblemSize.from_numbers(**numbers, modes=settings.modes, model=model)
    from ptyxrf.driver.files.scan_file import read_scan

    return ProblemSize.of_scan(read_scan(scan, check=False), model, settings.modes)


COMMAND = Subcommand(
    "plan",
    "[SCAN.h5] --ranks R [--nodes K] [flags]",
    "predict how a reconstruction spreads over ranks, without running it",
    "Partition a scan (or a raster given by numbers) into tiles for a number of ranks and predict their "
    "balance and messages, the memory of each, the time of a Hessian product, and how many ranks it scales "
    "to. Needs no MPI.",
    _arguments,
    _run,
)
