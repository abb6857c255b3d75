"""Open MPI's launcher is found above a process, and killed if it stays; stand-ins have its name only."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ptyxrf.driver.launcher import NAMES, launcher_above

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")

#: A rank, not directly below its launcher.
RANK = """
import sys
from ptyxrf.driver import launcher
launcher._is_open_mpi = lambda: sys.argv[2] == "Open MPI"
launcher.end_launcher(float(sys.argv[1]))
"""


def launch(folder, *words, stays, name="prterun"):
    """Start a rank under a launcher that stays for so many seconds after it."""
    launcher = folder / name
    launcher.symlink_to("/bin/sh")
    script = f'sh -c \'"$@"; true\' rank "$@"; sleep {stays}; exit 7'
    return subprocess.Popen([str(launcher), "-c", script, "launcher", sys.executable, "-c", RANK, *words])


@pytest.mark.parametrize("name", NAMES)
def test_a_launcher_that_stays_is_killed(tmp_path, name):
    assert launch(tmp_path, "0.5", "Open MPI", stays=60, name=name).wait(timeout=30) == -signal.SIGKILL


def test_a_launcher_that_ends_is_left_alone(tmp_path):
    assert launch(tmp_path, "60", "Open MPI", stays=0).wait(timeout=30) == 7


def test_another_launcher_is_left_alone(tmp_path):
    assert launch(tmp_path, "0.5", "MPICH", stays=1.5).wait(timeout=30) == 7


def test_another_program_is_left_alone(tmp_path):
    assert launch(tmp_path, "0.5", "Open MPI", stays=1.5, name="(a) shell").wait(timeout=30) == 7


def test_the_nearest_one_is_found(tmp_path):
    """Names may hold anything, and processes that are gone are nobody's."""
    (tmp_path / "prted").symlink_to("/bin/sh")
    (tmp_path / ") R 1 (").symlink_to("/bin/sh")
    inner = "sh -c 'exec sleep 60' & echo $!; wait"
    words = [str(tmp_path / "prted"), "-c", f"'{tmp_path}/) R 1 (' -c \"$1\"; true", "launcher", inner]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as job:
        try:
            sleeper = int(job.stdout.readline())
            number, began = launcher_above(sleeper)
            assert number == job.pid and int(began) > 0
        finally:
            os.killpg(job.pid, signal.SIGKILL)
    assert launcher_above(sleeper) is None
