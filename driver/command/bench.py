"""``ptyxrf bench``: the constants of this machine."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptyxrf.driver.command.outputs import check_outputs, on_first_rank
from ptyxrf.driver.command.parser import Subcommand, add_settings, settings_of
from ptyxrf.driver.data.kinds import COUNT, File
from ptyxrf.driver.data.setting import SettingsGroup, setting

if TYPE_CHECKING:
    from ptyxrf.driver.planning.machine_timing import PatternTimes


@dataclass(frozen=True, kw_only=True)
class BenchSettings(SettingsGroup):
    """How the machine is measured, and where its constants go."""

    rounds: int = setting(15, COUNT, "repetitions of each timing")
    out: str | None = setting(
        None, File(), "where the constants for ptyxrf plan go (default: this user's cache)"
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    add_settings(parser, "bench", BenchSettings)


def _run(options: argparse.Namespace) -> int:
    from ptyxrf.driver.command.bench_text import HEAD, facts, row, summary
    from ptyxrf.driver.planning.bench import measure_machine
    from ptyxrf.driver.planning.machine import default_path, write_machine

    settings = settings_of(BenchSettings, options)
    out = Path(settings.out or default_path())

    def prepare() -> None:
        if settings.out is None:
            out.parent.mkdir(parents=True, exist_ok=True)
        check_outputs([out], [])

    on_first_rank(options.comm, prepare)

    def report(times: PatternTimes) -> None:
        if not options.json:
            print(row(times), flush=True)

    if not options.json:
        print(HEAD, flush=True)
    measured = measure_machine(options.comm, settings.rounds, report)
    on_first_rank(options.comm, lambda: write_machine(out, measured.machine))
    if options.json:
        print(json.dumps({**asdict(measured.machine), **facts(measured)}, indent=2))
    else:
        print(f"{summary(measured)}\nconstants for ptyxrf plan: {out}")
    return 0


COMMAND = Subcommand(
    "bench",
    "[--rounds N] [--out FILE]",
    "measure this machine: time per pattern beside the fastest bare FFT pair, and messages",
    "Time gradient and Hessian product per pattern in multiples of one forward and one inverse FFT by "
    "the fastest library that is installed (pip install ptyxrf[bench] adds two), pixels and the blur of "
    "a map, and, under mpiexec, messages between ranks, all of which measure at once. Keeps the "
    "constants that ptyxrf plan uses.",
    _arguments,
    _run,
)
