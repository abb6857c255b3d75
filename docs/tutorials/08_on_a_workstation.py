"""
On a workstation
================

A reconstruction uses one core for each rank. On a machine with several cores the command starts its ranks by itself::

    ptyxrf reconstruct scan.h5 --ranks auto          # a rank on each core
    mpiexec -n 8 ptyxrf reconstruct scan.h5          # the same by hand

In Python a script runs under ``mpiexec``, and every rank makes the same calls (:doc:`many ranks </parallel>`). Apart from rounding, the result
does not depend on their number.
"""

# %%
# Is it worth it?
# ---------------
# `ptyxrf plan` answers before anything runs: with too few positions a rank spends its time on messages.
import matplotlib.pyplot as plt

import ptyxrf

scan = ptyxrf.simulate(
    n=256, m=64, per_side=24, sampling="none", dtype="float32", noise="counting", photons=50.0
)
ranks = [1, 2, 4, 8, 16]
plans = [ptyxrf.make_plan(scan, ranks=count) for count in ranks]
for plan in plans:
    print(
        f"{plan.ranks:3d} ranks: {plan.one_rank.total / plan.seconds.total:5.1f} times as fast as one, "
        f"{plan.memory.max() / 1e6:.0f} MB a rank"
    )

figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.plot(ranks, [plan.one_rank.total / plan.seconds.total for plan in plans], "o-", label="plan")
ax.plot(ranks, ranks, "--", color="0.6", label="ideal")
ax.set(xlabel="ranks", ylabel="speed relative to one rank")
ax.legend()

# %%
# The constants of the plan are those of a typical machine; ``mpiexec -n 4 ptyxrf bench`` measures yours.
#
# Memory
# ------
# What the pass over the patterns keeps, `memory` says, and `precision` halves it. The settings in force stand in the result:
result = ptyxrf.reconstruct(scan, "ptychography", max_sweeps=40)
for name in ("precision", "memory", "solver"):
    print(name, "=", result.settings[name])

# %%
# Interrupted
# -----------
# The command writes checkpoints; Ctrl-C and a restart lose nothing::
#
#     ptyxrf reconstruct scan.h5 --resume
#
# In Python the same is two keywords:
import tempfile
from pathlib import Path

checkpoint = Path(tempfile.mkdtemp()) / "run.checkpoint.h5"
first = ptyxrf.reconstruct(
    scan, "ptychography", max_iterations=2, checkpoint=str(checkpoint), checkpoint_iterations=1
)
whole = ptyxrf.reconstruct(scan, "ptychography", max_iterations=4, checkpoint=str(checkpoint), resume=True)
print(f"after 2 iterations {first.loss:.4g}, resumed to 4: {whole.loss:.4g}")
