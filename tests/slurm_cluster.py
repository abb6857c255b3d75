"""A SLURM on this machine, started by slurm/local_cluster.sh, and commands for its jobs and nodes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "slurm"
LOCAL_CLUSTER = SCRIPTS / "local_cluster.sh"
TOOLS = ("slurmctld", "slurmd", "srun", "munged")

#: States of a job that has ended.
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}


def why_not() -> str:
    """Return why no cluster can be started here; empty if one can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "a cluster needs root"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    return f"a cluster needs {', '.join(missing)} (Debian: slurm-wlm, munge)" if missing else ""


class Cluster:
    """Runs SLURM's commands, in the folder to which jobs write."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment

    def run(self, *words: object, **variables: str) -> str:
        """Run a command to its end and return what it printed."""
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def submit(self, script: str, *words: object, **variables: str) -> str:
        """Submit one of our scripts with options of sbatch before its name; return the number of the job."""
        place = next((i for i, word in enumerate(words) if word == "--"), len(words))
        options, behind = words[:place], words[place + 1 :]
        return self.run(
            "sbatch", "--parsable", "--output=%j.log", *options, SCRIPTS / script, *behind, **variables
        ).strip()

    def facts(self, job: str) -> dict[str, str]:
        """Return what SLURM knows about a job."""
        return dict(re.findall(r"(\w+)=(\S*)", self.run("scontrol", "show", "job", "--oneliner", job)))

    def log(self, job: str) -> str:
        """Return the log of all runs of a job so far."""
        path = self.folder / f"{job}.log"
        return path.read_text() if path.exists() else ""

    def wait_for(self, job: str, what: Callable[[], object], seconds: float = 90) -> None:
        """Wait until a condition holds; raise if the job ends or the time is over before."""
        end = time.monotonic() + seconds
        while not what():
            state = self.facts(job)["JobState"]
            # the end of the job may just have fulfilled the condition
            assert state not in ENDED or what(), f"{state}\n{self.log(job)}"
            assert time.monotonic() < end, f"{state}\n{self.log(job)}"
            time.sleep(0.2)

    def ended(self, job: str, seconds: float = 300) -> dict[str, str]:
        """Wait for the end of a job and return the facts."""
        end = time.monotonic() + seconds
        while (facts := self.facts(job))["JobState"] not in ENDED:
            assert time.monotonic() < end, f"{facts}\n{self.log(job)}"
            time.sleep(0.2)
        return facts

    def lose(self, node: str) -> None:
        """Kill all processes of a node and mark it as down."""
        self.run(LOCAL_CLUSTER, "lose", node)

    def crash(self, node: str) -> None:
        """Kill all processes of a node without telling SLURM."""
        self.run(LOCAL_CLUSTER, "crash", node)

    def find_again(self, node: str) -> None:
        """Start a lost node."""
        self.run(LOCAL_CLUSTER, "find_again", node)


@contextmanager
def cluster(folder: Path, nodes: int, cpus: int, **variables: str) -> Iterator[Cluster]:
    """Start a cluster with its files in a folder; finally end it and all its processes."""
    environment = {
        # the tests may themselves run in a job of another cluster
        **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "PMI"))},
        "PTYXRF_CLUSTER": str(folder / "cluster"),
        **variables,
    }
    ours = Cluster(folder, environment)
    said = ours.run(LOCAL_CLUSTER, "start", nodes, cpus)
    environment["SLURM_CONF"] = said.strip().removeprefix("export SLURM_CONF=")
    try:
        yield ours
    finally:
        ours.run(LOCAL_CLUSTER, "stop")
