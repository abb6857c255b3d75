"""``ptyxrf demo``: what a joint reconstruction gains, on a small simulated scan."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ptyxrf.driver.command.outputs import (
    check_outputs,
    make_folder,
    on_first_rank,
    read_scan_file,
    report_path,
    write_outputs,
)
from ptyxrf.driver.command.parser import Subcommand
from ptyxrf.driver.command.tables import Reading
from ptyxrf.driver.data.words import METHODS
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from ptyxrf.driver.data.scan import Scan

SIMULATION = SimulationSettings(
    n=224, m=64, per_side=16, elements=3, dtype="float32", title="simulated cells"
)
QUICK_SIMULATION = SIMULATION.replace(n=112, m=32, per_side=11)
SWEEPS, QUICK_SWEEPS = 120, 40


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", metavar="DIR", default="ptyxrf-demo", help="where to write (default ptyxrf-demo)"
    )
    parser.add_argument("--quick", action="store_true", help="a smaller object and fewer sweeps")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _run(options: argparse.Namespace) -> int:
    from ptyxrf.driver.command.progress import reconstruct_with_progress
    from ptyxrf.driver.pictures.result_picture import error_labels

    folder, comm = Path(options.out), options.comm
    scan_path, out = folder / "scan.h5", folder / "result.h5"
    scan = on_first_rank(comm, lambda: _simulated(scan_path, out, quick=options.quick))
    print(scan, flush=True)
    if comm is not None:
        print(f"on {comm.Get_size()} ranks", flush=True)
    results = {}
    for method in METHODS:
        settings = Settings(method=method, max_sweeps=QUICK_SWEEPS if options.quick else SWEEPS)
        results[method] = reconstruct_with_progress(
            scan, settings, quiet=options.quiet, comm=comm, label=method
        )
    write_outputs(results["joint"], scan, out, picture=True)
    errors = {method: result.history[-1].errors for method, result in results.items()}
    print("\nmean square errors against the truth, with both data sets and with one:")
    print(_error_table(errors, error_labels(scan)))
    print(_gain(errors, scan))
    print(f"\nscan:   {scan_path}\nresult: {out}\nreport: {report_path(out)}")
    return 0


def _simulated(scan_path: Path, out: Path, *, quick: bool) -> Scan:
    from ptyxrf.driver.files.scan_file import write_scan
    from ptyxrf.driver.simulation.simulate import simulate

    make_folder(scan_path.parent)
    check_outputs([scan_path, out, report_path(out)], [])
    write_scan(scan_path, simulate(settings=QUICK_SIMULATION if quick else SIMULATION))
    return read_scan_file(str(scan_path), Reading(), check=False)


def _error_table(errors: Mapping[str, Mapping[str, float]], labels: Mapping[str, str]) -> str:
    """Return errors as a table with a row for each method."""
    lines = [" " * 14 + "".join(f"{label:>11}" for label in labels.values())]
    for method, row in errors.items():
        values = [row.get(name, math.nan) for name in labels]
        cells = "".join(f"{value:11.2e}" if math.isfinite(value) else f"{'-':>11}" for value in values)
        lines.append(f"{method:<14}{cells}")
    return "\n".join(lines)


def _gain(errors: Mapping[str, Mapping[str, float]], scan: Scan) -> str:
    """Return in a sentence how much smaller the errors of the joint reconstruction are."""
    joint, maps = errors["joint"], [f"mse_{name}_illuminated" for name in scan.element_names]
    ratios = [errors["fluorescence"][name] / joint[name] for name in maps]
    gain = errors["ptychography"]["mse_aligned"] / joint["mse_aligned"]
    return (
        f"joint: the object's error (without the global phase) is 1/{gain:.2g} of ptychography's, "
        f"the maps' are 1/{min(ratios):.2g} to 1/{max(ratios):.2g} of fluorescence's"
    )


COMMAND = Subcommand(
    "demo",
    "[--out DIR] [--quick]",
    "simulate a small joint scan, reconstruct it, and show what the joint method gains",
    "Simulate cells with three elements, reconstruct them from both data sets and from each alone, and "
    "write scan.h5, result.h5 and result.png (the report of the joint reconstruction).",
    _arguments,
    _run,
)
