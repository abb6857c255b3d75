"""How mpiexec starts ranks on hosts of this machine, MPICH's or Open MPI's."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence

from hosts.network import ON_HOST, why_not
from mpi_launch import MPIEXEC, ONE_THREAD


@functools.cache
def kind(command: str) -> str:
    """Return the MPI of a launcher, MPICH or Open MPI; empty for others."""
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60)
    names = {"hydra": "MPICH", "open mpi": "Open MPI"}
    return next((name for word, name in names.items() if word in done.stdout.lower()), "")


def why_no_ranks(launcher: Sequence[str] = MPIEXEC) -> str:
    """Return why ranks cannot run on hosts of this machine; empty if they can."""
    if not launcher:
        return "no mpiexec beside this Python nor on the PATH"
    if not kind(launcher[0]):
        return f"{launcher[0]} is neither MPICH's hydra nor Open MPI's"
    return why_not()


def launch(
    hosts: list[str], per_host: int, *words: object, timeout: float, launcher: Sequence[str] = MPIEXEC
) -> tuple[list[str], dict[str, str]]:
    """Return how to run Python on some ranks of each host, one thread each, and with which environment.

    The launcher has to be run on the first host. After the timeout it ends the job itself, and says so.
    """
    environment = {**os.environ, **ONE_THREAD}
    if kind(launcher[0]) == "MPICH":
        options = ["-launcher", "ssh", "-launcher-exec", ON_HOST, "-hosts", ",".join(hosts), "-ppn", per_host]
        environment["MPIEXEC_TIMEOUT"] = f"{timeout:.0f}"
    else:
        options = ["--host", ",".join(f"{host}:{per_host}" for host in hosts), "--timeout", f"{timeout:.0f}"]
        options += ["--map-by", f"ppr:{per_host}:node", "--bind-to", "none"]
        environment |= {"PRTE_MCA_plm_ssh_agent": str(ON_HOST), "OMPI_MCA_plm_rsh_agent": str(ON_HOST)}
        # a launcher that oversubscribes may put all ranks on the first host
        environment.pop("PRTE_MCA_rmaps_default_mapping_policy", None)
    command = [*launcher, *options, "-n", per_host * len(hosts), sys.executable, *words]
    return [str(word) for word in command], environment
