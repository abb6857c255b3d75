"""How tests start ranks: with the mpiexec of this environment, or with PTYXRF_MPIEXEC."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

BESIDE = Path(sys.executable).with_name("mpiexec")

#: The launcher and its options; empty where there is none.
MPIEXEC = os.environ.get("PTYXRF_MPIEXEC", "").split() or [
    word for word in (str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec"),) if word
]

#: Environment of processes that share the cores of this machine.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


def mpiexec(ranks, words, *, timeout, **options):
    """Run words on some ranks, one thread each, and return what came of it."""
    environment = {**os.environ, **ONE_THREAD, **options.pop("env", {})}
    return subprocess.run(
        [*MPIEXEC, "-n", str(ranks), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        **options,
    )
