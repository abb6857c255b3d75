"""
First reconstruction
====================

A scan is simulated, reconstructed and looked at. The same takes two commands in a shell::

    ptyxrf simulate scan.h5 --elements 3 --link refractive --sampling scan
    ptyxrf reconstruct scan.h5
"""

# %%
# A scan
# ------
# A scan holds the diffraction patterns, the positions in pixels, a probe, and the fluorescence. `ptyxrf.read_scan` reads
# one from a file; here a simulation makes it: 144 positions, counts with their noise in both signals, and three elements of which one
# count was measured at each position.
import matplotlib.pyplot as plt
import numpy as np

import ptyxrf

scan = ptyxrf.simulate(
    n=176,
    m=64,
    per_side=12,
    elements=3,
    margin=3,
    dtype="float32",
    link="refractive",
    sampling="scan",
    fractional=True,
    jitter=0.15,
    photons=100.0,
    noise="counting",
    defocus=200e-6,
)
print(scan)

# %%
# What is in the scan, and does anything look wrong? `ptyxrf info` prints the same.
for finding in ptyxrf.inspect_scan(scan).findings:
    print(finding.level, "-", finding.text)

# %%
# Reconstruct it
# --------------
# By default the method follows from the data: with fluorescence a joint fit, which begins with ptychography alone and with the
# fluorescence alone. The probe becomes an unknown with ``refine_probe``.
result = ptyxrf.reconstruct(scan, refine_probe=True, max_sweeps=160)
print(result.quality.verdict)
print(result.quality.link)

# %%
# The verdict compares the misfit of the patterns with the noise of their counts: 1 means that the model explains the data. The
# second sentence says whether the maps and the object agree.
#
# Look at it
# ----------
# The object, an element map of the joint fit, and that of the fluorescence alone:
area = ptyxrf.illuminated_area(scan)
rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
strongest = int(np.argmax(scan.attenuation * result.elements.mean(axis=(1, 2))))
alone, joint = result.fallback.elements[strongest][box], result.elements[strongest][box]

figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
pictures = {
    f"{scan.element_names[strongest]}, fluorescence alone": alone,
    f"{scan.element_names[strongest]}, joint": joint,
    "object, phase (rad)": np.angle(result.object[box]),
}
for ax, (title, values) in zip(axes, pictures.items(), strict=True):
    colours = "cividis" if "phase" in title else "inferno"
    low, high = (
        np.percentile(values[area[box]], (1, 99)) if "phase" in title else (0, np.percentile(joint, 99.5))
    )
    figure.colorbar(ax.imshow(values, cmap=colours, vmin=low, vmax=high), ax=ax, shrink=0.8)
    ax.set(title=title, xticks=[], yticks=[])

# %%
# The truth of a simulation is known. Both maps against it, as errors relative to the true map over the illuminated area:
truth = np.asarray(scan.truth["elements"])[strongest]
for name, fit in (("fluorescence alone", result.fallback), ("joint", result)):
    difference = (fit.elements[strongest] - truth)[area]
    print(f"{name}: {np.linalg.norm(difference) / np.linalg.norm(truth[area]):.2f}")

# %%
# Keep it
# -------
# ``write_result`` writes one file with everything, ``write_report`` the picture that the command writes, too.
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
ptyxrf.write_result(folder / "result.h5", result, scan)
print(ptyxrf.read_result(folder / "result.h5"))

# %%
ptyxrf.write_report(folder / "result.png", result, scan)
figure, ax = plt.subplots(figsize=(12, 10), layout="constrained")
ax.imshow(plt.imread(folder / "result.png"))
ax.axis("off")

# %%
# Next: a scan from raw frames to numbers, or a bad scan mended.
