"""
When the joint fit helps, and how a result says so
==================================================

One scan, three fits: with the right constants, with an attenuation in a wrong unit, and with the linear link on real contrast. The
result of each says whether to trust it. The page about :doc:`joint fits </joint>` has the figures behind it.
"""

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np

import ptyxrf

warnings.simplefilter(
    "ignore"
)  # wrong links are the subject here; the sentences below are those of the warnings

scan = ptyxrf.simulate(
    n=160,
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
area = ptyxrf.illuminated_area(scan)
true_maps = np.asarray(scan.truth["elements"])


def errors(fit):
    """Errors of the maps relative to the true ones, by element."""
    distance = np.linalg.norm((fit.elements - true_maps)[:, area], axis=1)
    ratios = distance / np.linalg.norm(true_maps[:, area], axis=1)
    return ", ".join(f"{name} {ratio:.2f}" for name, ratio in zip(scan.element_names, ratios, strict=True))


# %%
# Right constants
# ---------------
# The simulated specimen absorbs and delays the beam as its elements do. The joint maps are better than those of the fluorescence
# alone where the patterns see the element.
right = ptyxrf.reconstruct(scan, max_sweeps=160)
print(right.quality.link)
print("fluorescence alone", errors(right.fallback))
print("joint             ", errors(right))

# %%
# A wrong unit
# ------------
# The attenuation in cm^2/g beside maps in kg/m^2 is too large by a factor of ten:
wrong = ptyxrf.reconstruct(
    scan, link=ptyxrf.RefractiveLink(10 * scan.attenuation, scan.phase_shift), max_sweeps=160
)
print(wrong.quality.link)
print("joint             ", errors(wrong))

# %%
# ``result.trusted`` is the result itself, or what came before the joint fit where that is to be trusted:
print("trusted           ", errors(wrong.trusted))

# %%
# The linear link on real contrast
# --------------------------------
# The linear link holds for weak contrast only. This specimen delays the beam by more than a radian.
linear = ptyxrf.reconstruct(scan, link="linear", max_sweeps=160)
print(linear.quality.link)

# %%
# What right and wrong look like
# ------------------------------
strongest = int(np.argmax(scan.attenuation * true_maps.mean(axis=(1, 2))))
rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
figure, axes = plt.subplots(1, 4, figsize=(13, 3.6), layout="constrained")
shown = {
    "true": true_maps,
    "joint, right constants": right.elements,
    "joint, wrong unit": wrong.elements,
    "fluorescence alone": right.fallback.elements,
}
for ax, (title, maps) in zip(axes, shown.items(), strict=True):
    ax.imshow(maps[strongest][box], cmap="inferno", vmin=0, vmax=true_maps[strongest].max())
    ax.set(title=title, xticks=[], yticks=[])
