"""Find the launcher above this process, and kill it where it does not end.

After a link is cut, launchers and their daemons wait for the host behind it until TCP gives up, a quarter
of an hour later. SIGTERM does not change that in Open MPI 5.0.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

#: Names of launchers and daemons: of MPICH, of Open MPI 5, and of Open MPI 4.
NAMES = (
    "mpiexec", "mpiexec.hydra", "hydra_pmi_proxy", "prterun", "prted", "prte", "mpirun", "orterun", "orted",
)  # fmt: skip

#: Waits for the end of a process (which, and since when it runs) so many half seconds, then kills it.
GUARD = """
for _ in $(seq "$1"); do
    sleep 0.5
    [ "$(cut -d" " -f22 "/proc/$2/stat")" = "$3" ] || exit 0
done
kill -KILL "$2"
"""


def kill_launcher_after(seconds: float) -> None:
    """Kill the launcher, or its daemon on this host, if it is still there after a while.

    An unknown launcher is left alone. A killed one has the exit code 137 (SIGKILL).

    Parameters
    ----------
    seconds : float
        This process may have ended by then: another one waits, and ends with the launcher.
    """
    found = launcher_above(os.getpid())
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
    """Return the launcher that a process descends from, or the daemon where the launcher is on another host.

    Parameters
    ----------
    number : int
        Of the process.

    Returns
    -------
    tuple of (int, str) or None
        Its number and when it began, in the system's clock ticks; None where there is none, or no /proc. Of a
        launcher below another one, with something else between them, the nearest.
    """
    found = None
    while number > 1:
        try:
            text = Path(f"/proc/{number}/stat").read_text()
        except OSError:
            break
        # the name stands in brackets and may hold any character
        name = text[text.index("(") + 1 : text.rindex(")")]
        fields = text[text.rindex(")") + 2 :].split()
        if name in NAMES:
            found = number, fields[19]
        elif found:
            break
        number = int(fields[1])
    return found
