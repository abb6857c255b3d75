"""``ptyxrf export``: a result in the format of another program."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from ptyxrf.driver.command.outputs import on_first_rank
from ptyxrf.driver.command.parser import Subcommand, add_settings, settings_of
from ptyxrf.driver.data.kinds import Choice, File, Text
from ptyxrf.driver.data.setting import SettingsGroup, setting


@dataclass(frozen=True, kw_only=True)
class Export(SettingsGroup):
    """How a result is exported."""

    to: str = setting(
        "tiff",
        Choice(("tiff", "npz", "ptyr", "ptychodus")),
        "format: pictures of 32-bit numbers, arrays, PtyPy or ptychodus",
    )
    scan: str | None = setting(
        None, File(), "the scan: it tells where the object is known, energy and distance"
    )
    out: str | None = setting(None, File(), "name from which those of the files are made (default: RESULT)")
    units: str = setting("w", Text(), "unit of the element maps, for labels")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", metavar="RESULT", help="result file")
    add_settings(parser, "export", Export)


def _run(options: argparse.Namespace) -> int:
    settings = settings_of(Export, options)
    on_first_rank(options.comm, lambda: _export(options.result, settings))
    return 0


def _export(result: str, settings: Export) -> None:
    from ptyxrf.driver.analysis.export import export_result

    scan = settings.scan
    # reconstruct names the result of SCAN.h5 SCAN-result.h5
    beside = Path(result).with_name(Path(result).name.replace("-result", ""))
    if scan is None and beside.name != Path(result).name and beside.is_file():
        scan = str(beside)
        print(f"scan: {scan}")
    for path in export_result(result, settings.to, scan=scan, out=settings.out, units=settings.units):
        print(path)


COMMAND = Subcommand(
    "export",
    "RESULT.h5 --to tiff|npz|ptyr|ptychodus [--scan SCAN.h5]",
    "write a result for other programs",
    "Write the amplitude and the phase of the object (without ramp, unwrapped), the element maps and the "
    "probe for other programs, and the positions, refined where they were refined, as CSV.",
    _arguments,
    _run,
)
