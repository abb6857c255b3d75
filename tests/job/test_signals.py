"""Signals to a running command: a checkpoint and on, a checkpoint and the end; alone and under mpiexec."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from mpi_launch import MPIEXEC, ONE_THREAD
from scans import joint_scan

from ptyxrf.driver.command.main import main
from ptyxrf.driver.files.checkpoint_file import read_checkpoint
from ptyxrf.driver.files.result_file import read_result
from ptyxrf.driver.files.scan_file import write_scan
from ptyxrf.driver.job import signals

#: Only limits for a hang.
PATIENCE = 120


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    scan = joint_scan(32, 8)
    write_scan(path, scan.replace(truth=None))
    return path


def words(scan_path, out, *more):
    return [
        sys.executable, "-m", "ptyxrf", "reconstruct", str(scan_path), "--out", str(out), "--precision",
        "double", "--loss-tolerance", "0", "--no-noise-stop", "--no-report", "--max-iterations", "40",
        "--no-fluorescence-first", "--inner-limit", "3", "--no-sequential-first", "--fluorescence-prior",
        "none", *more,
    ]  # fmt: skip


def said(errors):
    """Return what is said beside progress and warnings."""
    return [line for line in errors.splitlines() if not line.startswith(("iteration", "ptyxrf: warning: "))]


class Running:
    """The command while it runs: its lines as they come, signals to it, its end."""

    def __init__(self, ranks, command):
        launcher = [*MPIEXEC, "-n", str(ranks)] if ranks > 1 else []
        environment = {**os.environ, **ONE_THREAD}
        self.process = subprocess.Popen(
            [*launcher, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.lines = []

    def wait_for(self, text):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            line = self.process.stderr.readline()
            self.lines.append(line)
            if text in line:
                return
            if not line:
                break
        raise AssertionError(f"no {text!r} in {''.join(self.lines)}")

    def end(self):
        output, rest = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output, "".join(self.lines) + rest


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.skipif(not MPIEXEC, reason="no mpiexec"))])
def ranks(request):
    return request.param


@pytest.fixture(scope="module")
def expected(scan_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("expected") / "r.h5"
    assert main(words(scan_path, out, "--quiet")[3:]) == 0
    return read_result(out)


def assert_right(path, expected):
    result = read_result(path)
    assert len(result.history) == len(expected.history) == 41
    losses = [[record.loss for record in one.history] for one in (result, expected)]
    np.testing.assert_allclose(*losses, rtol=1e-10)
    np.testing.assert_allclose(result.object, expected.object, rtol=1e-6, atol=1e-6)


def test_usr1_leaves_a_checkpoint_and_goes_on(tmp_path, scan_path, expected, ranks):
    out = tmp_path / "r.h5"
    running = Running(ranks, words(scan_path, out, "--keep-checkpoint"))
    running.wait_for("iteration    3 ")
    beside = (signal.SIGUSR1, signal.SIGCONT) if ranks == 2 else ()
    for number in (signal.SIGUSR1, *beside):
        running.process.send_signal(number)
    code, output, errors = running.end()
    assert code == 0, errors
    assert f"result: {out}" in output
    assert read_checkpoint(tmp_path / "r.checkpoint.h5").facts["iteration"] >= 3
    assert_right(out, expected)


def test_term_leaves_a_checkpoint_and_ends(tmp_path, scan_path, expected, ranks):
    out = tmp_path / "r.h5"
    running = Running(ranks, words(scan_path, out))
    running.wait_for("iteration    3 ")
    running.process.send_signal(signal.SIGTERM)
    running.process.send_signal(signal.SIGCONT)
    code, output, errors = running.end()
    assert code == 75, errors
    assert said(errors) == ["ptyxrf: stopped by SIGTERM; go on with --resume"]
    assert output == ""
    checkpoint = tmp_path / "r.checkpoint.h5"
    assert list(tmp_path.iterdir()) == [checkpoint]
    after = read_checkpoint(checkpoint).facts["iteration"]
    code, output, errors = Running(3 - ranks if MPIEXEC else 1, words(scan_path, out, "--resume")).end()
    assert code == 0, errors
    assert f"resumed after iteration {after}" in output
    assert said(errors) == []
    progress = [line for line in errors.splitlines() if line.startswith("iteration")]
    assert progress[0].startswith(f"iteration {after + 1:4d} ")
    assert list(tmp_path.iterdir()) == [out]
    assert_right(out, expected)


@pytest.mark.parametrize(
    ("place", "flags"),
    [
        ("first_maps.fit_with_prior", ["--fluorescence-first", "--fluorescence-prior", "auto"]),
        ("probe_start.trial_loss", ["--probe-start", "search", "--refine-probe", "--quiet"]),
    ],
)
def test_term_before_there_is_anything_to_write(tmp_path, scan_path, ranks, place, flags):
    """Of one rank, while maps of the fluorescence alone are made or a probe is searched."""
    script = tmp_path / "early.py"
    script.write_text(
        "import os, signal, sys\n"
        "from mpi4py import MPI\n"
        f"from ptyxrf.driver.reconstruction import {place.split('.')[0]}\n"
        f"plain = {place}\n"
        "def early(*arguments):\n"
        "    if MPI.COMM_WORLD.Get_rank() == MPI.COMM_WORLD.Get_size() - 1:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return plain(*arguments)\n"
        f"{place} = early\n"
        "from ptyxrf.driver.command.main import main\n"
        "sys.exit(main())\n"
    )
    command = words(scan_path, tmp_path / "r.h5", *flags)
    command[1:3] = [str(script)]
    code, _, errors = Running(ranks, command).end()
    assert (code, said(errors)) == (75, ["ptyxrf: stopped by SIGTERM; go on with --resume"])
    assert list(tmp_path.iterdir()) == [script]


def test_handlers_stay_and_go():
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)]
    with signals.catching():
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        asked = signals.asked()
        assert asked == {signal.SIGUSR1, signal.SIGTERM}
        os.kill(os.getpid(), signal.SIGUSR1)
        signals.answered(asked)
        assert not signals.asked()
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)] == before


def test_another_thread_sets_no_handlers():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def body():
        with signals.catching():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_late_term_does_not_change_the_code():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(signals.Stopped), signals.catching():
            raise signals.Stopped
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_signals_that_come_while_the_interpreter_ends_change_nothing(tmp_path, scan_path):
    """A batch system sends them when it likes; the result is there, and the code has to say so."""
    script = (
        "import atexit, os, signal, sys\n"
        "for number in (signal.SIGTERM, signal.SIGUSR1):\n"
        "    atexit.register(os.kill, os.getpid(), number)\n"
        "from ptyxrf.driver.command.main import main\n"
        "sys.exit(main())\n"
    )
    out = tmp_path / "r.h5"
    few = ["--quiet", "--max-iterations", "1"]
    command = [sys.executable, "-c", script, *words(scan_path, out, *few)[3:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0
    assert said(done.stderr) == []
    assert out.exists()
