"""``ptyxrf calibrate``: sensitivities from a foil of known areal densities."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptyxrf.driver.command.outputs import check_outputs, on_first_rank
from ptyxrf.driver.command.parser import Subcommand, add_settings, effective_settings
from ptyxrf.driver.preparation.calibration_settings import Calibration


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="the calibration to write, in TOML")
    parser.add_argument("maps", metavar="MAPS", nargs="?", help="maps of the foil; without them see --counts")
    parser.add_argument("--settings", metavar="FILE", help="settings in TOML; flags override them")
    add_settings(parser, "calibration", Calibration)


def _run(options: argparse.Namespace) -> int:
    (settings,) = effective_settings(options, "calibrate")
    on_first_rank(options.comm, lambda: _calibrate(options, settings))
    return 0


def _calibrate(options: argparse.Namespace, settings: Calibration) -> None:
    from ptyxrf.driver.preparation.calibrate import calibrate

    check_outputs([Path(options.out)], [options.maps, options.settings])
    for element, (value, error) in calibrate(options.out, options.maps, settings=settings).items():
        per = f"counts per photon and {settings.density_unit}"
        print(f"{element}: {value:.4g} {per}, error {100 * error / value:.2g} %")
    print(f"calibration: {options.out}")


COMMAND = Subcommand(
    "calibrate",
    "OUT.toml [MAPS.h5] --elements Fe,Cu --densities X,X --photons N",
    "find sensitivities from a standard foil",
    "Find how many counts a photon and a unit of each element make, from maps or numbers of a foil whose "
    "areal densities are known, and carry them to other elements by fluorescence yields. prepare and "
    "reconstruct take the file as --sensitivity.",
    _arguments,
    _run,
)
