"""``ptyxrf uncertainty``: error bars of a result, written beside it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptyxrf.driver.command.outputs import (
    check_outputs,
    confine_if,
    is_first,
    on_first_rank,
    report_path,
    write_outputs,
)
from ptyxrf.driver.command.parser import Subcommand, add_settings, from_flags, settings_of
from ptyxrf.driver.command.reconstruct import STOPPED, scan_with_maps
from ptyxrf.driver.command.tables import Sources
from ptyxrf.driver.data.kinds import File, Switch
from ptyxrf.driver.data.setting import setting
from ptyxrf.driver.job import watchdog
from ptyxrf.driver.job.launch import start_ranks
from ptyxrf.driver.job.ranks import Failure
from ptyxrf.driver.job.settings import JobSettings
from ptyxrf.driver.uncertainty.settings import Sampling

if TYPE_CHECKING:
    from ptyxrf.driver.data.deviations import Deviations
    from ptyxrf.driver.data.result import Result
    from ptyxrf.driver.data.scan import Scan


@dataclass(frozen=True, kw_only=True)
class ErrorBarFiles(Sources):
    """Which files error bars come from, and where they go."""

    out: str | None = setting(
        None, File(), "where the result with its error bars goes (default: in place of the result)"
    )
    report: bool = setting(True, Switch(), "draw a picture beside the result, with the error bars")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", metavar="RESULT", help="result file")
    parser.add_argument("scan", metavar="SCAN", help="the scan of which it is the result")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_settings(parser, "files, as for reconstruct", ErrorBarFiles)
    add_settings(parser, "samples", Sampling)
    add_settings(parser, "job", JobSettings)


def _run(options: argparse.Namespace) -> int:
    from ptyxrf.driver.files.output_names import named_after

    files, job = settings_of(ErrorBarFiles, options), settings_of(JobSettings, options)
    out, comm = Path(files.out or options.result), options.comm
    named = {"checkpoint": str(named_after(out, ".samples.h5"))}
    settings = Sampling(**named | from_flags(Sampling, options))
    checkpoint = Path(str(settings.checkpoint))
    start_ranks(job.ranks, options.words)
    confine_if(files)
    from ptyxrf.driver.files.name_lock import locked
    from ptyxrf.driver.job.signals import Stopped, catching
    from ptyxrf.driver.uncertainty.uncertainty import uncertainty

    watchdog.start(comm, job.watchdog_seconds, kill_launcher=True)
    try:
        with catching(), locked(out, comm):
            result, scan = on_first_rank(comm, lambda: _read(options, out, checkpoint, files))
            with _progress(quiet=options.quiet or not is_first(comm)) as show:
                found = uncertainty(result, scan, settings=settings, progress=show, comm=comm)
            with_errors = result.replaced(uncertainty=found.plain)
            on_first_rank(comm, lambda: write_outputs(with_errors, scan, out, picture=files.report))
            on_first_rank(comm, lambda: checkpoint.unlink(missing_ok=True))
    except Stopped:
        raise Failure(STOPPED, "stopped by SIGTERM; go on with --resume") from None
    if not options.quiet:
        print(summary(found, scan))
        print(f"result: {out}")
        if files.report:
            print(f"report: {report_path(out)}")
    return 0


def _read(
    options: argparse.Namespace, out: Path, checkpoint: Path, files: ErrorBarFiles
) -> tuple[Result, Scan]:
    """Check outputs, and read result and scan; on the first rank."""
    from ptyxrf.driver.files.result_file import read_result

    inputs = [options.scan, files.maps]
    pictures = [report_path(out)] if files.report else []
    check_outputs([out, checkpoint, *pictures], inputs)
    return read_result(options.result), scan_with_maps(options.scan, files, check=options.comm is None)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int, int], None] | None]:
    """Give what shows how many samples are done."""
    if quiet:
        yield None
        return
    from ptyxrf.driver.command.progress import show_on

    display, close = show_on(sys.stderr, "starting")

    def show(done: int, samples: int, products: int) -> None:
        line = f"sample {done} of {samples}, {products} products"
        display(done / samples, line, line)

    try:
        yield show
    finally:
        close()


def summary(found: Deviations, scan: Scan) -> str:
    """Return the error bars in a few lines: what they stand for, and the median of each quantity."""
    import numpy as np

    lines = [found.meaning]
    if found.samples:
        lines.append(
            f"{found.samples} samples: each deviation is known to {100 * found.sampling_error:.0f} %; "
            f"{found.products} products, residual {found.residual:.1e}, unsolved {found.unsolved:.1e}"
        )
    lines.append(
        f"finished first in {found.iterations} iterations; the result was {found.moved:.2g} deviations away"
    )
    units = {"phase": " rad", "positions": " pixels"}
    for name, values in found.arrays.items():
        several = zip(scan.element_names, values, strict=True) if name == "elements" else [(name, values)]
        for label, one in several:
            if np.isfinite(one).any():
                lines.append(f"{label}: {np.nanmedian(one):.3g}{units.get(name, '')} (median)")
    return "\n".join(lines)


COMMAND = Subcommand(
    "uncertainty",
    "RESULT.h5 SCAN.h5 [--samples 32] [--out RESULT.h5] [flags]",
    "give a result error bars",
    "Draw samples of what else the data and the priors allow, and write the standard deviations of object, "
    "element maps and all else that was refined beside the result, into its file; the report shows them. "
    "While it runs, the samples so far are in RESULT.samples.h5, from which --resume goes on; SIGTERM ends "
    "it after the present sample (code 75).",
    _arguments,
    _run,
)
