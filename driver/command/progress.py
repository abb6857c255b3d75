"""Progress of a reconstruction: a live line on a terminal, one plain line per iteration in a log."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from ptyxrf.driver.command.outputs import is_first
from ptyxrf.driver.data.history import IterationRecord

# the reconstruction loads Numba, which a progress line does not need
if TYPE_CHECKING:
    from ptyxrf.driver.data.result import Result
    from ptyxrf.driver.data.scan import Scan
    from ptyxrf.driver.reconstruction.settings import Settings

#: Errors that a line shows; the history has all.
SHOWN_ERRORS = ("mse", "mse_aligned")


def record_line(record: IterationRecord) -> str:
    """Return one iteration as a line of a log."""
    parts = [
        f"iteration {record.iteration:4d}",
        *([f"{record.stage:12s}"] if record.stage else []),
        f"loss {record.loss:.6e}",
        f"gradient {record.gradient_norm:.2e}",
        f"inner {record.inner_steps:3d}",
        f"sweeps {record.sweeps:7.1f}",
        f"step {record.step:.2g}",
        f"{record.seconds:7.1f} s",
    ]
    parts += [f"{name} {record.errors[name]:.3e}" for name in SHOWN_ERRORS if name in record.errors]
    if record.note:
        parts.append(record.note)
    return "  ".join(parts)


class Progress:
    """Shows how far a reconstruction is: the callback of `progress`, and a context manager.

    Parameters
    ----------
    show : callable
        Shows one record.
    close : callable
        Ends the display, so that the terminal is left tidy.
    """

    def __init__(
        self,
        show: Callable[[IterationRecord], None] = lambda record: None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._show = show
        self._close = close

    def __call__(self, record: IterationRecord, view: object = None) -> bool:
        """Show the record; never ask to stop."""
        self._show(record)
        return False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


def progress(
    *,
    quiet: bool = False,
    label: str = "",
    max_iterations: int | None = None,
    max_sweeps: float | None = None,
    max_seconds: float | None = None,
    stream: TextIO | None = None,
) -> Progress:
    """Return a callback for `ptyxrf.reconstruct` that shows how far it is.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    label : str
        Word before the line.
    max_iterations, max_sweeps, max_seconds : number, optional
        The budget. The bar of a terminal runs over the limit that is nearest.
    stream : text stream, optional
        Where to write; default: standard error.

    Returns
    -------
    Progress
        To be used as ``with progress(...) as callback: reconstruct(..., callback=callback)``.
    """
    if quiet:
        return Progress()
    display, close = show_on(sys.stderr if stream is None else stream, label or "starting")
    limits = (max_iterations, max_sweeps, max_seconds)
    prefix = f"{label}: " if label else ""

    def show(record: IterationRecord) -> None:
        values = (record.iteration, record.sweeps, record.seconds)
        done = [value / limit for value, limit in zip(values, limits, strict=True) if limit]
        parts = [label] if label else [record.stage] if record.stage else []
        parts += [
            f"iteration {record.iteration}",
            f"{record.sweeps:.0f} sweeps",
            f"{record.seconds:.0f} s",
            f"loss {record.loss:.5g}",
        ]
        parts += [f"{name} {record.errors[name]:.2e}" for name in SHOWN_ERRORS if name in record.errors]
        display(max(done, default=0.0), ", ".join(parts), prefix + record_line(record))

    return Progress(show, close)


def show_on(stream: TextIO, start: str) -> tuple[Callable[[float, str, str], None], Callable[[], None]]:
    """Return what shows how far something is, and what ends the display.

    It takes the fraction that is done, a text that overwrites one line of a terminal, and a line for a log.
    The terminal says `start` until then.
    """
    if not stream.isatty():

        def write(fraction: float, text: str, line: str) -> None:
            # in one call, so that no interrupt or other process separates the line and its end
            stream.write(f"{line}\n")
            stream.flush()

        return write, lambda: None
    # a terminal without a size (0 x 0) gets the default size, because tqdm would show nothing
    columns, rows = shutil.get_terminal_size()
    bar = tqdm(
        total=1.0,
        desc=start,
        file=stream,
        ncols=columns,
        nrows=rows,
        bar_format="{percentage:3.0f}% |{bar:20}| {desc}",
        mininterval=0.0,
    )

    def overwrite(fraction: float, text: str, line: str) -> None:
        bar.n = min(fraction, 1.0)
        bar.set_description_str(text)

    return overwrite, bar.close


def reconstruct_with_progress(
    scan: Scan, settings: Settings, *, quiet: bool, comm: Any, label: str = ""
) -> Result:
    """Reconstruct a scan, with the progress of its first rank on standard error."""
    from ptyxrf.driver.reconstruction.reconstruct import reconstruct

    with progress(
        quiet=quiet or not is_first(comm),
        label=label,
        max_iterations=settings.max_iterations,
        max_sweeps=settings.max_sweeps,
        max_seconds=settings.max_seconds,
    ) as callback:
        return reconstruct(scan, settings=settings, callback=callback, comm=comm)
