"""The tests in ranks/ under mpiexec, once for each number of ranks; and the command under it."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mpi_launch import MPIEXEC, mpiexec
from scans import joint_scan

from ptyxrf.driver.command.main import main
from ptyxrf.driver.files.result_file import read_result
from ptyxrf.driver.files.scan_file import read_scan, write_scan
from ptyxrf.driver.job.ranks import launched
from ptyxrf.driver.simulation.simulate import simulate

TESTS = Path(__file__).resolve().parent
pytestmark = pytest.mark.skipif(not MPIEXEC, reason="no mpiexec beside this Python nor on the PATH")


#: Number of ranks -> how many tests do not run on it; on two all of them do.
NOT_RUN = {1: 45, 2: 0, 3: 5, 5: 12}

#: A line of the command that is no warning, and not what a machine says when it compiles.
SPOKEN = "ptyxrf: (?!warning|compiling)"

#: Those of the first lane; the others find little more.
QUICK = (2, 3)


@pytest.mark.parametrize(
    "ranks",
    [ranks if ranks in QUICK else pytest.param(ranks, marks=pytest.mark.many_ranks) for ranks in NOT_RUN],
)
def test_on_ranks(ranks):
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / "ranks")]
    done = mpiexec(ranks, words, cwd=TESTS.parent, timeout=900)
    report = done.stdout + done.stderr
    assert done.returncode == 0, report[-20000:]
    # ranks may write their last lines into one
    passed = [int(count) for count in re.findall(r"(\d+) passed", done.stdout)]
    assert len(passed) == ranks and len(set(passed)) == 1 and passed[0] > 100, report[-20000:]
    others = [int(count) for count in re.findall(r"(\d+) deselected", done.stdout)]
    assert others == [NOT_RUN[ranks]] * ranks * (NOT_RUN[ranks] > 0), report[-20000:]
    assert not re.search(r"\d+ (skipped|failed|error)", done.stdout), report[-20000:]


@pytest.fixture
def scan_path(tmp_path):
    path = tmp_path / "scan.h5"
    write_scan(path, joint_scan())
    return path


def ptyxrf(ranks, *words, **options):
    return mpiexec(ranks, [sys.executable, "-m", "ptyxrf", *map(str, words)], timeout=120, **options)


def test_the_command_says_things_once(tmp_path, scan_path):
    words = ("reconstruct", scan_path, "--max-iterations", "6", "--precision", "double")
    words += ("--no-sequential-first", "--fluorescence-prior", "2", "--out")
    assert main([*map(str, words), str(tmp_path / "one.h5"), "--quiet"]) == 0
    three = ptyxrf(3, *words, tmp_path / "three.h5")
    assert three.returncode == 0, three.stderr
    lines = three.stderr.splitlines()
    warnings = [line for line in lines if line.startswith("ptyxrf: warning: ")]
    assert len(lines) == 7 + len(warnings) and len(set(warnings)) == len(warnings)
    assert sum(line.startswith("iteration") for line in lines) == 7
    assert three.stdout.count("result:") == three.stdout.count("report:") == 1
    first, other = read_result(tmp_path / "one.h5"), read_result(tmp_path / "three.h5")
    assert other.loss == pytest.approx(first.loss, rel=1e-11)
    np.testing.assert_allclose(other.object, first.object, rtol=1e-8, atol=1e-10)
    errors = first.history[-1].errors
    assert errors == pytest.approx(other.history[-1].errors, rel=1e-8)
    assert {path.name for path in tmp_path.iterdir()} == {
        "scan.h5", "one.h5", "one.png", "three.h5", "three.png",
    }  # fmt: skip


def test_other_subcommands_run_once(tmp_path, scan_path):
    info = ptyxrf(2, "info", scan_path, "--json")
    assert info.returncode == 0 and json.loads(info.stdout)["patterns"] == 36
    made = ptyxrf(2, "simulate", tmp_path / "new.h5", "--m", "12", "--per-side", "3", "--quiet")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert read_scan(tmp_path / "new.h5").N == 9
    helped = ptyxrf(2, "--help")
    assert helped.returncode == 0 and helped.stdout.count("usage:") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("reconstruct", "absent.h5", "--out", "r.h5"), "absent.h5: no such file"),
        (("reconstruct", "SCAN", "--out", "nowhere/r.h5"), "nowhere/r.h5: cannot be written"),
        (("reconstruct", "SCAN", "--out", "r.h5", "--alpha", "1,2,3"), "alpha: expected a number or 2"),
        (("reconstruct", "NAN", "--out", "r.h5"), "got nan in pattern 35"),
        (("fly",), "invalid choice"),
    ],
)
def test_bad_input_is_one_line_and_code_2(tmp_path, scan_path, words, message):
    bad = simulate("cells", m=16, per_side=6, overlap=0.6, seed=2, dtype="float32")
    patterns = np.array(bad.patterns)
    patterns[35, 3, 3] = np.nan

    class Lazy:
        shape, dtype = patterns.shape, patterns.dtype

        def __getitem__(self, key):
            return patterns[key]

    write_scan(tmp_path / "nan.h5", bad.replace(patterns=Lazy()))
    names = {"SCAN": scan_path, "NAN": tmp_path / "nan.h5"}
    began = time.monotonic()
    done = ptyxrf(2, *(names.get(word, word) for word in words), cwd=tmp_path)
    assert time.monotonic() - began < 60
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("ptyxrf: error:")]
    assert len(lines) == 1 and message in lines[0], done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r.h5").exists()


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        ("ValueError('a bad number')", 2, "error: a bad number"),
        ("TypeError('a slip')", 1, "TypeError: a slip"),
    ],
)
def test_a_rank_that_fails_alone_ends_all(tmp_path, scan_path, raised, status, said):
    """Nobody waits for it: one message, a code that is not 0, within seconds."""
    script = tmp_path / "fail.py"
    script.write_text(
        "import os, sys\n"
        "from ptyxrf import Objective\n"
        "from ptyxrf.driver.command.main import main\n"
        "from ptyxrf.driver.job.ranks import launched\n"
        "product, calls = Objective.product_with_dots, []\n"
        "def fail(self, *words):\n"
        "    calls.append(self.ranks.size > 1)\n"
        "    if sum(calls) == 3:\n"
        f"        raise {raised}\n"
        "    return product(self, *words)\n"
        "if launched(os.environ)[1] == 1:\n"
        "    Objective.product_with_dots = fail\n"
        "sys.exit(main())\n"
    )
    began = time.monotonic()
    words = [sys.executable, str(script), "reconstruct", str(scan_path), "--solver", "newton"]
    words += ["--fluorescence-prior", "2"]
    done = mpiexec(3, [*words, "--out", str(tmp_path / "r.h5")], timeout=120)
    assert time.monotonic() - began < 60
    assert done.returncode == status, done.stderr
    spoken = [line for line in done.stderr.splitlines() if re.match(SPOKEN, line)]
    assert len(spoken) == 1 and spoken[0].startswith("ptyxrf: rank 1:")
    assert said in done.stderr
    assert not (tmp_path / "r.h5").exists()


def test_a_rank_that_fails_when_the_others_are_done_still_says_why(tmp_path, scan_path):
    script = tmp_path / "fail.py"
    script.write_text(
        "import os, sys\n"
        "from ptyxrf.driver.pictures import result_picture as report\n"
        "from ptyxrf.driver.command.main import main\n"
        "from ptyxrf.driver.job.ranks import launched\n"
        "write = report.write_report\n"
        "def write_and_fail(*words):\n"
        "    write(*words)\n"
        "    raise TypeError('a slip')\n"
        "if launched(os.environ)[1] == 1:\n"
        "    report.write_report = write_and_fail\n"
        "sys.exit(main())\n"
    )
    words = [sys.executable, str(script), "reconstruct", str(scan_path), "--max-iterations", "1"]
    words += ["--fluorescence-prior", "2"]
    done = mpiexec(2, [*words, "--out", str(tmp_path / "r.h5")], timeout=120)
    assert done.returncode == 1, done.stderr
    spoken = [line for line in done.stderr.splitlines() if re.match(SPOKEN, line)]
    assert len(spoken) == 1 and spoken[0].startswith("ptyxrf: rank 1: error: TypeError: a slip")


def test_single_jobs_side_by_side_are_found_out(tmp_path, scan_path):
    """What srun starts without --mpi: several processes that do not see each other."""
    words = [sys.executable, "-m", "ptyxrf", "reconstruct", str(scan_path), "--out", str(tmp_path / "r.h5")]
    said = []
    for rank in range(2):
        environment = {**os.environ, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": str(rank)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2
        said.append(done.stderr)
    assert "2 processes were started together" in said[0] and "srun --mpi=pmi2" in said[0]
    assert len(said[0].splitlines()) == 1 and said[1] == ""
    assert not (tmp_path / "r.h5").exists()


def test_what_launchers_say():
    assert launched({}) == (1, 0)
    assert launched({"PMI_SIZE": "4", "PMI_RANK": "3"}) == (4, 3)
    assert launched({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}) == (2, 1)
    # mpiexec -n 1 within a job step of several tasks is alone on purpose
    assert launched({"PMI_SIZE": "1", "PMI_RANK": "0", "SLURM_STEP_NUM_TASKS": "4"}) == (1, 0)
    assert launched({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}) == (4, 2)
    assert launched({"SLURM_STEP_NUM_TASKS": "many"}) == (1, 0)
