"""``ptyxrf simulate``: a scan file from settings."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptyxrf.driver.command.outputs import check_outputs, on_first_rank
from ptyxrf.driver.command.parser import Subcommand, add_settings, add_settings_file, effective_settings
from ptyxrf.driver.command.settings_file import settings_text
from ptyxrf.driver.simulation.settings import SimulationSettings


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="scan file to write")
    add_settings_file(parser)
    parser.add_argument("--quiet", action="store_true", help="no summary")
    add_settings(parser, "simulation", SimulationSettings)


def _run(options: argparse.Namespace) -> int:
    (settings,) = effective_settings(options, "simulate")
    if options.show_settings:
        print(settings_text({"simulate": settings}), end="")
        return 0
    on_first_rank(options.comm, lambda: _simulate(options, settings))
    return 0


def _simulate(options: argparse.Namespace, settings: SimulationSettings) -> None:
    out = Path(options.out)
    images = [settings.magnitude, settings.phase, settings.real, settings.imaginary]
    check_outputs([out], [options.settings, *images])

    from ptyxrf.driver.files.scan_file import write_scan
    from ptyxrf.driver.simulation.simulate import simulate

    try:
        scan = simulate(settings=settings)
    except ImportError as error:  # what reads images is not installed
        raise ValueError(str(error)) from error
    write_scan(out, scan)
    if not options.quiet:
        print(scan)
        print(f"scan: {out}")


COMMAND = Subcommand(
    "simulate",
    "OUT.h5 [--settings FILE] [flags]",
    "simulate a scan",
    "Simulate diffraction patterns and fluorescence of a scan and write them to a scan file.",
    _arguments,
    _run,
)
