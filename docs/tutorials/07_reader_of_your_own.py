"""
A reader of your own
====================

A reader lets ``ptyxrf reconstruct`` and ``ptyxrf info`` read the files of your beamline as they are. It is an object with two functions,
which a package of yours announces by an entry point.
"""

# %%
# A file of the beamline
# ----------------------
import tempfile
from pathlib import Path

import h5py
import numpy as np

import ptyxrf
from ptyxrf.driver.files.readers.reader import MeasuredScan, Reader

simulated = ptyxrf.simulate(n=128, m=64, per_side=6, sampling="none", noise="counting", photons=50.0)
path = Path(tempfile.mkdtemp()) / "run_0001.h5"
with h5py.File(path, "w") as file:
    file["bl99/eiger"] = np.asarray(simulated.patterns, np.uint32)
    file["bl99/stage_um"] = simulated.positions[:, ::-1] * simulated.pixel_size * 1e6  # x, y
    file["bl99/energy_eV"] = simulated.geometry.energy / ptyxrf.JOULES_PER_KEV * 1e3
    file["bl99/distance_m"] = simulated.geometry.distance

# %%
# The reader
# ----------
# ``recognises`` looks at what is in the file, never at its name. ``reads`` returns SI units: positions of the beam on the specimen in
# metres, the pixel of the object, the photon energy in joules. Arrays that may be large are returned as datasets, which are read when they are
# needed.
DETECTOR_PIXEL = 75e-6


def recognises(reader):
    return reader.has("/bl99/eiger") and reader.has("/bl99/stage_um")


def reads(reader):
    patterns = reader.dataset("/bl99/eiger")
    x, y = reader.array("/bl99/stage_um").T * 1e-6
    energy = reader.number("/bl99/energy_eV") * 1e-3 * ptyxrf.JOULES_PER_KEV
    distance = reader.number("/bl99/distance_m")
    size = ptyxrf.Geometry(energy, distance, DETECTOR_PIXEL).pixel_size(patterns.shape[-1])
    return MeasuredScan(
        patterns=patterns[...],
        rows=y,
        columns=x,
        pixel_size=(size, size),
        energy=energy,
        distance=distance,
        detector_pixel=DETECTOR_PIXEL,
        arguments={"count_scale": 1.0},
    )


READER = Reader(
    "BL99", "the acquisition of beamline 99", "scan", "patterns, positions, geometry", recognises, reads
)

# %%
# Announce it
# -----------
# In the ``pyproject.toml`` of your package::
#
#     [project.entry-points."ptyxrf.readers"]
#     bl99 = "my_package.ptyxrf_reader:READER"
#
# After ``pip install`` of the package, ``ptyxrf formats`` lists it and every command reads the file. This page has no package to install, so it
# calls the reader as the library would:
from ptyxrf.driver.files.hdf5_reader import reading

with reading(path) as opened:
    assert READER.recognises(opened)
    measured = READER.reads(opened)
rows, columns = (values - values.min() for values in (measured.rows, measured.columns))
scan = ptyxrf.Scan(
    measured.patterns,
    np.column_stack([rows, columns]) / measured.pixel_size[0],
    geometry=ptyxrf.Geometry(measured.energy, measured.distance, measured.detector_pixel),
    **measured.arguments,
)
print(scan)
print("largest difference of positions:", float(np.abs(scan.positions - simulated.positions).max()), "pixels")

# %%
# A look at what came in: the mean pattern, whose centre belongs in the middle, and the positions.
import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
left.imshow(np.log1p(np.asarray(scan.patterns).mean(axis=0)), cmap="magma")
left.set(title="mean pattern (logarithm)", xticks=[], yticks=[])
right.plot(*scan.positions.T[::-1], ".-", linewidth=0.5)
right.set(title="positions (pixels)", aspect="equal")
right.invert_yaxis()
