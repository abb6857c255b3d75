"""Limits on time end a process, the earliest first; an interrupt that Python drops comes again."""

import signal
import subprocess
import sys
import time

import pytest

from ptyxrf.driver.command.main import main
from ptyxrf.driver.command.parser import Subcommand
from ptyxrf.driver.job.abort import no_interrupt_is_lost, time_limit


def seconds_left():
    return signal.getitimer(signal.ITIMER_REAL)[0]


def code_after(script):
    imports = "import time\nfrom ptyxrf.driver.job.abort import end_within, time_limit\n"
    return subprocess.run([sys.executable, "-c", imports + script], timeout=60).returncode


def test_a_limit_holds_within_its_body_only():
    with time_limit(50.0):
        assert 49 < seconds_left() <= 50
        with time_limit(100.0):
            assert seconds_left() <= 50
        with time_limit(20.0):
            assert 19 < seconds_left() <= 20
        assert 40 < seconds_left() <= 50
    assert seconds_left() == 0


@pytest.mark.parametrize(
    "script",
    [
        "with time_limit(0.1): time.sleep(30)",
        "end_within(0.1); time.sleep(30)",
        # the watchdog sets its limit while a file is written, whose own limit then ends
        "with time_limit(60): end_within(0.1)\ntime.sleep(30)",
        "end_within(0.1)\nwith time_limit(60): pass\ntime.sleep(30)",
    ],
)
def test_the_earliest_limit_ends_the_process(script):
    assert code_after(script) == -signal.SIGALRM


def test_a_process_that_is_in_time_goes_on():
    assert code_after("with time_limit(0.2): pass\ntime.sleep(0.4)") == 0


class Interrupted:
    """Interrupts the process within a destructor, where Python drops what is raised."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)
        for _ in range(10):
            pass


def wait_in_vain(_):
    del [Interrupted()][:]
    time.sleep(30)
    return 0


def test_an_interrupt_within_a_destructor_ends_the_command(capfd):
    subcommand = Subcommand("wait", "", "wait", "Wait in vain.", lambda parser: None, wait_in_vain)
    began = time.monotonic()
    assert main(["wait"], [subcommand]) == 130
    assert time.monotonic() - began < 10
    assert capfd.readouterr().err == "ptyxrf: interrupted\n"


def test_other_errors_that_are_dropped_are_shown(capfd, monkeypatch):
    class Broken:
        def __del__(self):
            raise TypeError("a slip")

    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    with no_interrupt_is_lost():
        del [Broken()][:]
    assert sys.unraisablehook is sys.__unraisablehook__
    assert "TypeError: a slip" in capfd.readouterr().err
