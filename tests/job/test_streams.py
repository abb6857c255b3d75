"""A command goes on when the reader of its output has gone."""

import subprocess
import sys

PROGRAM = """
import sys
from pathlib import Path
from ptyxrf.driver.job.streams import let_readers_go
let_readers_go()
for number in range(20000):
    print("a line of output", number, "µ")
    print("a line of progress", number, file=sys.stderr, flush=True)
Path(sys.argv[1]).write_text("whole")
"""


def test_readers_that_go(tmp_path):
    out = tmp_path / "result"
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, out], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stderr.readline().startswith(b"a line")
    run.stderr.close()
    run.stdout.close()
    assert run.wait(60) == 0
    assert out.read_text() == "whole"


def test_a_terminal_without_a_character(tmp_path):
    program = "from ptyxrf.driver.job.streams import let_readers_go; let_readers_go(); print('2 µm')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={"PYTHONIOENCODING": "ascii"}, check=True
    )
    assert done.stdout == b"2 um\n"


def test_a_full_disk():
    """Progress may be lost; what a command prints may not be lost in silence."""
    program = (
        "import sys; from ptyxrf.driver.job.streams import let_readers_go; let_readers_go(); "
        "print('x' * 10**6, file=getattr(sys, sys.argv[1]))"
    )
    codes = {}
    for name in ("stdout", "stderr"):
        with open("/dev/full", "w") as full:
            words = [sys.executable, "-c", program, name]
            other = {"stdout": "stderr", "stderr": "stdout"}[name]
            streams = {name: full, other: subprocess.DEVNULL}
            codes[name] = subprocess.run(words, check=False, **streams).returncode
    assert codes["stderr"] == 0 and codes["stdout"] != 0
