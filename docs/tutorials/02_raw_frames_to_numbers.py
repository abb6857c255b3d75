"""
From raw frames to numbers with error bars
==========================================

A beamline leaves frames larger than the beam, with hot pixels and a gap, positions in micrometres that are not exact, counts of
the fluorescence, and no probe. This page goes from there to the mass of an element::

    ptyxrf prepare raw.h5 --size 64 --sensitivity foil.toml --out scan.h5
    ptyxrf reconstruct scan.h5 --refine-probe --refine-positions each --positions-from-iteration 5
"""

# %%
# The raw file
# ------------
# A simulation stands for the experiment, so that the truth is known in the end. Everything that is measured goes to one HDF5 file, as it
# would at a beamline: frames of 110 x 100 pixels with the beam off the middle, three hot pixels, a gap with the largest integer, positions
# that are off by half a pixel, and element counts at the positions.
import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np

import ptyxrf

truth = ptyxrf.simulate(
    n=144,
    m=64,
    per_side=10,
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
print(truth)
print("elements:", truth.element_names, " pixel of the object:", f"{truth.pixel_size * 1e9:.1f} nm")

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(1)
frames = np.zeros((truth.N, 110, 100), np.uint32)
frames[:, 25:89, 14:78] = truth.patterns
for row, column in ((40, 30), (60, 55), (100, 90)):
    frames[:, row, column] = 40_000
frames[:, 70:72] = 2**32 - 1
recorded = (truth.positions + rng.normal(0, 0.35, truth.positions.shape)) * truth.pixel_size

with h5py.File(folder / "raw.h5", "w") as file:
    file.create_dataset("entry/data/data", data=frames, chunks=(1, 110, 100), compression="gzip")
    for name, values in (("x", recorded[:, 1]), ("y", recorded[:, 0])):
        file[f"entry/scan/{name}"] = values * 1e6
        file[f"entry/scan/{name}"].attrs["units"] = "um"
    for name, value, unit in (
        ("energy", truth.geometry.energy / ptyxrf.JOULES_PER_KEV, "keV"),
        ("detector_distance", truth.geometry.distance, "m"),
        ("x_pixel_size", truth.geometry.detector_pixel * 1e6, "um"),
    ):
        file[f"entry/instrument/{name}"] = value
        file[f"entry/instrument/{name}"].attrs["units"] = unit
    file["entry/fluorescence/counts"] = np.asarray(truth.fluorescence)
    file["entry/fluorescence/element_names"] = np.array([name.encode() for name in truth.element_names])

# %%
# Prepare
# -------
# What `prepare` is not told it finds, and it says what it found. The sensitivities, in counts per photon and kg/m^2, come from a
# standard foil (``ptyxrf calibrate``); with names of elements and the photon energy they give the maps the unit kg/m^2.
prepared = ptyxrf.prepare(
    folder / "raw.h5",
    folder / "scan.h5",
    size=64,
    sensitivity=tuple(float(value) for value in truth.sensitivity),
    report=print,
)

# %%
# Look at the mean frame before anything else. The cross is the centre that was found, and masked pixels are white:
shown = np.where(prepared.mask, prepared.mean + 0.1, np.nan)
figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
ax.imshow(shown, norm="log", cmap="magma")
ax.plot(prepared.centre[1], prepared.centre[0], "c+", markersize=20)
ax.set_title("mean frame, masked pixels white")

# %%
# A blind start
# -------------
# Nobody measured the probe. `prepare` made a start of the mean pattern, whose defocus short reconstructions of some patterns chose, and
# says "to be refined". The positions are unknowns, too, as soon as object and probe are recognisable.
scan = ptyxrf.read_scan(folder / "scan.h5")
result = ptyxrf.reconstruct(
    scan, refine_probe=True, refine_positions="each", positions_from_iteration=5, max_sweeps=250
)
print(result.quality.verdict)
print(result.quality.link)

# %%
# The report shows object, maps, probe, misfits, and where the positions went.
ptyxrf.write_report(folder / "result.png", result, scan)
figure, ax = plt.subplots(figsize=(12, 10), layout="constrained")
ax.imshow(plt.imread(folder / "result.png"))
ax.axis("off")

# %%
# Numbers with error bars
# -----------------------
# The maps are areal densities in kg/m^2. A sum over an area, times the area of a pixel, is a mass. The specimen is known here; the grid of the
# prepared scan begins where its positions do.
pixel_area = scan.pixel_size**2
top, left = np.rint((truth.positions - scan.positions).mean(axis=0)).astype(int)
area = ptyxrf.illuminated_area(scan)


def masses(fit):
    """Mass of each element in the illuminated area, in femtograms."""
    return fit.elements[:, area].sum(axis=1) * pixel_area * 1e18


# %%
# `uncertainty` draws samples of what the data and their noise allow around the result: its error bars are those of every pixel, and
# ``of`` gives the error of whatever follows from the result. Four rough samples in single precision tell an error to a third within
# seconds, and the warning says so; for a paper leave the settings at their defaults. In a shell: ``ptyxrf uncertainty result.h5 scan.h5``.
errors = ptyxrf.uncertainty(
    result, scan, samples=4, tolerance=0.05, finish_iterations=5, max_products=150, precision="single"
)
print(errors.meaning)
mass = errors.of(masses)
for name, value, deviation, true in zip(
    scan.element_names, mass.value, mass.deviation, np.asarray(truth.truth["elements"]), strict=True
):
    known = true[top : top + scan.shape[0], left : left + scan.shape[1]][area].sum() * pixel_area * 1e18
    print(f"{name}: {value:.0f} ± {deviation:.0f} fg, true {known:.0f} fg")

# %%
# The bars are those of the counting noise and of the maps' prior. What the fit does not know adds to them: the error of the calibration,
# materials that fluorescence does not see, absorption of the fluorescence within the specimen.

# %%
# What of the recorded errors of the positions is left, in pixels (rms, without a common shift):
for name, positions in (("recorded", scan.positions), ("refined", result.positions)):
    difference = positions - truth.positions
    difference -= difference.mean(axis=0)
    print(f"{name}: {np.sqrt((difference**2).sum(axis=1).mean()):.2f}")

# %%
# How far to trust a map: the chi-square of its counts is near 1 if the model explains them, for each element.
for name, value in zip(scan.element_names, result.quality.chi_square, strict=True):
    print(f"{name}: {value:.2f}")
