"""A launcher is found above a process, and killed if it stays; stand-ins have its name only."""

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ptyxrf
from ptyxrf.driver.job.kill_launcher import NAMES, launcher_above

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")

#: A rank, not directly below its launcher.
RANK = """
import sys
from ptyxrf.driver.job.kill_launcher import kill_launcher_after
kill_launcher_after(float(sys.argv[1]))
"""


#: One whose watchdog ends it, as that of a library call does.
WATCHED = """
import sys
from ptyxrf.driver.job import watchdog
watchdog.LAUNCHER_GRACE = float(sys.argv[1])
watchdog.end_without_mpi(kill_launcher=False)
"""


def launch(folder, *words, stays, name="prterun", rank=RANK):
    """Start a rank under a launcher that stays for so many seconds after it."""
    launcher = folder / name
    launcher.symlink_to("/bin/sh")
    script = f'sh -c \'"$@"; true\' rank "$@"; sleep {stays}; exit 7'
    return subprocess.Popen([str(launcher), "-c", script, "launcher", sys.executable, "-c", rank, *words])


@pytest.mark.parametrize("name", NAMES)
def test_a_launcher_that_stays_is_killed(tmp_path, name):
    assert launch(tmp_path, "0.5", stays=60, name=name).wait(timeout=30) == -signal.SIGKILL


def test_a_library_call_never_kills_the_launcher(tmp_path):
    """`ptyxrf.watched` ends the processes of its communicator; what started them is the caller's."""
    assert launch(tmp_path, "0.5", stays=2, rank=WATCHED).wait(timeout=30) == 7
    assert "kill_launcher" not in inspect.signature(ptyxrf.watched).parameters


def test_a_launcher_that_ends_is_left_alone(tmp_path):
    assert launch(tmp_path, "60", stays=0).wait(timeout=30) == 7


@pytest.mark.skipif(launcher_above(os.getpid()) is not None, reason="there is a launcher above these tests")
def test_another_program_is_left_alone(tmp_path):
    assert launch(tmp_path, "0.5", stays=1.5, name="(a) shell").wait(timeout=30) == 7


def test_the_launcher_of_a_daemon_is_found(tmp_path):
    """Not one further up; names may hold anything, and processes that are gone are nobody's."""
    names = ["mpirun", ") R 1 (", "mpiexec", "hydra_pmi_proxy", "a rank"]
    for name in names:
        (tmp_path / name).symlink_to("/bin/sh")
    # each starts the next; what is last in a script would take the place of the shell
    script = 'echo $$; [ $# = 0 ] && exec sleep 60; next=$1; shift; "$next" -c "$SCRIPT" x "$@"; true'
    words = [str(tmp_path / name) for name in names]
    with subprocess.Popen(
        [words[0], "-c", script, "x", *words[1:]],
        env={**os.environ, "SCRIPT": script},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as job:
        try:
            numbers = [int(job.stdout.readline()) for _ in names]
            found = [launcher_above(number) for number in numbers]
            assert [None if above is None else above[0] for above in found] == [
                numbers[0], numbers[0], numbers[2], numbers[2], numbers[2],
            ]  # fmt: skip
            assert all(int(began) > 0 for _, began in found)
        finally:
            os.killpg(job.pid, signal.SIGKILL)
    # only the first of them is waited for: the others end in their own time
    deadline = time.monotonic() + 10
    while (above := launcher_above(numbers[-1])) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert above is None
