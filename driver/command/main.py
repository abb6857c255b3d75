"""The command ``ptyxrf``: it runs a subcommand, and shows errors, warnings and log records."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ptyxrf.driver.command import (
    bench,
    calibrate,
    compare,
    demo,
    export,
    formats,
    info,
    plan,
    prepare,
    reconstruct,
    report,
    simulate,
    uncertainty,
)
from ptyxrf.driver.command.outputs import is_first
from ptyxrf.driver.command.parser import Subcommand, make_parser
from ptyxrf.driver.data.text import plain
from ptyxrf.driver.job.abort import no_interrupt_is_lost, say
from ptyxrf.driver.job.ranks import INTERRUPTED, PATIENCE, Failure, alone, communicator, launched, together
from ptyxrf.driver.job.streams import let_readers_go

DONE, BAD_INPUT = 0, 2

#: Characters of a warning or an error.
LONGEST_MESSAGE = 4000

SUBCOMMANDS = tuple(
    module.COMMAND
    for module in (
        demo,
        simulate,
        calibrate,
        prepare,
        reconstruct,
        uncertainty,
        report,
        export,
        compare,
        info,
        formats,
        plan,
        bench,
    )
)


def main(argv: Sequence[str] | None = None, extra: Sequence[Subcommand] = ()) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after ``ptyxrf``; default: those of the process.
    extra : sequence of Subcommand
        Subcommands beside those of the driver.

    Returns
    -------
    int
        Exit code: 0, 2 for bad input (with one line on standard error), 75 if SIGTERM ended a reconstruction
        that --resume continues, 130 after Ctrl-C. The same on every rank.
    """
    let_readers_go()
    words = list(sys.argv[1:] if argv is None else argv)
    _, rank = launched(os.environ)
    try:
        comm = communicator()
    except ValueError as error:
        if rank == 0:
            say(f"ptyxrf: error: {error}")
        else:  # srun -K sends TERM to all when one has ended: only the first rank prints, and all exit with 2
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(PATIENCE)
        return BAD_INPUT

    def run(comm: Any) -> int:
        return _run_subcommand(words, [*SUBCOMMANDS, *extra], comm)

    with no_interrupt_is_lost():
        return alone(run) if comm is None else together(comm, run)


def _run_subcommand(words: list[str], subcommands: Sequence[Subcommand], comm: Any) -> int:
    """Run the subcommand that the words name; raise `Failure` for errors that the user can correct."""
    parser = make_parser(subcommands)

    def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
        if is_first(comm):
            print("ptyxrf: warning: " + plain(str(message), LONGEST_MESSAGE), file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show_warning
        try:
            if not words:
                parser.print_help()
                return DONE
            options = parser.parse_args(words)
            options.comm, options.words = comm, words
            with _log_on_stderr(is_first(comm) and not getattr(options, "quiet", True)):
                return options.run(options)
        except KeyboardInterrupt:
            raise Failure(INTERRUPTED, "interrupted") from None
        except OSError as error:
            message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        except (MemoryError, OverflowError, RecursionError) as error:
            message = f"{type(error).__name__}: {error}".rstrip(": ")
        except ValueError as error:
            message = str(error)
    raise Failure(BAD_INPUT, "error: " + plain(message, LONGEST_MESSAGE))


class _StandardError(logging.Handler):
    """Writes records above a progress bar, if one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(f"ptyxrf: {record.getMessage()}", file=sys.stderr)


@contextmanager
def _log_on_stderr(shown: bool) -> Iterator[None]:
    """Show what the library logs about its phases while a subcommand runs."""
    if not shown:
        yield
        return
    logger, handler = logging.getLogger("ptyxrf"), _StandardError(logging.INFO)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
