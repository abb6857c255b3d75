"""``ptyxrf reconstruct``: from a scan file to a result file."""

from __future__ import annotations

import argparse
import logging
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptyxrf.driver.command.outputs import (
    check_outputs,
    confine_if,
    on_first_rank,
    read_scan_file,
    report_path,
    write_outputs,
)
from ptyxrf.driver.command.parser import Subcommand, add_settings, add_settings_file, effective_settings
from ptyxrf.driver.command.settings_file import settings_text
from ptyxrf.driver.command.tables import Files, Maps, Reconstruction, Sources
from ptyxrf.driver.job import watchdog
from ptyxrf.driver.job.launch import start_ranks
from ptyxrf.driver.job.ranks import Failure
from ptyxrf.driver.job.settings import JobSettings

if TYPE_CHECKING:
    from ptyxrf.driver.data.result import Result
    from ptyxrf.driver.data.scan import Scan

#: EX_TEMPFAIL of sysexits.h: the same command with --resume continues.
STOPPED = 75


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scan", metavar="SCAN", help="scan file (HDF5, CXI layout)")
    add_settings_file(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_settings(parser, "files", Files)
    add_settings(parser, "reconstruction", Reconstruction)
    add_settings(parser, "job", JobSettings)


def _run(options: argparse.Namespace) -> int:
    files, settings, job = effective_settings(options, "files", "reconstruct", "job")
    if options.show_settings:
        print(settings_text({"files": files, "reconstruct": settings, "job": job}), end="")
        return 0
    start_ranks(job.ranks, options.words)
    confine_if(files)
    from ptyxrf.driver.command.progress import reconstruct_with_progress
    from ptyxrf.driver.files.name_lock import locked
    from ptyxrf.driver.job.signals import Stopped, catching
    from ptyxrf.driver.reconstruction.checkpoint import checkpoint_path, remove_checkpoints

    scan_path, comm = Path(options.scan), options.comm
    out = Path(files.out or scan_path.parent / f"{scan_path.name.removesuffix('.h5')}-result.h5")
    settings = settings.replace(checkpoint=settings.checkpoint or checkpoint_path(out))
    watchdog.start(comm, job.watchdog_seconds, kill_launcher=True)
    try:
        with catching(), locked(out, comm):
            scan = on_first_rank(comm, lambda: _read(options, out, files, settings))
            chosen = _with_method(settings, scan)
            result = reconstruct_with_progress(scan, chosen, quiet=options.quiet, comm=comm)
            write_outputs(result, scan, out, picture=files.report)
            if not files.keep_checkpoint:
                on_first_rank(comm, lambda: remove_checkpoints(settings.checkpoint))
            if settings.resume:  # ranks of a run that was killed may have outlived the start of this one
                on_first_rank(comm, lambda: _remove_remains(out, files, settings))
    except Stopped:
        raise Failure(STOPPED, "stopped by SIGTERM; go on with --resume") from None
    if not options.quiet:
        if settings.method is None:
            there = "no " if scan.fluorescence is None else ""
            print(f"method: {chosen.method}, because the scan has {there}fluorescence")
        print(summary(result, scan))
        print(f"result: {out}")
        if files.report:
            print(f"report: {report_path(out)}")
    return 0


def _outputs(out: Path, files: Files, settings: Reconstruction) -> list[Path]:
    """Return the files that a run writes."""
    from ptyxrf.driver.reconstruction.checkpoint import older_path

    checkpoint = Path(str(settings.checkpoint))
    results = [out, report_path(out)] if files.report else [out]
    return [*results, checkpoint, older_path(checkpoint)]


def _remove_remains(out: Path, files: Files, settings: Reconstruction) -> None:
    """Remove what runs that were killed while they wrote these files have left."""
    from ptyxrf.driver.files.whole_file import remove_remains

    for path in _outputs(out, files, settings):
        remove_remains(path)


def _read(options: argparse.Namespace, out: Path, files: Files, settings: Reconstruction) -> Scan:
    """Check outputs, and read the scan; on the first rank."""
    from ptyxrf.driver.files.checkpoint_file import is_checkpoint_file

    checkpoint = Path(str(settings.checkpoint))
    check_outputs(_outputs(out, files, settings), [options.scan, files.maps, options.settings])
    if is_checkpoint_file(out):
        raise ValueError(f"{out}: is a checkpoint, and cannot be replaced by a result")
    if settings.resume:
        _remove_remains(out, files, settings)
    elif checkpoint.exists():
        warnings.warn(
            f"{checkpoint}: is of an earlier run, and will be replaced: --resume would go on from it",
            stacklevel=1,
        )
    # with several ranks each checks the patterns that it reads
    return scan_with_maps(options.scan, files, check=options.comm is None)


def scan_with_maps(path: str, files: Sources, *, check: bool) -> Scan:
    """Read a scan, with the maps and the sensitivities of files of their own."""
    scan = read_scan_file(path, files, check=check)
    scan = scan if files.maps is None else _with_maps(scan, files)
    if files.sensitivity is None:
        return scan
    from ptyxrf.driver.files.calibration_file import calibration_of

    return scan.replace(**calibration_of(files.sensitivity, scan.element_names))


def _with_maps(scan: Scan, maps: Maps) -> Scan:
    from ptyxrf.driver.data.count_maps import attach_maps
    from ptyxrf.driver.files.maps_file import read_maps

    constants = {name: getattr(maps, name) for name in ("attenuation", "phase_shift")}
    more: dict[str, Any] = {name: value for name, value in constants.items() if value is not None}
    elements = None if maps.elements is None else list(maps.elements)
    counts = read_maps(str(maps.maps), elements, detectors=maps.detectors, axis_unit=maps.axis_unit)
    counts = counts.of_elements() if elements is None else counts
    for note in counts.notes:
        logging.getLogger("ptyxrf").info("%s: %s", counts.title, note)
    origin = None if maps.origin is None else (maps.origin[0], maps.origin[1])
    try:
        exposure = counts.exposure() is not None
    except ValueError as error:  # fits of PyMca have neither
        warnings.warn(f"{error}: the exposure is taken for constant", stacklevel=1)
        exposure = False
    return attach_maps(scan, counts, exposure=exposure, match=maps.match, origin=origin, **more)


def _with_method(settings: Reconstruction, scan: Scan) -> Reconstruction:
    """Return the settings with the method that the data allow, unless one is set."""
    if settings.method is not None:
        return settings
    return settings.replace(method="ptychography" if scan.fluorescence is None else "joint")


def summary(result: Result, scan: Scan, *, errors: bool = True) -> str:
    """Return how a reconstruction ended, in a few lines, with the errors against a truth."""
    from ptyxrf.driver.data.result import loss_text

    last = result.history[-1]
    lines = [
        f"{result.method}: {loss_text(result)} after {last.iteration} iterations, {last.sweeps:.1f} sweeps, "
        f"{last.seconds:.1f} s",
        result.ending,
    ]
    if result.fallback is not None:
        lines.append(fallback_line(result))
    if result.sensitivity is not None:
        lines += [f"sensitivity of {text}" for text in result.sensitivity.texts(scan.element_names)]
    if ranking := result.settings["probe_ranking"]:
        tried = ", then ".join(f"{one['probe']} (loss {one['loss']:.4g})" for one in ranking)
        lines.append(f"start: {tried}")
    if result.positions is not None:
        moved = ((result.positions - scan.positions) ** 2).sum(axis=1) ** 0.5
        rms, most = (moved**2).mean() ** 0.5, moved.max()
        lines.append(f"positions: moved by {rms:.3g} pixels (rms), {most:.3g} at most")
    if resumed := result.settings["resumed_after"]:
        lines.append(f"resumed after iteration {', '.join(map(str, resumed))}")
    if errors:
        lines += [f"{name}: {value:.4g}" for name, value in last.errors.items()]
    return "\n".join(lines)


def fallback_line(result: Result) -> str:
    """Return what came before a joint fit, and which of the two to trust, in a line."""
    from ptyxrf.driver.data.result import loss_text

    before = result.fallback
    assert before is not None
    which = "trust it, not the joint fit" if result.trusted is before else "kept beside the joint fit"
    ratio = math.nan if before.quality is None else before.quality.misfit_over_floor
    floor = "" if math.isnan(ratio) else f", misfit {ratio:.3g} times its floor"
    return f"fallback (ptychography, then fluorescence): {loss_text(before)}{floor}: {which}"


COMMAND = Subcommand(
    "reconstruct",
    "SCAN.h5 [--out RESULT.h5] [--resume] [--settings FILE] [flags]",
    "reconstruct a scan",
    "Reconstruct the object, the element maps and, where asked to, the probe of a scan. Writes a result "
    "file and, beside it, a report as PNG; while it runs, checkpoints (RESULT.checkpoint.h5). SIGUSR1 "
    "requests a checkpoint after the present iteration, SIGTERM a checkpoint and the end (code 75), from "
    "which --resume continues.",
    _arguments,
    _run,
)
