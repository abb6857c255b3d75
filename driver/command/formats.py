"""``ptyxrf formats``: which files of other programs are read."""

from __future__ import annotations

import argparse

from ptyxrf.driver.command.outputs import on_first_rank
from ptyxrf.driver.command.parser import Subcommand


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="*", help="files whose format is looked up")


def _run(options: argparse.Namespace) -> int:
    on_first_rank(options.comm, lambda: print(_looked_up(options.file) if options.file else _table()))
    return 0


def _table() -> str:
    """Return the formats, a line for each, with what is read of them."""
    from ptyxrf.driver.files.readers.registry import readers

    lines: list[tuple[str, str, str, str]] = [("format", "kind", "written by", "what is read")]
    lines += [(reader.name, reader.kind, reader.programs, reader.holds) for reader in readers()]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        "  ".join([*(word.ljust(width) for word, width in zip(line, widths, strict=False)), line[3]])
        for line in lines
    )


def _looked_up(files: list[str]) -> str:
    """Return the format of each file."""
    from ptyxrf.driver.files.hdf5_reader import reading
    from ptyxrf.driver.files.readers.registry import readers

    lines = []
    for path in files:
        with reading(path) as reader:
            names = [entry.name for entry in readers() if entry.recognises(reader)]
            what = "a file of ptyxrf" if reader.own else ", ".join(names)
            lines.append(f"{path}: {what or 'none of the known formats'}")
    return "\n".join(lines)


COMMAND = Subcommand(
    "formats",
    "[FILE ...]",
    "list the files of other programs that are read",
    "List the formats of files that reconstruct, info and prepare read, or say which of them files have. "
    "Other packages add readers by the entry point ptyxrf.readers.",
    _arguments,
    _run,
)
