"""``ptyxrf info``: the contents of a file, and problems with it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ptyxrf.driver.command.outputs import confine_if, on_first_rank, read_scan_file
from ptyxrf.driver.command.parser import Subcommand, add_settings, settings_of
from ptyxrf.driver.command.tables import Reading, Turns
from ptyxrf.driver.data.kinds import POSITIVE, Number
from ptyxrf.driver.data.setting import SettingsGroup, setting

if TYPE_CHECKING:
    from ptyxrf.driver.data.scan import Scan


#: Exit code where something is wrong with a scan.
WRONG = 1


@dataclass(frozen=True, kw_only=True)
class Orientations(SettingsGroup):
    """How the orientations of the positions are ranked."""

    patterns: int = setting(
        100, Number(minimum=2, whole=True), "patterns for --orientation, around the middle"
    )
    sweeps: float = setting(30.0, POSITIVE, "sweeps that --orientation gives to each")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="scan file, result file, checkpoint, or MAPS file")
    parser.add_argument("--json", action="store_true", help="the same as JSON, in SI units")
    parser.add_argument(
        "--orientation",
        action="store_true",
        help="rank the 8 flips and transposes of the positions by the loss after a few sweeps",
    )
    add_settings(parser, "orientation", Orientations)
    add_settings(parser, "what is read of the file", Reading)


def _run(options: argparse.Namespace) -> int:
    settings, turns = settings_of(Orientations, options), settings_of(Reading, options)
    confine_if(turns)
    wrong = on_first_rank(options.comm, lambda: _tell(options, settings, turns))
    return WRONG if wrong else 0


def _tell(options: argparse.Namespace, settings: Orientations, turns: Reading) -> bool:
    """Print what is in a file, and return whether something is wrong with it."""
    from ptyxrf.driver.data.plain_json import plain

    known = _known(options.file)
    if known is None:
        facts, text = _of_scan(options, settings, turns)
    elif options.orientation:
        raise ValueError(f"--orientation: expected a scan, got {known[0]}")
    else:
        facts, text = known[1](options.file)
    print(json.dumps(plain(facts), indent=2) if options.json else text)
    return any(finding["level"] == "wrong" for finding in facts.get("findings", ()))


def _of_scan(
    options: argparse.Namespace, settings: Orientations, reading: Reading
) -> tuple[dict[str, Any], str]:
    from ptyxrf.driver.analysis.inspection import inspect_scan
    from ptyxrf.driver.command.info_text import scan_text

    scan = read_scan_file(options.file, reading)
    information = inspect_scan(scan)
    findings = [{"level": finding.level, "text": finding.text} for finding in information.findings]
    facts, text = information.facts | {"findings": findings}, scan_text(information)
    if options.orientation:
        if not options.json:
            print(text + "\n", flush=True)
        facts["orientations"], text = _ranked(scan, settings, quiet=options.json)
    return facts, text


def _ranked(scan: Scan, settings: Orientations, *, quiet: bool) -> tuple[list[dict[str, Any]], str]:
    from ptyxrf.driver.analysis.orientation import rank_orientations
    from ptyxrf.driver.command.info_text import ranking_text

    ranking = rank_orientations(
        scan,
        patterns=settings.patterns,
        max_sweeps=settings.sweeps,
        report=None if quiet else lambda line: print(line, file=sys.stderr, flush=True),
    )
    turns = [entry.name for entry in fields(Turns)]
    facts = [
        {key: getattr(orientation, key) for key in turns} | {"loss": loss} for orientation, loss in ranking
    ]
    return facts, ranking_text(ranking)


def _known(path: str) -> tuple[str, Callable[[str], tuple[dict[str, Any], str]]] | None:
    """Return what a file is and the function that describes it, or None for a scan."""
    from ptyxrf.driver.files.checkpoint_file import is_checkpoint
    from ptyxrf.driver.files.hdf5_reader import reading
    from ptyxrf.driver.files.readers.registry import is_maps
    from ptyxrf.driver.files.result_file import PROCESS

    with reading(path) as reader:
        if is_checkpoint(reader):
            return "a checkpoint", _of_checkpoint
        if reader.own and reader.has(PROCESS):
            return "a result", _of_result
        if not reader.own and is_maps(reader):
            return "maps", _of_maps
    return None


def _of_checkpoint(path: str) -> tuple[dict[str, Any], str]:
    from ptyxrf.driver.analysis.file_facts import checkpoint_facts
    from ptyxrf.driver.command.info_text import checkpoint_text
    from ptyxrf.driver.files.checkpoint_file import check_fields, read_checkpoint

    facts = checkpoint_facts(read_checkpoint(path), check_fields(path))
    return facts, checkpoint_text(facts)


def _of_result(path: str) -> tuple[dict[str, Any], str]:
    from ptyxrf.driver.analysis.file_facts import result_facts
    from ptyxrf.driver.command.info_text import result_text
    from ptyxrf.driver.files.result_file import read_result

    facts = result_facts(read_result(path))
    return facts, result_text(facts)


def _of_maps(path: str) -> tuple[dict[str, Any], str]:
    from ptyxrf.driver.analysis.file_facts import maps_facts
    from ptyxrf.driver.command.info_text import maps_text
    from ptyxrf.driver.files.maps_file import read_maps

    facts = maps_facts(read_maps(path))
    return facts, maps_text(facts)


COMMAND = Subcommand(
    "info",
    "FILE [--json] [--orientation]",
    "show what is in a file, and what is wrong or suspicious",
    "Show the contents of a scan, its units, overlap, photons and the memory that a reconstruction needs, "
    "and everything wrong or suspicious about it; or the contents of a result or a checkpoint.",
    _arguments,
    _run,
)
