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
    from ptyxrf.driver.planning.machine import Machine
    from ptyxrf.driver.planning.machine_timing import PatternTime

HEAD = "time of a Hessian product (one mode, known probe):\n   m  precision  us per pattern"


@dataclass(frozen=True, kw_only=True)
class BenchSettings(SettingsGroup):
    """How the machine is measured, and where its constants go."""

    rounds: int = setting(15, COUNT, "repetitions of each timing")
    out: str | None = setting(
        None, File(), "where the constants for ptyxrf plan go (default: this user's cache)"
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the constants as JSON")
    add_settings(parser, "bench", BenchSettings)


def _run(options: argparse.Namespace) -> int:
    from ptyxrf.driver.planning.machine import default_path, write_machine
    from ptyxrf.driver.planning.machine_timing import measure_machine

    settings = settings_of(BenchSettings, options)
    out = Path(settings.out or default_path())

    def prepare() -> None:
        if settings.out is None:
            out.parent.mkdir(parents=True, exist_ok=True)
        check_outputs([out], [])

    on_first_rank(options.comm, prepare)

    def report(found: PatternTime) -> None:
        if not options.json:
            print(f"{found.m:4d}  {found.precision:9s}  {1e6 * found.seconds:14.1f}", flush=True)

    if not options.json:
        print(HEAD, flush=True)
    machine = measure_machine(options.comm, settings.rounds, report)
    on_first_rank(options.comm, lambda: write_machine(out, machine))
    if options.json:
        print(json.dumps(asdict(machine), indent=2))
    else:
        print(f"{_summary(machine)}\nconstants for ptyxrf plan: {out}")
    return 0


def _summary(machine: Machine) -> str:
    pixels = ", ".join(f"{1e9 * seconds:.2f} ns {name}" for name, seconds in machine.pixel_seconds.items())
    lines = [f"a pixel of a field: {pixels}"]
    for name, network in (("within a node", machine.within_node), ("between nodes", machine.between_nodes)):
        lines.append(f"messages {name}: {1e6 * network.latency:.2f} us, {network.bandwidth / 1e9:.2f} GB/s")
    lines.append(f"reduction: {1e6 * machine.reduction_seconds:.2f} us for each doubling of the ranks")
    return "\n".join([*lines, machine.name])


COMMAND = Subcommand(
    "bench",
    "[--rounds N] [--out FILE]",
    "measure the constants of this machine for ptyxrf plan",
    "Time Hessian products per pattern and per pixel and, under mpiexec, messages between ranks. All ranks "
    "measure at once, because they share caches and memory in a reconstruction. ptyxrf plan uses the "
    "constants.",
    _arguments,
    _run,
)
