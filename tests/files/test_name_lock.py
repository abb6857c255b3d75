"""One run at a time for one output: what holds a lock, and what ends one."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys

import h5py
import pytest
from scans import joint_scan

import ptyxrf
from ptyxrf.driver.command.main import main
from ptyxrf.driver.files import name_lock
from ptyxrf.driver.files.file_errors import UnwritableFile
from ptyxrf.driver.files.name_lock import locked
from ptyxrf.driver.files.scan_file import write_scan
from ptyxrf.driver.reconstruction.checkpoint import checkpoint_path, remove_checkpoints

HOLDER = """
import sys, time
from ptyxrf.driver.files.name_lock import locked
from ptyxrf.driver.files.scan_file import write_scan
with locked(sys.argv[1]):
    print(flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    write_scan(path, joint_scan(32, 8))
    return path


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of run.h5."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "run.h5"], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_until_the_first_ends(tmp_path, holder, monkeypatch):
    link = tmp_path / "link.h5"
    link.symlink_to("run.h5")
    for name in (tmp_path / "run.h5", link):
        message = rf"{name.name}: is the output of a run .*: process {holder.pid} on "
        with pytest.raises(UnwritableFile, match=message), locked(name, patience=0):
            pass
    with locked(tmp_path / "run"):  # another output
        pass
    monkeypatch.setattr(name_lock.socket, "gethostname", lambda: "elsewhere")
    monkeypatch.setattr(name_lock, "PATIENCE_ELSEWHERE", 0.0)
    told = r"run.h5: .* \(if that has crashed, delete \.ptyxrf-.*\.lock, its lock"
    with pytest.raises(UnwritableFile, match=told), locked(tmp_path / "run.h5"):
        pass
    holder.kill()  # which leaves the hidden file
    holder.wait()
    with locked(tmp_path / "run.h5"):
        with pytest.raises(UnwritableFile), locked(tmp_path / "run.h5", patience=0):  # of this process, too
            pass
        (hidden,) = [name for name in os.listdir(tmp_path) if name.endswith(".lock")]
        (tmp_path / hidden).unlink()  # as users do where a file server keeps the lock of a lost node
        with locked(tmp_path / "run.h5", patience=0):
            pass
    assert os.listdir(tmp_path) == ["link.h5"]


@pytest.mark.parametrize("code", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_told_once(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(getattr(errno, code), "no locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.warns(UserWarning, match=r"file system has no locks") as told,
        locked(tmp_path / "run.h5"),
        locked(tmp_path / "run.checkpoint.h5"),
    ):
        pass
    assert len(told) == 1
    assert not os.listdir(tmp_path)


NO_FLOCK = "#include <errno.h>\nint flock(int f, int o) { (void)f; (void)o; errno = ENOLCK; return -1; }\n"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler, which makes flock fail in HDF5, too")
def test_a_run_on_a_file_system_without_locks(tmp_path, scan_path):
    """Of every library: scan, result and checkpoint."""
    (tmp_path / "flock.c").write_text(NO_FLOCK)
    shared = tmp_path / "flock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shared, tmp_path / "flock.c"], check=True)
    words = f"reconstruct {scan_path} --out {tmp_path}/run.h5 --method ptychography --max-iterations 1"
    words += " --checkpoint-iterations 1 --no-report --quiet --force"
    run = subprocess.run(
        [sys.executable, "-m", "ptyxrf", *words.split()],
        env=os.environ | {"LD_PRELOAD": str(shared)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("has no locks") == 1
    assert ptyxrf.read_result(tmp_path / "run.h5").history
    assert sorted(os.listdir(tmp_path)) == ["flock.c", "flock.so", "run.h5"]


def test_a_run_is_refused_while_another_has_its_output(tmp_path, holder, monkeypatch, capsys, scan_path):
    monkeypatch.setattr(name_lock, "PATIENCE_HERE", 0.2)
    before = sorted(os.listdir(tmp_path))
    assert (
        main(["reconstruct", str(scan_path), "--out", str(tmp_path / "run.h5"), "--quiet", "--resume"]) == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert "run.h5: is the output of a run that has not ended" in line
    assert sorted(os.listdir(tmp_path)) == before


def test_a_checkpoint_has_one_run(tmp_path, holder, scan_path):
    """The checkpoint may be named like any file: here run.h5, which another process holds."""
    path = tmp_path / "run.h5"
    path.touch()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UnwritableFile, match="has not ended"):
        patch.setattr(name_lock, "PATIENCE_HERE", 0.0)
        ptyxrf.reconstruct(ptyxrf.read_scan(scan_path), "ptychography", max_iterations=1, checkpoint=path)
    remove_checkpoints(path)
    assert path.exists()
    holder.kill()
    holder.wait()
    remove_checkpoints(path)
    assert not path.exists()


def test_outputs_do_not_replace_files_of_other_kinds(tmp_path, scan_path, capsys):
    """A result a checkpoint, a checkpoint a result, nor one output the other."""
    run = ["reconstruct", str(scan_path), "--quiet", "--no-report", "--method", "ptychography"]
    run += ["--max-iterations", "1", "--no-sequential-first"]
    out = tmp_path / "run.h5"
    assert main([*run, "--out", str(out), "--keep-checkpoint", "--checkpoint-iterations", "1"]) == 0
    checkpoint = checkpoint_path(out)
    before = out.read_bytes(), checkpoint.read_bytes()
    for words, message in (
        (["--out", str(checkpoint)], f"{checkpoint}: is a checkpoint, and cannot be replaced by a result"),
        (["--out", str(tmp_path / "b.h5"), "--checkpoint", str(out)], f"{out}: is not a checkpoint"),
        (["--out", str(out), "--checkpoint", str(out)], f"{out}: is the name of two outputs"),
    ):
        capsys.readouterr()
        assert main([*run, *words]) == 2
        assert message in capsys.readouterr().err
    assert before == (out.read_bytes(), checkpoint.read_bytes())
    with h5py.File(out) as file:
        assert "entry_1/image_1" in file
