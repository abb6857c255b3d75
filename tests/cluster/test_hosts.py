"""Ranks on several hosts, which share files but no memory, and communicate over a network."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hosts.launch import kind, launch, why_no_ranks
from hosts.network import (
    ETC,
    NAMESPACES,
    ON_HOST,
    PREFIX,
    cut_off,
    network,
    processes_on,
    run_on,
)
from mpi_launch import MPIEXEC
from scans import joint_scan

from ptyxrf.driver.files.result_file import read_result
from ptyxrf.driver.files.scan_file import write_scan

TESTS = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow

#: Every rank checks its host; argument: the number of ranks per host.
WORKER = """
import platform, sys
import numpy as np
from mpi4py import MPI

def received():
    with open("/proc/net/dev") as lines:
        return next(int(line.split()[1]) for line in lines if line.strip().startswith("eth0:"))

comm, per_host = MPI.COMM_WORLD, int(sys.argv[1])
node = comm.Split_type(MPI.COMM_TYPE_SHARED)
names = comm.allgather(platform.node())
assert node.Get_size() == per_host, f"{node.Get_size()} ranks share memory"
assert set(node.allgather(platform.node())) == {platform.node()}
assert len(set(names)) == comm.Get_size() // per_host, names
assert names == [f"h{rank // per_host + 1}" for rank in range(comm.Get_size())], names

# a MB from a rank of another host crosses the network
before, values, other = received(), np.full(1 << 17, float(comm.Get_rank())), np.empty(1 << 17)
comm.Barrier()
to, source = ((comm.Get_rank() + sign * per_host) % comm.Get_size() for sign in (1, -1))
comm.Sendrecv(values, to, recvbuf=other, source=source)
comm.Barrier()
assert (other == source).all()
assert received() - before > values.nbytes, received() - before
sys.stdout.write(f"all is well on {platform.node()}\\n")
"""


@pytest.fixture(scope="module", autouse=True)
def _possible():
    """Skip if no launcher accepts our replacement of ssh, or no hosts can be made."""
    if reason := why_no_ranks():
        pytest.skip(reason)


def python(hosts, per_host, *words, timeout, **options):
    """Run Python on some ranks of each host; a launcher that hangs ends with its host."""
    command, environment = launch(hosts, per_host, *words, timeout=timeout)
    return run_on(hosts[0], command, env=environment, timeout=timeout + 30, **options)


LAYOUTS = pytest.mark.parametrize(("count", "per_host"), [(4, 1), (2, 2)])


@LAYOUTS
def test_mpi_sees_the_hosts(count, per_host):
    with network(count) as hosts:
        done = python(hosts, per_host, "-c", WORKER, per_host, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    # ranks may write their lines into one another
    said = sorted(re.findall(r"all is well on (h\d)", done.stdout))
    assert said == sorted(per_host * hosts), done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a scan and its reconstruction by one process."""
    folder = tmp_path_factory.mktemp("hosts")
    scan = joint_scan()
    write_scan(folder / "scan.h5", scan)
    words = [sys.executable, *map(str, reconstruct(folder, "one.h5"))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def reconstruct(folder, name):
    words = ["-m", "ptyxrf", "reconstruct", folder / "scan.h5", "--out", folder / name]
    words += ["--fluorescence-prior", "none"]
    return [*words, "--max-iterations", "6", "--precision", "double", "--no-sequential-first"]


@LAYOUTS
def test_a_reconstruction_is_that_of_one_process(folder, count, per_host):
    name = f"{count}-hosts.h5"
    with network(count) as hosts:
        done = python(hosts, per_host, *reconstruct(folder, name), timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("result:") == done.stdout.count("report:") == 1
    passed_over = ("ptyxrf: warning: ", "ptyxrf: compiling")
    said = [line for line in done.stderr.splitlines() if not line.startswith(passed_over)]
    assert sum(line.startswith("iteration") for line in said) == len(said) == 7
    one, ours = read_result(folder / "one.h5"), read_result(folder / name)
    assert ours.loss == pytest.approx(one.loss, rel=1e-11)
    np.testing.assert_allclose(ours.object, one.object, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.elements, one.elements, rtol=1e-8, atol=1e-10)
    assert not list(folder.glob("*.part"))


def test_gradients_and_products_are_those_of_one_rank():
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS / "ranks" / "test_objective.py"]
    with network(3) as hosts:
        done = python(hosts, 1, *words, timeout=900, cwd=TESTS.parent)
    report = done.stdout + done.stderr
    assert done.returncode == 0, report[-20000:]
    passed = re.findall(r"(\d+) passed", done.stdout)
    assert len(passed) == 3 and len(set(passed)) == 1 and int(passed[0]) >= 18, report[-20000:]
    assert not re.search(r"\d+ (skipped|failed|error)", done.stdout), report[-20000:]


def test_bad_input_ends_all_hosts(tmp_path):
    """The exit code is passed on, and the message appears once."""
    words = ["-m", "ptyxrf", "reconstruct", tmp_path / "absent.h5", "--out", tmp_path / "r.h5"]
    with network(3) as hosts:
        done = python(hosts, 1, *words, timeout=120)
        assert [processes_on(host) for host in hosts] == [[], [], []]
    assert done.returncode == 2
    ours = [line for line in done.stderr.splitlines() if "ptyxrf" in line or kind(MPIEXEC[0]) == "MPICH"]
    assert len(ours) == 1 and "absent.h5: no such file" in ours[0], done.stderr


#: The command, with its output in a file for each host: nothing crosses a cut link.
SAYING = """
import os, platform, sys
from ptyxrf.driver.command.main import main
os.dup2(os.open(f"{sys.argv.pop(1)}/{platform.node()}", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
sys.exit(main())
"""


@pytest.mark.parametrize("cut", ["h1", "h2", "h3"])
def test_a_cut_link_ends_the_job_on_all_hosts(folder, tmp_path, cut):
    """Each side detects the loss of the other within the limit, wherever the launcher is."""
    words = ["-c", SAYING, tmp_path, *reconstruct(folder, tmp_path / "cut.h5")[2:], "--watchdog-seconds", "4"]
    words += ["--max-iterations", "1000000", "--no-noise-stop"]
    words += ["--loss-tolerance", "0", "--gradient-tolerance", "0"]
    said = {host: tmp_path / host for host in ("h1", "h2", "h3")}
    with network(3) as hosts:
        command, environment = launch(hosts, 1, *words, timeout=120)
        job = subprocess.Popen([str(ON_HOST), hosts[0], shlex.join(command)], env=environment)
        end = time.monotonic() + 60
        while not (said["h1"].exists() and "iteration    3" in said["h1"].read_text()):
            assert time.monotonic() < end and job.poll() is None
            time.sleep(0.05)
        cut_off(cut)
        assert job.wait(timeout=40) != 0
        wait_for(lambda: [processes_on(host) for host in hosts] == [[], [], []])
    missed = {
        host: re.findall(r"^ptyxrf: (?!warning).*$", path.read_text(), re.MULTILINE)
        for host, path in said.items()
    }
    # the host after the disconnected one detects its loss, and this one that of the host before it;
    # the third one is informed
    for host in (cut, f"h{int(cut[1]) % 3 + 1}"):
        before = (int(host[1]) - 2) % 3
        assert len(missed[host]) == 1, missed
        assert f"rank {before} on h{before + 1} has sent no heartbeat for" in missed[host][0]
    assert sum(map(len, missed.values())) == 2, missed
    assert not (tmp_path / "cut.h5").exists()


def there():
    return [*NAMESPACES.glob(f"{PREFIX}*"), *ETC.glob(f"{PREFIX}*")]


def wait_for(what):
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_hangs_is_ended():
    """The launcher ends them; otherwise the timeout of the command on the host does."""
    hang = "from mpi4py import MPI; import time; MPI.COMM_WORLD.Get_rank() == 0 or time.sleep(1000)"
    with network(2) as hosts:
        done = python(hosts, 1, "-c", hang, timeout=3)
        assert done.returncode != 0
        with pytest.raises(subprocess.TimeoutExpired):
            run_on("h2", ["sleep", "1000"], timeout=1)
        wait_for(lambda: [processes_on(host) for host in hosts] == [[], []])
    assert there() == []


def test_nothing_stays_of_a_test_that_fails():
    with pytest.raises(ZeroDivisionError), network(2):
        assert len(there()) == 5  # two hosts with a file each, and the bridge
        sleeper = subprocess.Popen([str(ON_HOST), "h2", "sleep 1000"])
        # a shell and its command
        wait_for(lambda: len(processes_on("h2")) >= 2)
        raise ZeroDivisionError
    assert there() == []
    assert sleeper.wait(timeout=20) != 0
