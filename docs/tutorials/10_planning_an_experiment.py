"""
Planning an experiment
======================

How many photons, which step, which defocus? A simulation with the optics of the beamline answers before the beamtime: simulate what would be
measured, reconstruct it, compare with the truth.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import ptyxrf

common = {
    "n": 176,
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
# Photons
# -------
# The same scan with more and more photons in the mean pattern pixel:
photons = [3.0, 30.0, 300.0]
by_photons = [errors_of(ptyxrf.simulate(photons=count, per_side=10, **common)) for count in photons]
for count, (of_object, of_map) in zip(photons, by_photons, strict=True):
    print(f"{count:6.0f} photons a pixel: object {of_object:.2f}, map {of_map:.2f}")

# %%
# Overlap
# -------
# The same number of photons in all, spread over fewer or more positions: 6 x 6 and 12 x 12.
sides = [6, 12]
by_side = [
    errors_of(ptyxrf.simulate(photons=100.0 * (12 / side) ** 2, per_side=side, **common)) for side in sides
]
for side, (of_object, of_map) in zip(sides, by_side, strict=True):
    print(f"{side:2d} x {side:2d} positions: object {of_object:.2f}, map {of_map:.2f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
for ax, x, values, label in (
    (axes[0], photons, by_photons, "photons a pixel"),
    (axes[1], sides, by_side, "positions along a side"),
):
    for which, name in enumerate(("object", "map of the heaviest element")):
        ax.plot(x, [pair[which] for pair in values], "o-", label=name)
    ax.set(xlabel=label, ylabel="relative error", ylim=(0, None))
axes[0].set_xscale("log")
axes[0].legend()

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
