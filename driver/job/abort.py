"""The last line of a job, and its end on all ranks."""

from __future__ import annotations

import sys
import time
from typing import Any

#: Seconds that the last line has on its way to the launcher: some forward nothing once a rank has ended all.
ON_ITS_WAY = 0.25


def say(message: str) -> None:
    """Write a line on standard error, in one piece: other ranks may write too."""
    sys.stderr.write(message.rstrip("\n") + "\n")
    sys.stderr.flush()


def end_all(comm: Any, status: int, message: str = "") -> None:
    """Say why, and end all ranks, with an exit status if the launcher passes it on."""
    if message:
        say(message)
        time.sleep(ON_ITS_WAY)
    comm.Abort(status)
