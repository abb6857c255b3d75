"""
Planning an experiment
======================

How many photons, which step? A simulation with the optics of the beamline answers before the beamtime: the errors to be expected follow
from it, and reconstructions confirm the choice.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import ptyxrf

common = {
    "n": 128,
    "m": 64,
    "elements": 3,
    "margin": 3,
    "dtype": "float32",
    "link": "refractive",
    "sampling": "scan",
    "fractional": True,
    "jitter": 0.15,
    "noise": "counting",
    "defocus": 200e-6,
}


def errors_of(scan):
    """Error of the object, relative to its contrast, and of the map of the heaviest element, relative to the map."""
    result = ptyxrf.reconstruct(scan, refine_probe=True, max_sweeps=100)
    area = ptyxrf.illuminated_area(scan)
    truth, maps = np.asarray(scan.truth["object"]), np.asarray(scan.truth["elements"])
    aligned = ptyxrf.align(result.object, truth, area, blind=True)
    contrast = np.linalg.norm((truth - truth[area].mean())[area])
    heaviest = int(np.argmax(scan.attenuation))
    map_error = np.linalg.norm((result.elements - maps)[heaviest][area]) / np.linalg.norm(
        maps[heaviest][area]
    )
    return np.linalg.norm((aligned - truth)[area]) / contrast, map_error


# %%
# Step, dwell time, dose
# ----------------------
# `expected_errors` needs no reconstruction: the curvature of the loss at the truth says how far noise moves a fit. The scan is simulated
# once; each step makes another raster over the same specimen, and each dwell time scales the counts of both detectors. In a shell:
# ``ptyxrf plan scan.h5 --expected --step 6,12 --dwell 0.1,0.3,1 --picture errors.png``.
scan = ptyxrf.simulate(photons=30.0, step=12.0, per_side="fit", **common)
steps, dwells = (6.0, 12.0), (0.1, 0.3, 1.0)
found = ptyxrf.expected_errors(scan, step=steps, dwell=dwells, samples=4, precision="single")
for one in found.table:
    errors = ", ".join(f"{name} {error:.2g}" for name, error in one.errors.items())
    print(
        f"step {one.choice.step:g}, dwell {one.choice.dwell:g}, {one.choice.dose:.0f} photons a pixel: {errors}"
    )

# %%
# The error of the phase falls with the root of the dose. Those of the maps level off: there more time does not help, because the prior
# of the maps does not undo the width of the probe.
names = ["phase", *scan.element_names]
figure, axes = plt.subplots(1, len(names), figsize=(3 * len(names), 3.2), layout="constrained")
for ax, name in zip(axes, names, strict=True):
    for step in steps:
        points = [(one.choice.dose, one.errors[name]) for one in found.table if one.choice.step == step]
        ax.semilogx(*zip(*points, strict=True), "o-", label=f"step {step:g} pixels")
    unit = "rad" if name == "phase" else "relative to the map"
    ax.set(title=name, xlabel="dose (photons a pixel)", ylabel=f"expected error ({unit})")
    ax.set_ylim(0, 1.08 * ax.dataLim.ymax)
axes[0].legend(frameon=False)

# %%
# At the same dose both steps know the phase about as well: photons count, not positions, as long as the probes overlap.
#
# What else goes wrong
# --------------------
# These errors are those of a fit that finds its way. A reconstruction from another start, with a probe that is refined, tells whether it
# does:
for step in steps:
    choice = ptyxrf.simulate(photons=30.0, step=step, per_side="fit", **common)
    of_object, of_map = errors_of(choice)
    print(f"step {step:g}: object {of_object:.2f}, map of the heaviest element {of_map:.2f}")

# %%
# Resolution without a truth
# --------------------------
# With measured data there is no truth: ``ptyxrf compare --halves scan.h5`` reconstructs two halves of the positions and gives the resolution
# at which they agree.
#
# Time and memory
# ---------------
# What the reconstruction of the real scan will take, `make_plan` says of a problem that does not exist yet; here 100 x 100 positions of
# 256 x 256 pixels on 64 ranks. In a shell: ``ptyxrf plan --ranks 64`` with the numbers as flags.
grid = np.indices((100, 100)).reshape(2, -1).T * 12
size = ptyxrf.ProblemSize(
    corners=grid.astype(np.int64),
    m=256,
    grid=(1456, 1456),
    elements=3,
    sampling="scan",
    method="joint",
    fractional=True,
    refine_probe=True,
)
plan = ptyxrf.make_plan(size, ranks=64, nodes=1)
print(
    f"{plan.seconds.total:.2f} s a Hessian product, {plan.memory.max() / 1e9:.2f} GB a rank, efficiency {plan.efficiency:.2f}"
)
