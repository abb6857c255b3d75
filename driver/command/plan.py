"""``ptyxrf plan``: how a reconstruction spreads over ranks, or which errors an experiment would have."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptyxrf.driver.command.outputs import check_outputs, is_first, on_first_rank
from ptyxrf.driver.command.parser import Subcommand, add_settings, flag_name, from_flags
from ptyxrf.driver.data.kinds import COUNT, COUNT_OR_ZERO, Bytes, Choice, File, Number, Switch
from ptyxrf.driver.data.setting import SettingsGroup, redeclared, setting
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.uncertainty.settings import Conditions, Expectation

if TYPE_CHECKING:
    from ptyxrf.driver.data.scan import Scan
    from ptyxrf.driver.planning.problem_size import ProblemSize

#: What describes a scan in numbers; the first three have to be there.
NUMBERS = ("n", "positions", "m", "elements", "sampling", "counts")
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
    node_memory: int | None = setting(
        None, Bytes(), "memory of a node, for the settings that fit it (default: that of this machine)"
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
    counts: bool = setting(
        False, Switch(), "in place of a scan: patterns are whole numbers below 65535, which take half as much"
    )
    method: str = redeclared(Settings, "method", "joint")
    precision: str = redeclared(Settings, "precision", "single")
    refine_probe: bool = redeclared(Settings, "refine_probe", False)
    refine_positions: str = redeclared(Settings, "refine_positions", "none")
    position_margin: int = redeclared(Settings, "position_margin", Settings.position_margin)
    machine: str | None = setting(
        None, File(), "constants that ptyxrf bench wrote (default: those of this user)"
    )
    picture: str | None = setting(
        None, File(), "draw the tiles and the efficiency, or the expected errors, as PNG"
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scan", metavar="SCAN", nargs="?", help="scan file; or give --n, --positions and --m")
    parser.add_argument("--json", action="store_true", help="the same as JSON, in SI units")
    parser.add_argument(
        "--expected", action="store_true", help="instead: the errors to be expected of a simulated scan"
    )
    add_settings(parser, "plan", PlanSettings)
    add_settings(parser, "beside --expected", Conditions)


def _run(options: argparse.Namespace) -> int:
    flags, conditions = from_flags(PlanSettings, options), from_flags(Conditions, options)
    if options.expected:
        return _expected(options, PlanSettings(**flags), conditions)
    if conditions:
        raise ValueError(f"{flag_name(next(iter(conditions)))}: expected none without --expected, got one")
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
    plan = make_plan(
        _problem(options.scan, settings), settings.ranks, settings.nodes, machine, settings.node_memory
    )
    print(json.dumps(plan.facts(), indent=2) if options.json else plan_text(plan))
    if settings.picture is not None:
        from ptyxrf.driver.pictures.plan_picture import write_plan_picture

        write_plan_picture(settings.picture, plan)
        if not options.json:
            print(f"picture: {settings.picture}")


def _expected(options: argparse.Namespace, settings: PlanSettings, conditions: dict[str, Any]) -> int:
    """Print the errors to be expected of a scan under some conditions."""
    if options.scan is None:
        raise ValueError("SCAN: expected the file of a simulated scan beside --expected, got none")
    values, comm = settings.as_dict(), options.comm
    expectation = Expectation(**conditions, **{key: values[key] for key in MODEL})

    from ptyxrf.driver.command.expected_text import expected_text
    from ptyxrf.driver.files.scan_file import read_scan
    from ptyxrf.driver.uncertainty.expected import expected_errors

    def read() -> Scan:
        if settings.picture is not None:
            check_outputs([Path(settings.picture)], [options.scan])
        return read_scan(options.scan)

    found = expected_errors(on_first_rank(comm, read), settings=expectation, comm=comm)
    if is_first(comm):
        print(json.dumps(found.facts(), indent=2) if options.json else expected_text(found))
    if settings.picture is not None:
        from ptyxrf.driver.pictures.expected_picture import write_expected_picture

        picture = settings.picture
        on_first_rank(comm, lambda: write_expected_picture(picture, found))
        if is_first(comm) and not options.json:
            print(f"picture: {picture}")
    return 0


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
    "[SCAN.h5] --ranks R [--nodes K] [flags]\n"
    "       ptyxrf plan SCAN.h5 --expected [--step X,...] [--dwell X,...] [--dose X,...]",
    "predict how a reconstruction spreads over ranks, or its errors, without running it",
    "Partition a scan (or a raster given by numbers) into tiles for a number of ranks and predict their "
    "balance and messages, the memory of each, the time of a Hessian product, and how many ranks it scales "
    "to. Needs no MPI. With --expected: how large the errors of a simulated scan would be for other steps, "
    "dwell times and doses.",
    _arguments,
    _run,
)
