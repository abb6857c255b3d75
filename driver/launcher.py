"""The launcher above this process, and its end where it does not come by itself.

Open MPI's launcher and its daemons on other hosts wait for one that they cannot reach: for a quarter of an
hour after a link was cut (until TCP gives up), and a SIGTERM does not change that. Seen with Open MPI 5.0.
MPICH's ends when a rank does.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

#: Names of Open MPI's launcher and daemons: of version 5, and of version 4.
NAMES = ("prterun", "prted", "prte", "mpirun", "mpiexec", "orterun", "orted")

#: Waits for the end of a process (which, and since when it runs) so many half seconds, then kills it.
GUARD = """
for _ in $(seq "$1"); do
    sleep 0.5
    [ "$(cut -d" " -f22 "/proc/$2/stat")" = "$3" ] || exit 0
done
kill -KILL "$2"
"""


def end_launcher(seconds: float) -> None:
    """Kill Open MPI's launcher, or its daemon on this host, if it is still there after a while.

    Nothing is done under another MPI or launcher. Whoever waits for the job then gets 137 (SIGKILL) from it,
    instead of nothing.

    Parameters
    ----------
    seconds : float
        This process may have ended by then: another one waits, and ends with the launcher.
    """
    found = launcher_above(os.getpid()) if _is_open_mpi() else None
    if found is None:
        return
    number, began = found
    # in a session of its own: the launcher's daemons kill whole groups of processes
    subprocess.Popen(
        ["/bin/sh", "-c", GUARD, "ptyxrf", str(round(2 * seconds)), str(number), began],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def launcher_above(number: int) -> tuple[int, str] | None:
    """Return the nearest launcher or daemon that a process descends from.

    Parameters
    ----------
    number : int
        Of the process.

    Returns
    -------
    tuple of (int, str) or None
        Its number and when it began, in the system's clock ticks; None where there is none, or no /proc.
    """
    while number > 1:
        try:
            text = Path(f"/proc/{number}/stat").read_text()
        except OSError:
            return None
        # the name stands in brackets and may hold any character
        name = text[text.index("(") + 1 : text.rindex(")")]
        fields = text[text.rindex(")") + 2 :].split()
        if name in NAMES:
            return number, fields[19]
        number = int(fields[1])
    return None


def _is_open_mpi() -> bool:
    from mpi4py import MPI

    return MPI.Get_library_version().startswith("Open MPI")
