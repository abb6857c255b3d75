"""Small scans for the tests of files."""

import re

import h5py
import numpy as np
import pytest

from ptyxrf.driver.data.geometry import JOULES_PER_KEV, Geometry
from ptyxrf.driver.data.scan import Scan

GEOMETRY = Geometry(8.8 * JOULES_PER_KEV, 1.95, 75e-6)
FIELDS = [
    "positions",
    "probe",
    "shape",
    "fluorescence",
    "attenuation",
    "mask",
    "exposure",
    "sensitivity",
    "pattern_background",
    "fluorescence_exposure",
    "background",
    "count_scale",
    "fluorescence_count_scale",
]


def example_scan(
    *, modes=1, sampling="grid", mask=None, geometry=GEOMETRY, dtype=np.uint16, m=12, truth=True
):
    rng = np.random.default_rng(7)
    positions = np.array([(3.3 * i, 2.1 * j) for i in range(3) for j in range(4)]) + 0.17
    count = len(positions)
    shape = (24, 23)
    extra = {}
    if sampling is not None:
        maps = rng.poisson(30.0, (3, *shape) if sampling == "grid" else (3, count)).astype(float)
        maps[2] = np.nan
        extra = {
            "fluorescence": maps,
            "element_names": ["Fe", "Cu/Kα", "light"],
            "attenuation": [0.1, 1 / 3, -2.0],
            "sensitivity": [1.0, 2.0, 3.0],
            "background": [0.0, 0.5, 0.1],
            "fluorescence_count_scale": [1.0, 0.7, 1.0],
            "blur": "correlation",
        }
        if sampling == "scan":
            extra["fluorescence_exposure"] = 1 + 0.1 * rng.random(count)
    if mask is not None:
        extra["mask"] = rng.random((m, m) if mask == 2 else (count, m, m)) > 0.1
        extra["pattern_background"] = rng.random((m, m))
    elements = rng.random((3 if sampling else 0, *shape))
    probe = rng.normal(size=(modes, m, m)) + 1j * rng.normal(size=(modes, m, m))
    return Scan(
        rng.poisson(9.0, (count, m, m)).astype(dtype),
        positions,
        probe.astype(np.complex64),
        shape=shape,
        exposure=1 + 0.1 * rng.random(count),
        count_scale=rng.random(count),
        geometry=geometry,
        units="photons",
        title="a scan of µm",
        truth={"object": np.exp(1j * rng.random(shape)), "elements": elements, "probe": probe}
        if truth
        else None,
        **extra,
    )


def same_array(first, second):
    if first is None or second is None:
        return first is second
    first, second = np.asarray(first), np.asarray(second)
    return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind in "fc")


def default_dataset(file):
    """Follow the attributes default and signal as viewers do."""
    group = file
    while "default" in group.attrs:
        group = group[group.attrs["default"]]
    assert group.attrs["NX_class"] == "NXdata"
    return group[group.attrs["signal"]]


def assert_lost_datasets_are_named(path, read, unread):
    """Delete each dataset in turn, but for those of the names in `unread`: reading has to name it."""
    whole = path.read_bytes()
    names = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    lost = [name for name in names if name.split("/")[-1] not in unread.split()]
    assert len(lost) > 20
    for name in lost:
        path.write_bytes(whole)
        with h5py.File(path, "a") as file:
            del file[name]
        with pytest.raises(ValueError, match=rf"{re.escape(path.name)}: /{name}: no such dataset"):
            read(path)
