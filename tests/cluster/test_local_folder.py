"""The folder of compiled kernels that the job scripts take on each node: nobody else may write code to it."""

import os
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "slurm" / "launch.sh"


def taken(folder):
    """Return whether a job takes a folder, on one node without SLURM."""
    script = f'set -u; . {LAUNCH}; on_each_node() {{ bash -c "$1"; }}; use_local_folder || exit 1; echo taken'
    variables = os.environ | {"SLURM_NNODES": "1", "SLURM_NTASKS": "1", "SLURMD_NODENAME": "n"}
    there = subprocess.run(
        ["bash", "-c", script], env=variables | {"PTYXRF_LOCAL": str(folder)}, capture_output=True, text=True
    )
    assert ("taken" in there.stdout) != ("nobody else may write" in there.stderr)
    return "taken" in there.stdout


@pytest.mark.parametrize(("mode", "good"), [(0o700, True), (0o755, True), (0o770, False), (0o702, False)])
def test_a_folder_that_is_there(tmp_path, mode, good):
    (tmp_path / "local").mkdir()
    (tmp_path / "local").chmod(mode)
    assert taken(tmp_path / "local") == good


def test_a_new_folder_and_a_link(tmp_path):
    assert taken(tmp_path / "new")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    assert not taken(tmp_path / "link")
