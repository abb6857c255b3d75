"""``ptyxrf report``: a result as one page that opens in any browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptyxrf.driver.command.outputs import check_outputs, on_first_rank
from ptyxrf.driver.command.parser import Subcommand


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", metavar="RESULT", help="result file")
    parser.add_argument("--out", metavar="FILE", help="where the page goes (default: RESULT with .html)")


def _run(options: argparse.Namespace) -> int:
    on_first_rank(options.comm, lambda: _report(options.result, options.out))
    return 0


def _report(path: str, out: str | None) -> None:
    from ptyxrf.driver.files.result_file import read_placement, read_result
    from ptyxrf.driver.pictures.result_page import write_page

    page = Path(path).with_suffix(".html") if out is None else Path(out)
    check_outputs([page], [path])
    write_page(page, read_result(path), read_placement(path))
    print(page)


COMMAND = Subcommand(
    "report",
    "RESULT.h5 [--out REPORT.html]",
    "show a result in a browser",
    "Write a result as one page that needs neither a server nor a network: maps that zoom together under one "
    "cursor (object, elements, error bars, misfit of the patterns, and what a joint fit started from), line "
    "profiles, losses, positions, quality, settings, and how it was made.",
    _arguments,
    _run,
)
