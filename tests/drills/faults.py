"""How a job ends when a rank, a file or a disk fails: `python tests/drills/faults.py` runs all drills.

Each drill starts a reconstruction that would go on for long, with a checkpoint after each iteration, lets one
thing go wrong, and tells how long the job lived on, with which code it ended, what was said and whether the
last checkpoint is whole.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.launch import launch, why_no_ranks
from hosts.network import ON_HOST, cut_off, network
from mpi_launch import MPIEXEC, ONE_THREAD

VICTIM = Path(__file__).with_name("victim.py")

#: Signals from outside, and their target (None: the launcher).
SIGNALS = {
    "kill -9": (signal.SIGKILL, 1),
    "stopped": (signal.SIGSTOP, 1),
    "Ctrl-C": (signal.SIGINT, None),
    "Ctrl-C in a rank": (signal.SIGINT, 1),
}
IN_THE_VICTIM = ("exception", "segfault", "memory", "stuck")
CHECKPOINTS = ("full disk, checkpoint", "full disk of one rank, checkpoint")
RESULTS = ("full disk", "full disk at once", "full disk of one rank", "stopped, writing")
FILES = (*RESULTS, *CHECKPOINTS, "scan shrinks", "scan disappears")
FAULTS = (*IN_THE_VICTIM, *SIGNALS, *FILES)

#: Needs a host for each rank, in network namespaces of this machine.
CUT_LINK = "cut link"
ALL_FAULTS = (*FAULTS, CUT_LINK)

#: Faults that only a watchdog detects.
WATCHED = ("stopped", "stuck", "stopped, writing", CUT_LINK)

#: Variable in the environment that marks the processes of a drill.
MARK = "PTYXRF_DRILL"

#: Content of an earlier result.
EARLIER = b"an earlier result\n"


@dataclass
class Outcome:
    """How a drill ended."""

    fault: str
    seconds: float
    code: int
    said: str
    ours: list[str] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    earlier_is_whole: bool = False
    checkpoint: int | None = None  # iteration of the newest intact one


def marked(mark: str) -> list[int]:
    """Return the processes that have a mark in their environment; zombies have none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def iteration_of_checkpoint(result: Path) -> int | None:
    """Return the iteration after which the newest whole checkpoint was taken."""
    from ptyxrf.driver.files.checkpoint_file import read_checkpoint
    from ptyxrf.driver.reconstruction.checkpoint import checkpoint_path, older_path

    newest = checkpoint_path(result)
    for path in (newest, older_path(newest)):
        if path.exists():
            with suppress(ValueError):
                return int(read_checkpoint(path).facts["iteration"])
    return None


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of 8 MB on a folder, if that is allowed; otherwise the victim limits its file size."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def drill(
    fault: str,
    scan: Path,
    *,
    launcher: list[str] = MPIEXEC,
    ranks: int = 3,
    victim: int | None = None,
    watchdog: float = 3.0,
    timeout: float = 120.0,
) -> Outcome:
    """Run one drill.

    Parameters
    ----------
    fault : str
        One of `ALL_FAULTS`; a link is always cut to the second rank.
    scan : Path
        Is copied.
    launcher : list of str
        mpiexec and its options.
    ranks : int
    victim : int, optional
        The rank in which it happens. Default: the second; where a disk is full, the first, which writes first
        (and, with MPI-IO on one host, for all).
    watchdog : float
        Seconds, where it is to bark; elsewhere its limit is the usual one, for machines may be busy.
    timeout : float
        Seconds after which the job counts as hung, and is killed.
    """
    mark = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="ptyxrf-drill-") as name:
        folder, out = Path(name), Path(name) / "out"
        out.mkdir()
        (folder / "scan.h5").write_bytes(scan.read_bytes())
        with small_disk(out), network(ranks) if fault == CUT_LINK else nullcontext() as hosts:
            (out / "result.h5").write_bytes(EARLIER)
            limit = watchdog if fault in WATCHED else 600
            words = command_line(fault, victim, folder, limit)
            command, environment = [*launcher, "-n", str(ranks), sys.executable, *words], None
            if hosts:
                command, environment = launch(hosts, 1, *words, timeout=timeout, launcher=launcher)
                command = [str(ON_HOST), hosts[0], shlex.join(command)]
            killer = threading.Timer(timeout, lambda: end(mark))
            killer.start()
            try:
                code, when, said = run(command, mark, fault, folder, environment)
            except BaseException:
                end(mark)
                raise
            finally:
                killer.cancel()
            ended = time.time()
            # a launcher may end shortly before the processes that it has killed
            grace = time.monotonic() + 2
            while (left := marked(mark)) and time.monotonic() < grace:
                time.sleep(0.02)
            end(mark)
            return Outcome(
                fault,
                ended - when,
                code,
                "".join(said),
                [line.rstrip("\n").replace(f"{folder}/", "") for line in said if is_ours(line)],
                left,
                [path.name for path in out.glob(".*.part")],
                (out / "result.h5").read_bytes() == EARLIER,
                iteration_of_checkpoint(out / "result.h5"),
            )


def command_line(fault: str, victim: int | None, folder: Path, watchdog: float) -> list[str]:
    """Return a reconstruction that runs long, or soon writes its result if that is to fail."""
    if victim is None:
        victim = 0 if "disk" in fault else 1
    short = fault in FILES and fault not in CHECKPOINTS
    words = [str(VICTIM), fault, str(victim), str(folder)]
    words += ["reconstruct", str(folder / "scan.h5"), "--out", str(folder / "out" / "result.h5")]
    words += ["--max-iterations", "2" if short else "1000000", "--watchdog-seconds", str(watchdog)]
    words += ["--checkpoint-iterations", "0" if short else "1"]
    return [*words, "--no-noise-stop", "--loss-tolerance", "0", "--gradient-tolerance", "0"]


def run(
    command: list[str], mark: str, fault: str, folder: Path, environment: dict[str, str] | None = None
) -> tuple[int, float, list[str]]:
    """Run a job with a fault; return its exit code, the time of the fault and the output."""
    said, when = [], 0.0
    with subprocess.Popen(
        command,
        env={**(environment or os.environ), **ONE_THREAD, MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as job:
        for line in job.stdout:
            if not line.startswith("iteration"):
                said.append(line)
            elif not when and fault not in FILES and int(line.split()[1]) >= 2:
                when = strike(fault, folder, job)
    if (folder / "when").exists():
        when = float((folder / "when").read_text())
    if not when:
        raise RuntimeError(f"{fault}: has not happened, the job ended before:\n{''.join(said)}")
    return job.returncode, when, said


def strike(fault: str, folder: Path, job: subprocess.Popen) -> float:
    """Trigger the fault and return its time."""
    when = time.time()
    if fault == CUT_LINK:
        cut_off("h2")
    elif fault in SIGNALS:
        number, rank = SIGNALS[fault]
        os.kill(job.pid if rank is None else int((folder / f"rank-{rank}").read_text()), number)
    else:
        (folder / "now").touch()
    return when


def is_ours(line: str) -> bool:
    """Whether a line tells how the job ends; that the fit of a run that was cut short is poor does not."""
    return line.startswith("ptyxrf:") and not line.startswith(("ptyxrf: warning:", "ptyxrf: compiling"))


def end(mark: str) -> None:
    for number in marked(mark):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def make_scan(path: Path) -> None:
    """Write a scan that is small but keeps several ranks busy."""
    from scans import joint_scan

    from ptyxrf.driver.files.scan_file import write_scan

    write_scan(path, joint_scan())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mpiexec", default=" ".join(MPIEXEC), help="the launcher with its options")
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--victim", type=int, help="the rank in which it happens, where it does so in one")
    parser.add_argument("--watchdog-seconds", type=float, default=3.0)
    parser.add_argument("--verbose", action="store_true", help="print all that was said")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"default: all ({', '.join(ALL_FAULTS)})")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left mounted
    if unknown := [fault for fault in options.faults if fault not in ALL_FAULTS]:
        parser.error(f"FAULT: expected {', '.join(ALL_FAULTS)}; got {unknown[0]}")
    print(
        "| fault | seconds to the end | code | our lines | message | checkpoint | left behind |\n"
        "|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as name:
        scan = Path(name) / "scan.h5"
        make_scan(scan)
        for fault in options.faults or ALL_FAULTS:
            launcher = options.mpiexec.split()
            if fault == CUT_LINK and (reason := why_no_ranks(launcher)):
                print(f"| {fault} | not tried: {reason} |")
                continue
            outcome = drill(
                fault,
                scan,
                launcher=launcher,
                ranks=options.ranks,
                victim=options.victim,
                watchdog=options.watchdog_seconds,
            )
            left = [f"{len(outcome.left)} processes"] if outcome.left else []
            left += outcome.parts + ([] if outcome.earlier_is_whole else ["no earlier result"])
            checkpoint = "whole" if outcome.checkpoint else "–"
            message = (outcome.ours or ["(the launcher's)"])[0]
            print(
                f"| {fault} | {outcome.seconds:.1f} | {outcome.code} | {len(outcome.ours)} | {message} "
                f"| {checkpoint} | {', '.join(left) or 'nothing'} |",
                flush=True,
            )
            if options.verbose:
                print(outcome.said, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
