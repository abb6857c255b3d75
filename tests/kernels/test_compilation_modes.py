"""Small kernel tests again as plain Python, and with the bounds of every index checked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
FILES = ("test_patches.py", "test_amplitude_residual.py", "test_probe_shift.py", "test_odd_sizes.py")


def run(selection, **variables):
    """Run the tests in another process; none may be left out without a word."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", selection]
    done = subprocess.run(
        [*command, *(str(TESTS / name) for name in FILES)],
        cwd=TESTS.parents[1],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=900,
    )
    report = done.stdout + done.stderr
    assert done.returncode == 0, report
    summary = done.stdout.strip().splitlines()[-1]
    assert "passed" in summary, report
    assert "skipped" not in summary, report


def test_without_compilation():
    """Vector code exists only when compiled: the library stands in for it."""
    run("(m7 or outside) and not vector", NUMBA_DISABLE_JIT="1")


@pytest.mark.slow
def test_with_bounds_checked(tmp_path):
    """In a cache of its own: code with checks must not end up in the usual one."""
    run("m7 and complex128 or outside or both_engines", NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))
