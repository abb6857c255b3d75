"""
A bad scan mended
=================

Hot pixels, a beam that is not in the middle, positions that run the wrong way and are not exact: each flaw is put in, shown with what it
does to the reconstruction, and mended.
"""

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np

import ptyxrf

warnings.simplefilter("ignore")  # bad scans are the subject; their findings are printed

good = ptyxrf.simulate(
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
area = ptyxrf.illuminated_area(good)
rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def scan_of(patterns=good.patterns, positions=good.positions, mask=None):
    """The scan with some of its data exchanged, without fluorescence."""
    return ptyxrf.Scan(
        np.asarray(patterns),
        positions,
        good.probe,
        shape=good.shape,
        mask=mask,
        count_scale=1.0,
        geometry=good.geometry,
    )


def reconstructed(scan, **settings):
    """Ptychography with the verdict printed."""
    result = ptyxrf.reconstruct(scan, "ptychography", max_sweeps=120, force=True, **settings)
    print(result.quality.verdict)
    return result


def show(**results):
    """The phase of each result over the same area."""
    axes = plt.subplots(1, len(results), figsize=(4 * len(results), 4), layout="constrained")[1]
    for ax, (title, result) in zip(axes, results.items(), strict=True):
        phase = np.angle(result.object * np.exp(-1j * np.angle(result.object[area].mean())))[box]
        ax.imshow(phase, cmap="cividis", vmin=-1, vmax=1)
        ax.set(title=title.replace("_", " "), xticks=[], yticks=[])


right = reconstructed(scan_of())

# %%
# Hot pixels
# ----------
# Two pixels of the detector count all the time. The verdict counts them and doubts the mask; the map of the misfit over the detector
# (`quality.per_pixel`) shows where they are.
patterns = np.array(good.patterns)
patterns[:, 20, 41] = patterns[:, 45, 12] = 3000
hot = reconstructed(scan_of(patterns))
worst = np.argsort(np.nan_to_num(hot.quality.per_pixel).ravel())[-2:]
print("worst pixels:", [tuple(map(int, np.unravel_index(place, (64, 64)))) for place in worst])

# %%
# A mask (True is good) takes them out; ``ptyxrf prepare`` finds such pixels on raw frames.
mask = np.ones((64, 64), bool)
mask.flat[worst] = False
masked = reconstructed(scan_of(patterns, mask=mask))
show(hot_pixels=hot, masked=masked, right=right)

# %%
# The centre
# ----------
# The zero frequency belongs at index m//2. Here the patterns are three pixels off, and the known probe no longer fits them. The
# centre of mass of the mean pattern tells the shift.
off_centre = scan_of(np.roll(good.patterns, (3, -2), axis=(1, 2)))
shifted = reconstructed(off_centre)
mean = np.asarray(off_centre.patterns).mean(axis=0)
centre = np.rint([np.average(np.arange(64), weights=mean.sum(axis=axis)) for axis in (1, 0)]).astype(int)
print("centre of mass at", centre)
mended = reconstructed(scan_of(np.roll(off_centre.patterns, 32 - centre, axis=(1, 2))))
show(three_pixels_off=shifted, centred=mended, right=right)

# %%
# The orientation
# ---------------
# Programs disagree about the signs of positions. With reversed columns every patch is put at the wrong place. ``ptyxrf info FILE
# --orientation`` and ``ptyxrf prepare`` try all eight ways.
reversed_columns = np.column_stack([good.positions[:, 0], good.positions[:, 1].max() - good.positions[:, 1]])
wrong_way = reconstructed(scan_of(positions=reversed_columns))
print(
    "losses:",
    {
        way: f"{reconstructed_loss:.0f}"
        for way, reconstructed_loss in (("reversed", wrong_way.loss), ("as it is", right.loss))
    },
)
show(columns_reversed=wrong_way, right=right)

# %%
# The positions
# -------------
# Positions that are a pixel off blur the object and leave a lattice of the scan in it. `refine_positions` makes them unknowns.
rng = np.random.default_rng(0)
recorded = good.positions + rng.normal(0, 1, good.positions.shape)
unrefined = reconstructed(scan_of(positions=recorded.clip(0)))
refined = reconstructed(scan_of(positions=recorded.clip(0)), refine_positions="each")
show(a_pixel_off=unrefined, refined=refined, right=right)

# %%
# Where they went: recorded and refined errors.
figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained", sharex=True, sharey=True)
for ax, (title, positions) in zip(
    axes, {"recorded": recorded, "refined": refined.positions}.items(), strict=True
):
    error = positions - good.positions
    error -= error.mean(axis=0)
    ax.quiver(
        good.positions[:, 1],
        good.positions[:, 0],
        error[:, 1],
        error[:, 0],
        angles="xy",
        scale_units="xy",
        scale=0.3,
    )
    ax.set(title=f"{title}: {np.sqrt((error**2).sum(axis=1).mean()):.2f} pixels off (rms)", aspect="equal")
axes[0].invert_yaxis()
