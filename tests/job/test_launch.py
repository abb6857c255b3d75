"""The command starts itself on several ranks."""

import os
import subprocess
import sys

import pytest

import ptyxrf
from ptyxrf.driver.job import launch
from tests.mpi_launch import MPIEXEC

SCAN = ["simulate", "scan.h5", "--m", "8", "--per-side", "4", "--elements", "1"]


class Replaced(Exception):
    """This process would be another one now."""


@pytest.fixture
def replaced(monkeypatch):
    """What would replace this process: program, words, environment."""
    call = []

    def execve(*arguments):
        call.extend(arguments)
        raise Replaced

    for launcher in launch.LAUNCHERS:
        for name in launcher:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(launch, "_mpiexec", lambda: "/bin/mpiexec")
    return call


def test_the_same_words_run_under_the_launcher(replaced, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    with pytest.raises(Replaced):
        launch.start_ranks(5, ["reconstruct", "scan.h5", "--ranks", "5"])
    program, words, environment = replaced
    assert program == "/bin/mpiexec" and words[:3] == ["/bin/mpiexec", "-n", "5"]
    assert words[3:] == [sys.executable, "-m", "ptyxrf", "reconstruct", "scan.h5", "--ranks", "5"]
    assert environment["OMP_NUM_THREADS"] == "1" and environment["MKL_NUM_THREADS"] == "3"


def test_auto_takes_every_core(replaced):
    cores = launch.cores()
    assert 1 <= cores <= os.cpu_count()
    if cores == 1:
        launch.start_ranks("auto", [])
        assert not replaced
    else:
        with pytest.raises(Replaced):
            launch.start_ranks("auto", [])
        assert replaced[1][2] == str(cores)


def test_one_rank_needs_no_launcher(replaced):
    launch.start_ranks(1, [])
    assert not replaced


def test_started_ranks_start_no_others(replaced, monkeypatch):
    monkeypatch.setenv(launch.STARTED, "1")
    launch.start_ranks(3, [])
    assert not replaced


@pytest.mark.parametrize("name", [names[0] for names in launch.LAUNCHERS])
def test_not_under_a_launcher(replaced, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    with pytest.raises(ValueError, match=r"ranks: expected 1 under a launcher, .* got auto"):
        launch.start_ranks("auto", [])


def test_without_an_mpi(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"ranks: there is no mpiexec here: pip install 'ptyxrf\[mpich\]'"):
        launch.start_ranks(2, [])


@pytest.mark.skipif(not MPIEXEC, reason="there is no mpiexec")
def test_two_ranks_write_one_result(tmp_path):
    def run(*words):
        command = [sys.executable, "-m", "ptyxrf", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    assert run(*SCAN).returncode == 0
    done = run("reconstruct", "scan.h5", "--ranks", "2", "--max-sweeps", "5", "--method", "ptychography")
    assert done.returncode == 0 and done.stdout.count("result: scan-result.h5") == 1, done.stderr
    assert ptyxrf.read_result(tmp_path / "scan-result.h5").object.shape
    failed = run("reconstruct", "none.h5", "--ranks", "2")
    assert failed.returncode == 2 and failed.stderr == "ptyxrf: error: none.h5: no such file\n"
