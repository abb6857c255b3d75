"""The job scripts under a real SLURM, with four nodes on this machine of one CPU each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from scans import joint_scan
from slurm_cluster import SCRIPTS, cluster, why_not

from ptyxrf.driver.files.result_file import read_result
from ptyxrf.driver.files.scan_file import write_scan
from ptyxrf.driver.planning.machine import Machine, write_machine

pytestmark = pytest.mark.slow

COMMAND, MPIEXEC = (Path(sys.executable).with_name(name) for name in ("ptyxrf", "mpiexec"))

#: The command of an environment with Open MPI in place of MPICH; if it is set, its mpiexec is tested.
OPENMPI = os.environ.get("PTYXRF_OPENMPI")
SRUN = "env MPIR_CVAR_CH4_NETMOD=ofi srun --mpi=pmi2 -K"
WORDS = ("--max-iterations", 9, "--precision", "double", "--inner-limit", "4", "--no-sequential-first")
WORDS += ("--fluorescence-prior", "none")

#: The command with a pause after each iteration, so that there is time for events.
SLOW = """#!{python}
import os, sys, time
from ptyxrf.driver.command.main import main
from ptyxrf.driver.command import progress

class Slow(progress.Progress):
    def __call__(self, record, view):
        self._show(record)
        time.sleep(float(os.environ.get("REST", "0.7")))
        return False

progress.Progress = Slow
sys.exit(main())
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Return a cluster whose folder has a scan and its reconstruction by one process."""
    if reason := why_not():
        pytest.skip(reason)
    if not MPIEXEC.exists():
        pytest.skip("no mpiexec beside this Python")
    folder = tmp_path_factory.mktemp("slurm")
    scan = joint_scan()
    write_scan(folder / "scan.h5", scan)
    write_program(folder / "slow", SLOW.format(python=sys.executable))
    local = folder / "local"
    environment = {"NUMBA_CACHE_DIR": str(local / "numba"), **os.environ}
    words = [COMMAND, "reconstruct", folder / "scan.h5", "--out", folder / "one.h5", *WORDS]
    done = subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with cluster(folder, 4, 1, PTYXRF_LOCAL=str(local), PTYXRF=str(COMMAND)) as ours:
        yield ours


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture(params=["mpiexec", "srun"])
def launcher(request):
    return {"mpiexec": str(MPIEXEC), "srun": SRUN}[request.param]


def submit(slurm, name, *options, nodes=2, words=(), **variables):
    """Submit a reconstruction that pauses after each iteration."""
    return slurm.submit(
        "reconstruct.sbatch", f"--nodes={nodes}", "--ntasks-per-node=1", *options, "--", *WORDS, *words,
        SCAN="scan.h5", RESULT=f"{name}.h5", **{"PTYXRF": "./slow", **variables},
    )  # fmt: skip


def is_right(slurm, name):
    """Compare with the uninterrupted reconstruction by one process: each iteration, and the result."""
    one, ours = (read_result(slurm.folder / f"{which}.h5") for which in ("one", name))
    assert [record.iteration for record in ours.history] == [record.iteration for record in one.history]
    losses = [[record.loss for record in result.history] for result in (ours, one)]
    np.testing.assert_allclose(*losses, rtol=1e-10)
    np.testing.assert_allclose(ours.object, one.object, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.elements, one.elements, rtol=1e-8, atol=1e-10)
    assert not list(slurm.folder.glob(f"{name}.checkpoint*"))
    return True


@pytest.mark.parametrize("beside", [True, False])
def test_four_nodes_find_the_launcher_and_the_right_result(slurm, tmp_path, beside):
    """The mpiexec beside the command, or else SLURM's srun."""
    command = COMMAND
    if not beside:
        command = tmp_path / "ptyxrf"
        command.symlink_to(COMMAND)
    name = f"four-{beside}"
    job = submit(slurm, name, nodes=4, PTYXRF=str(command))
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.log(job)
    assert f"launcher: {MPIEXEC if beside else SRUN}\n" in slurm.log(job)
    assert "NumNodes=4" in slurm.run("scontrol", "show", "job", job)
    assert slurm.log(job).count("result:") == 1
    assert is_right(slurm, name)


def test_a_job_begins_again_before_its_limit(slurm):
    """SLURM itself sends the signal, half a minute after the start at the latest."""
    job = submit(slurm, "limit", "--time=2", "--signal=B:USR2@90", REST="3.5", PTYXRF_LAUNCH=SRUN)
    # on a busy machine a run may end before its first checkpoint
    checkpoint = slurm.folder / "limit.checkpoint.h5"
    slurm.wait_for(job, lambda: checkpoint.exists() and "is requeued" in slurm.log(job), 200)
    slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=20")  # of the last run
    facts = slurm.ended(job)
    assert facts["JobState"] == "COMPLETED" and int(facts["Restarts"]) >= 1, slurm.log(job)
    assert "stopped by SIGTERM; go on with --resume" in slurm.log(job)
    assert is_right(slurm, "limit")


def test_a_job_that_is_told_to_begins_again(slurm, launcher):
    name = f"told-{launcher.split()[0][-4:]}"
    job = submit(slurm, name, PTYXRF_LAUNCH=launcher)
    slurm.wait_for(job, lambda: "iteration    2" in slurm.log(job))
    slurm.run("scancel", "--batch", "--signal=USR2", job)
    facts = slurm.ended(job)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), slurm.log(job)
    assert slurm.log(job).count("stopped by SIGTERM; go on with --resume") == 1
    assert slurm.log(job).count("run 1 ends; the job is requeued") == 1
    # from the checkpoint, not from the start
    assert slurm.log(job).count("iteration    1 ") == slurm.log(job).count("iteration    9 ") == 1
    assert is_right(slurm, name)


def test_a_job_gives_up_after_its_last_life(slurm):
    job = submit(slurm, "last", PTYXRF_LIVES="1", PTYXRF_LAUNCH=SRUN)
    slurm.wait_for(job, lambda: "iteration    1" in slurm.log(job))
    slurm.run("scancel", "--batch", "--signal=USR2", job)
    facts = slurm.ended(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "75:0", "0")
    assert "given up after run 1" in slurm.log(job)
    assert (slurm.folder / "last.checkpoint.h5").exists() and not (slurm.folder / "last.h5").exists()


@pytest.mark.parametrize("to", [[], ["--batch"]], ids=["ranks", "script"])
def test_usr1_leaves_a_checkpoint_and_the_job_goes_on(slurm, launcher, to):
    """The signal goes to the ranks, or to the script, which forwards it."""
    name = f"usr1-{launcher.split()[0][-4:]}{len(to)}"
    job = submit(slurm, name, PTYXRF_LAUNCH=launcher)
    slurm.wait_for(job, lambda: "iteration    2" in slurm.log(job))
    checkpoint = slurm.folder / f"{name}.checkpoint.h5"
    assert not checkpoint.exists()
    slurm.run("scancel", *to, "--signal=USR1", job)
    slurm.wait_for(job, checkpoint.exists)
    assert "result:" not in slurm.log(job)
    facts = slurm.ended(job)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "0"), slurm.log(job)
    assert is_right(slurm, name)


def test_a_job_that_is_cancelled_leaves_a_checkpoint_and_stays_away(slurm):
    name = "cancelled"
    job = submit(slurm, name)
    slurm.wait_for(job, lambda: "iteration    2" in slurm.log(job))
    slurm.run("scancel", job)
    assert slurm.ended(job)["JobState"] == "CANCELLED"
    slurm.wait_for(job, (slurm.folder / f"{name}.checkpoint.h5").exists)
    assert not (slurm.folder / f"{name}.h5").exists()
    assert "requeued" not in slurm.log(job)


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_job_that_loses_a_node_begins_again_on_others(slurm, node):
    """The first node, where the script itself runs, or the second."""
    name = f"lost-{node}"
    job = submit(slurm, name, words=("--checkpoint-iterations", 1))
    slurm.wait_for(job, lambda: "iteration    3" in slurm.log(job))
    assert slurm.facts(job)["NodeList"] == "n[1-2]"
    slurm.lose(node)
    try:
        facts = slurm.ended(job)
        assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), slurm.log(job)
        nodes = slurm.run("scontrol", "show", "hostnames", facts["NodeList"]).split()
        assert len(nodes) == 2 and node not in nodes
        assert slurm.log(job).count("iteration    1 ") == 1
        assert is_right(slurm, name)
    finally:
        slurm.find_again(node)


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_job_finds_out_itself_that_a_node_is_lost(slurm, comes_back):
    """Launchers notice at once, SLURM after a while, or never if the node returns before that."""
    name = f"crashed-{comes_back}"
    job = submit(slurm, name, words=("--checkpoint-iterations", 1), PTYXRF_LAUNCH=str(MPIEXEC))
    slurm.wait_for(job, lambda: "iteration    3" in slurm.log(job))
    assert slurm.facts(job)["NodeList"] == "n[1-2]"
    slurm.crash("n2")
    try:
        if comes_back:
            slurm.find_again("n2")
        slurm.wait_for(job, lambda: "lost: n2\nrun 1 ends; the job is requeued\n" in slurm.log(job))
        if not comes_back:
            # SLURM restarts the job only when it knows of the loss, here half a minute later
            slurm.wait_for(job, lambda: slurm.facts(job)["JobState"] == "COMPLETING")
            slurm.lose("n2")
        facts = slurm.ended(job)
        assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), slurm.log(job)
        assert comes_back or "n2" not in slurm.run("scontrol", "show", "hostnames", facts["NodeList"]).split()
        assert slurm.log(job).count("iteration    1 ") == 1
        assert is_right(slurm, name)
    finally:
        if not comes_back:
            slurm.find_again("n2")


def test_an_end_without_a_result_is_not_a_success(slurm):
    """All nodes respond, so the job is not requeued; an earlier result does not count as a new one."""
    write_program(slurm.folder / "nothing", "#!/bin/bash\nexit 0\n")
    (slurm.folder / "old.h5").write_text("of an earlier run")
    job = submit(slurm, "old", PTYXRF_LAUNCH="./nothing")
    facts = slurm.ended(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "70:0", "0")
    assert slurm.log(job) == "./nothing ended with 0, but there is no new old.h5\n"


@pytest.mark.skipif(not OPENMPI, reason="PTYXRF_OPENMPI does not name a command beside Open MPI's mpiexec")
@pytest.mark.parametrize(("what", "nodes"), [("told", 1), ("told", 2), ("crash", 2)])
def test_open_mpi(slurm, what, nodes):
    """Its daemons do not forward signals, and its mpiexec ends with 0 when it loses one of them."""
    name, program = f"openmpi-{what}-{nodes}", slurm.folder / "openmpi"
    write_program(program, SLOW.format(python=Path(OPENMPI).with_name("python")))
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    mpiexec = str(Path(OPENMPI).with_name("mpiexec"))
    words = ("--checkpoint-iterations", 1) if what == "crash" else ()
    job = submit(slurm, name, nodes=nodes, words=words, PTYXRF=str(program), PTYXRF_LAUNCH=mpiexec, **root)
    slurm.wait_for(job, lambda: "iteration    2" in slurm.log(job))
    if what == "crash":
        slurm.crash("n2")
        slurm.find_again("n2")
    else:
        slurm.run("scancel", "--batch", "--signal=USR1", job)
        slurm.wait_for(job, (slurm.folder / f"{name}.checkpoint.h5").exists)
        slurm.run("scancel", "--batch", "--signal=USR2", job)
    facts = slurm.ended(job)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1"), slurm.log(job)
    assert slurm.log(job).count("iteration    1 ") == 1
    assert is_right(slurm, name)


def test_ranks_that_do_not_see_each_other_are_found_out(slurm):
    # -K may end the other ranks before they exit with 2 themselves
    job = submit(slurm, "alone", nodes=4, PTYXRF=str(COMMAND), PTYXRF_LAUNCH="srun --mpi=none")
    facts = slurm.ended(job)
    assert (facts["JobState"], facts["ExitCode"]) == ("FAILED", "2:0")
    assert slurm.log(job).count("4 processes were started together, but MPI sees each of them alone") == 1
    assert not (slurm.folder / "alone.h5").exists()


def test_an_array_tells_which_tasks_failed(slurm):
    tasks = slurm.folder / "tasks.txt"
    settings = " ".join(map(str, WORDS))
    good, quoted = f"scan.h5 --out array-1.h5 {settings}", f"scan.h5 --out 'array 3.h5' {settings}"
    tasks.write_text(f"# three tasks\n{good}\n\nabsent.h5 --out array-2.h5\n{quoted}\n")
    said = slurm.run("bash", SCRIPTS / "array.sbatch", tasks, "--ntasks-per-node=1")
    assert said.startswith("3 tasks in job ")
    (folder,) = slurm.folder.glob("tasks-*")
    summary = slurm.run("squeue", "--noheader", "--name=ptyxrf-summary", "--format=%A").strip()
    assert slurm.ended(summary)["JobState"] == "COMPLETED"
    assert (folder / "summary.log").read_text().splitlines() == [
        "task 2 (status 2): absent.h5 --out array-2.h5",
        "ptyxrf: error: absent.h5: no such file",
        "1 of 3 tasks failed",
    ]
    assert (folder / "failed.txt").read_text() == "absent.h5 --out array-2.h5\n"
    assert is_right(slurm, "array-1") and is_right(slurm, "array 3")


def test_scaling_leaves_tables_and_pictures(slurm):
    write_machine(slurm.folder / "machine.json", Machine())
    small = {"STRONG": "--n 96 --m 16 --per-side 8", "WEAK": "--n 64 --m 16 --per-side 6"}
    words = ("--nodes=4", "--ntasks-per-node=1", "--", "--rounds", 1, "--repeats", 2, "--precision", "double")
    job = slurm.submit("scaling.sbatch", *words, PYTHON=sys.executable, MACHINE="machine.json", **small)
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.log(job)
    for kind, edges in (("strong", [96, 96, 96]), ("weak", [64, 84, 112])):
        folder = slurm.folder / f"ptyxrf-scaling-{job}" / kind
        rows = json.loads((folder / "scaling.json").read_text())["rows"]
        assert [row["ranks"] for row in rows] == [row["planned"]["nodes"] for row in rows] == [1, 2, 4]
        assert [row["n"] for row in rows] == edges
        table = (folder / "table.txt").read_text().splitlines()
        assert table[0].split()[:3] == ["ranks", "n", "N"]
        assert [line.split()[0] for line in table[1:4]] == ["1", "2", "4"]
        assert np.ptp(matplotlib.image.imread(folder / "scaling.png")) > 0.5
