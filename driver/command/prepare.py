"""``ptyxrf prepare``: from raw frames and positions to a scan file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ptyxrf.driver.command.outputs import check_outputs, on_first_rank
from ptyxrf.driver.command.parser import Subcommand, add_settings, effective_settings
from ptyxrf.driver.command.settings_file import settings_text
from ptyxrf.driver.preparation.settings import Preparation

if TYPE_CHECKING:
    from ptyxrf.driver.preparation.prepare import Prepared


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="raw data: HDF5, NPZ, NPY, TIFF, text")
    parser.add_argument(
        "--out", metavar="SCAN", help="the scan file (default: beside the first, FILE-scan.h5)"
    )
    parser.add_argument(
        "--recipe",
        dest="settings",
        metavar="FILE",
        help="settings in TOML, a table [prepare]; flags override them",
    )
    parser.add_argument(
        "--show-recipe",
        action="store_true",
        help="write the recipe with all that was found to standard output",
    )
    parser.add_argument("--no-preview", action="store_true", help="draw no picture beside the scan")
    parser.add_argument("--quiet", action="store_true", help="do not tell what was found")
    add_settings(parser, "recipe", Preparation)


def _run(options: argparse.Namespace) -> int:
    (settings,) = effective_settings(options, "prepare")
    first = Path(options.files[0])
    out = Path(options.out or first.parent / f"{first.stem.replace('*', '')}-scan.h5")
    on_first_rank(options.comm, lambda: _prepare(options, settings, out))
    return 0


def _prepare(options: argparse.Namespace, settings: Preparation, out: Path) -> None:
    from ptyxrf.driver.files.output_names import named_after
    from ptyxrf.driver.preparation.prepare import prepare

    picture = named_after(out, ".png")
    check_outputs([out] if options.no_preview else [out, picture], [*options.files, options.settings])
    # standard output is the recipe's where that is asked for
    stream = sys.stderr if options.show_recipe else sys.stdout
    prepared = prepare(
        options.files,
        out,
        settings=settings,
        report=None if options.quiet else lambda line: print(line, file=stream, flush=True),
    )
    if not options.no_preview:
        from ptyxrf.driver.pictures.preview import write_preview

        write_preview(picture, prepared)
    if options.show_recipe:
        print(settings_text({"prepare": prepared.recipe}), end="")
    if not options.quiet:
        print(f"scan: {out}", file=stream)
        if not options.no_preview:
            print(f"preview: {picture}", file=stream)
        print(f"next: {next_command(prepared)}", file=stream)


def next_command(prepared: Prepared) -> str:
    """Return the command that reconstructs the scan: its probe is measured or found, and so to be refined."""
    return f"ptyxrf reconstruct {prepared.path} --refine-probe"


COMMAND = Subcommand(
    "prepare",
    "FILE... [--out SCAN.h5] [--recipe FILE] [flags]",
    "make a scan of raw frames and positions",
    "Make a scan file of raw frames and positions, and of a probe and maps where they are there. What the "
    "recipe leaves open is found in the data and told, a line each, which begins with the setting that "
    "overrides it. Draws a preview beside the scan.",
    _arguments,
    _run,
)
