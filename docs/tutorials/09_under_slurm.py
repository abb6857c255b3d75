"""
Under SLURM
===========

A job on a cluster ends when its time is over, or with a node that fails. The scripts in ``slurm/`` start a reconstruction over several nodes,
end it with a checkpoint shortly before the limit, requeue it and continue (:doc:`on a cluster </cluster>`)::

    sbatch --nodes=4 --ntasks-per-node=64 slurm/reconstruct.sbatch

This page does by hand what these scripts do, on two ranks of this machine.
"""

# %%
# How many nodes?
# ---------------
# The plan of a scan of 200 x 200 positions of 256 x 256 pixels. An efficiency of 1 is a speed that grows as the number of ranks; the memory
# is that of a rank. From a scan file: ``ptyxrf plan scan.h5 --ranks 256 --nodes 4``.
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import ptyxrf

corners = np.indices((200, 200)).reshape(2, -1).T * 12
size = ptyxrf.ProblemSize(
    corners=corners.astype(np.int64),
    m=256,
    grid=(2660, 2660),
    elements=3,
    sampling="scan",
    method="joint",
    fractional=True,
    refine_probe=True,
)
for nodes in (1, 4, 16):
    plan = ptyxrf.make_plan(size, ranks=64 * nodes, nodes=nodes)
    print(
        f"{nodes:2d} nodes: {plan.seconds.total:.2f} s a product, efficiency {plan.efficiency:.2f}, "
        f"{plan.memory.max() / 1e9:.2f} GB"
    )

# %%
# The limit is near
# -----------------
# The script starts its ranks with ``--resume``, the first time, too: without a checkpoint the run begins at the start. Some minutes before the
# limit SLURM tells the script (``#SBATCH --signal=B:USR2@180``), and the script sends TERM to the ranks. Here the signal comes after
# the first checkpoint.
folder = Path(tempfile.mkdtemp())
scan = ptyxrf.simulate(
    n=160, m=64, per_side=14, sampling="none", dtype="float32", noise="counting", photons=50.0
)
ptyxrf.write_scan(folder / "scan.h5", scan)
command = [
    sys.executable,
    "-m",
    "ptyxrf",
    "reconstruct",
    "scan.h5",
    "--out",
    "result.h5",
    "--resume",
    "--quiet",
]
command += ["--method", "ptychography", "--max-sweeps", "200", "--loss-tolerance", "0", "--ranks", "2"]
command += ["--checkpoint-iterations", "1"]

first = subprocess.Popen(command, cwd=folder)
while not (folder / "result.checkpoint.h5").exists() and first.poll() is None:
    time.sleep(0.05)
first.send_signal(signal.SIGTERM)
print("code", first.wait(), "result" if (folder / "result.h5").exists() else "no result yet")

# %%
# Code 75 says that a checkpoint is there and the work is not done: the script requeues the job. The next life runs the same command.
second = subprocess.run(command, cwd=folder, check=True)
result = ptyxrf.read_result(folder / "result.h5")
print("code", second.returncode, f"after {result.history[-1].sweeps:.0f} sweeps:", result.reason.value)
print("went on from iteration", *result.settings["resumed_after"])

# %%
# The losses of both lives are one curve, and the result is that of a run which nobody stopped.
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
iterations = [record.iteration for record in result.history]
ax.semilogy(iterations, [record.loss for record in result.history], "o-", markersize=3)
for iteration in result.settings["resumed_after"]:
    ax.axvline(iteration, color="0.6", linestyle="--")
ax.set(xlabel="iteration", ylabel="loss", title="stopped at the dashed line")

# %%
# Many scans
# ----------
# A line for each; the array runs them, and a last job lists those that failed, in a file that can be submitted as it is::
#
#     bash slurm/array.sbatch tasks.txt
lines = [f"scan-{number}.h5 --out result-{number}.h5 --refine-probe" for number in range(1, 4)]
(folder / "tasks.txt").write_text("\n".join(lines) + "\n")
print((folder / "tasks.txt").read_text())
