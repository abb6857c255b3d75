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
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from ptyxrf.driver.data.result import Result
    from ptyxrf.driver.data.scan import Scan

#: Counts, one of each element at a position, from a specimen that absorbs and delays the beam.
SIMULATION = SimulationSettings(
    n=224, m=64, per_side=16, elements=3, margin=3, dtype="float32", title="simulated cells",
    link="refractive", sampling="scan", fractional=True, jitter=0.15, photons=100.0, noise="counting",
    defocus=200e-6,
)  # fmt: skip
QUICK_SIMULATION = SIMULATION.replace(n=112, m=32, per_side=11, defocus=100e-6)
#: What the user knows of it: a probe with this part of the true defocus, and positions that are off by so
#: many pixels (rms).
KNOWN_DEFOCUS, POSITION_ERROR = 0.75, 0.5
SWEEPS, QUICK_SWEEPS = 160, 100


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", metavar="DIR", default="ptyxrf-demo", help="where to write (default ptyxrf-demo)"
    )
    parser.add_argument("--quick", action="store_true", help="a smaller object and fewer sweeps")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _run(options: argparse.Namespace) -> int:
    from ptyxrf.driver.command.progress import reconstruct_with_progress
    from ptyxrf.driver.command.reconstruct import summary
    from ptyxrf.driver.pictures.result_picture import error_labels

    folder, comm = Path(options.out), options.comm
    scan_path, out = folder / "scan.h5", folder / "result.h5"
    scan = on_first_rank(comm, lambda: _simulated(scan_path, out, quick=options.quick))
    print(scan, flush=True)
    if comm is not None:
        print(f"on {comm.Get_size()} ranks", flush=True)
    settings = Settings(
        method="joint", refine_probe=True, refine_positions="each",
        max_sweeps=QUICK_SWEEPS if options.quick else SWEEPS,
    )  # fmt: skip
    result = reconstruct_with_progress(scan, settings, quiet=options.quiet, comm=comm)
    write_outputs(result, scan, out, picture=True)
    print(f"\n{summary(result, scan, errors=False)}")
    whole = result.gather()
    errors = {"joint": _errors(whole, scan), "one by one": _errors(whole.fallback, scan)}
    print("\nmean square errors against the truth, of the joint fit and of what came before it:")
    print(_error_table(errors, error_labels(scan)))
    print(_gain(errors, scan))
    print(f"\nscan:   {scan_path}\nresult: {out}\nreport: {report_path(out)}")
    return 0


def _simulated(scan_path: Path, out: Path, *, quick: bool) -> Scan:
    """Write the scan as it would be recorded, and return it."""
    from ptyxrf.driver.files.scan_file import write_scan
    from ptyxrf.driver.simulation.simulate import simulate

    make_folder(scan_path.parent)
    check_outputs([scan_path, out, report_path(out)], [])
    settings = QUICK_SIMULATION if quick else SIMULATION
    write_scan(scan_path, _recorded(simulate(settings=settings), settings))
    return read_scan_file(str(scan_path), Reading(), check=False)


def _recorded(scan: Scan, settings: SimulationSettings) -> Scan:
    """Return a scan with a guess of the probe and positions as a stage reports them."""
    import numpy as np

    from ptyxrf.driver.simulation.probe_and_geometry import probe_and_geometry

    assert settings.defocus is not None
    guess, _ = probe_and_geometry(settings.replace(defocus=KNOWN_DEFOCUS * settings.defocus), None, None)
    guess *= np.sqrt((np.abs(scan.probe) ** 2).sum() / (np.abs(guess) ** 2).sum())
    error = (
        POSITION_ERROR / 2**0.5 * np.random.default_rng(settings.seed).standard_normal(scan.positions.shape)
    )
    last = np.array(scan.shape) - scan.m
    return scan.replace(probe=guess, positions=np.clip(scan.positions + error, 0, last))


def _errors(result: Result | None, scan: Scan) -> dict[str, float]:
    """Return the errors of a whole result against the truth of the scan."""
    from ptyxrf.driver.reconstruction.accuracy import measure_errors

    assert result is not None
    return measure_errors(result.object, result.elements, scan, blind=True)


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
    joint, before = errors["joint"], errors["one by one"]
    names = [f"mse_{name}_illuminated" for name in scan.element_names]
    ratios = [before[name] / joint[name] for name in names]
    gain = before["mse_aligned"] / joint["mse_aligned"]
    return (
        f"joint: the object's error (aligned: without global phase, ramp and shift) is 1/{gain:.2g} of that "
        f"before, the maps' are 1/{min(ratios):.2g} to 1/{max(ratios):.2g}"
    )


COMMAND = Subcommand(
    "demo",
    "[--out DIR] [--quick]",
    "simulate a small joint scan, reconstruct it, and show what the joint method gains",
    "Simulate a scan as it is recorded: cells with three elements that absorb and delay the beam, one count "
    "of each at a position, a probe that is not known, positions that are off by half a pixel. Reconstruct "
    "it, and write scan.h5, result.h5 and result.png (the report).",
    _arguments,
    _run,
)
