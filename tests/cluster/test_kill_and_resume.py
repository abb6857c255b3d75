"""Ten runs of the drill that kills and resumes reconstructions."""

import subprocess
import sys
from pathlib import Path

import pytest
from mpi_launch import MPIEXEC

DRILL = Path(__file__).resolve().parents[1] / "drills" / "kill_and_resume.py"


@pytest.mark.slow
@pytest.mark.skipif(not MPIEXEC, reason="no mpiexec beside this Python nor on the PATH")
def test_ten_runs():
    done = subprocess.run(
        [sys.executable, DRILL, "--runs", "10"], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 of 10 runs" in done.stdout
