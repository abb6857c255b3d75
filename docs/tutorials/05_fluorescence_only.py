"""
Fluorescence only
=================

Maps without patterns: the probe is known, from an earlier reconstruction, say, and the counts of each element are deconvolved with its
intensity, weighed by their own noise.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import ptyxrf

scan = ptyxrf.simulate(
    n=160,
    m=64,
    per_side=16,
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
result = ptyxrf.reconstruct(scan, "fluorescence")
print(result)

# %%
# The raster of counts, and the map on the grid of the object. The probe is wider than a step of the scan, so the map is sharper
# than the raster as far as the counts allow.
element = int(np.argmax(np.asarray(scan.fluorescence).mean(axis=1)))
counts = np.asarray(scan.fluorescence)[element].reshape(16, 16)
true_map = np.asarray(scan.truth["elements"])[element]
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, (title, values) in zip(
    axes,
    {
        f"{scan.element_names[element]}: counts at the positions": counts,
        "map": result.elements[element],
        "true map": true_map,
    }.items(),
    strict=True,
):
    figure.colorbar(ax.imshow(values, cmap="inferno"), ax=ax, shrink=0.8)
    ax.set(title=title, xticks=[], yticks=[])

# %%
# How smooth a map is, its counts decide: `fluorescence_prior` is found for each element, and the result keeps it.
print("strength of the prior:", result.settings["prior_used"])

# %%
# Without the prior the fit stops where noise explains the misfit of the counts. The error of both against the truth:
plain = ptyxrf.reconstruct(scan, "fluorescence", fluorescence_prior="none")
area = ptyxrf.illuminated_area(scan)
for name, fit in (("with the prior", result), ("without", plain)):
    difference = (fit.elements[element] - true_map)[area]
    print(f"{name}: {np.linalg.norm(difference) / np.linalg.norm(true_map[area]):.2f}")

# %%
# Lost counts are NaN and have no weight:
counts = np.array(scan.fluorescence, dtype=float)
counts[:, 40:44] = np.nan
holes = ptyxrf.Scan(
    scan.patterns,
    scan.positions,
    scan.probe,
    shape=scan.shape,
    fluorescence=counts,
    element_names=scan.element_names,
    attenuation=scan.attenuation,
    sensitivity=scan.sensitivity,
    geometry=scan.geometry,
)
print(ptyxrf.reconstruct(holes, "fluorescence"))
