"""Standard output and error whose reader may go without ending the work."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any

#: How characters are written that an encoding does not have.
REPLACING = "ptyxrf-replacing"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Return u for the micro sign and ? for other characters, and where to go on."""
    assert isinstance(error, UnicodeEncodeError)
    lost = error.object[error.start : error.end]
    return "".join("u" if letter == "µ" else "?" for letter in lost), error.end


codecs.register_error(REPLACING, _replaced)


class LossyStream:
    """A text stream that drops what it cannot write, from the first failure on.

    Parameters
    ----------
    stream : io.TextIOWrapper
    failures : type
        Of `OSError`; others are raised.
    """

    def __init__(self, stream: io.TextIOWrapper, failures: type[OSError]) -> None:
        stream.reconfigure(errors=REPLACING)  # a terminal may lack a character
        self._stream, self._failures = stream, failures

    def write(self, text: str) -> int:
        """Write, or drop, a text."""
        try:
            return self._stream.write(text)
        except self._failures:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        try:
            self._stream.flush()
        except self._failures:
            self._drop()

    def _drop(self) -> None:
        """Send the rest nowhere, with what is buffered: Python would fail on it at exit."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def let_readers_go() -> None:
    """Let the readers of this process's standard streams go; standard error may be on a full disk, too.

    A stream that is closed leads nowhere: the next file that is opened must not take its number.
    """
    for name, failures in (("stdout", BrokenPipeError), ("stderr", OSError)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, LossyStream(stream, failures))
