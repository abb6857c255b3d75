"""Files of each kind with every feature."""

import dataclasses
import math

import h5py
import numpy as np

from ptyxrf.driver.data.history import IterationRecord, Reason
from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.data.result import Result

DETECTOR = "/entry_1/instrument_1/detector_1"


def write_foreign(path, scan, probe="/entry_1/instrument_1/source_1/illumination", **changes):
    """Write what another program would: CXI and nothing else."""
    dx = scan.pixel_size
    values = {
        "/entry_1/data_1/data": scan.patterns,
        "/entry_1/data_1/translation": np.stack(
            [-scan.positions[:, 1] * dx, -scan.positions[:, 0] * dx, np.zeros(scan.N)], axis=1
        ),
        "/entry_1/instrument_1/source_1/energy": scan.geometry.energy,
        f"{DETECTOR}/distance": scan.geometry.distance,
        f"{DETECTOR}/x_pixel_size": scan.geometry.detector_pixel,
        f"{DETECTOR}/y_pixel_size": scan.geometry.detector_pixel,
        probe: scan.probe,
    } | changes
    with h5py.File(path, "w") as file:
        for name, value in values.items():
            if value is not None:
                file[name] = value


def write_maps(
    path, *, shape=(3, 4), x=None, y=None, scalers=("us_ic", "ELT1"), counts=None, unit=b"ug/cm^2"
):
    rng = np.random.default_rng(5)
    with h5py.File(path, "w") as file:
        group = file.create_group("MAPS")
        counts = rng.poisson(50, (3, *shape)) if counts is None else counts
        group["XRF_fits"] = counts.astype(float)
        group["XRF_roi"] = counts + 100.0
        group["channel_names"] = np.array([b"Fe", b"Cu", b"TFY"])
        group["channel_units"] = np.array([[unit, unit, b"cts/s"]] * 3)
        group["x_axis"] = np.arange(shape[1]) * 1e-3 if x is None else x
        group["y_axis"] = np.arange(shape[0]) * 1e-3 if y is None else y
        if scalers:
            group["scalers"] = 1 + rng.random((len(scalers), *shape))
            group["scaler_names"] = np.array([name.encode() for name in scalers])
            group["scaler_units"] = np.array([b"cts/s"] * len(scalers))
    return path


def example_result(elements=3, dtype=np.complex64, history=2, *, beam=True, fallback=False):
    rng = np.random.default_rng(3)
    real = np.dtype(dtype).type(0).real.dtype
    records = [
        IterationRecord(
            0, 12.5, gradient_norm=1 / 3, errors={"MSE raw": 0.5, "x/y": math.nan}, stage="joint"
        ),
        IterationRecord(1, 2.25, 1.5, 0.75, 0.1, 7, 8, 2, 10.5, 1.0, 0.25, "bound, é", {"MSE raw": 0.25}),
    ]
    records[1] = dataclasses.replace(records[1], stage="joint")
    before = example_result(elements, dtype, beam=beam) if fallback else None
    if before is not None:
        records_before = [dataclasses.replace(record, stage="ptychography") for record in before.history]
        before = before.replaced(method="ptychography", history=records_before, object=before.object - 1j)
    return Result(
        object=(rng.normal(size=(24, 23)) + 1j).astype(dtype),
        elements=rng.random((elements, 24, 23)).astype(real),
        probe=(rng.normal(size=(2, 12, 12)) + 2j).astype(dtype),
        history=records[:history],
        reason=Reason.LINE_SEARCH,
        method="joint",
        settings={"alpha": [1.5, 2.5], "name": "statistical", "bound": None, "steps": 3, "refine": False},
        predicted_fluorescence=rng.random((elements, 24, 23)) if elements else None,
        pattern_misfit=rng.random(12),
        positions=10 * rng.random((12, 2)) if beam else None,
        intensities=1 + rng.random(12) if beam else None,
        quality=example_quality(rng, elements if fallback else None),
        pattern_background=rng.random((12, 12)) if elements == 3 else None,
        fallback=before,
    )


def example_quality(rng, elements=None):
    """With what a joint fit says of its link where the elements are counted."""
    per_pixel = rng.random((12, 12))
    per_pixel[3, 4] = math.nan
    of_link = {}
    if elements is not None:
        of_link = {
            "chi_square": rng.random(elements),
            "freedom": 9 * rng.random(elements),
            "object_shift": 1.5,
            "link": "Wrong é.",
            "link_good": False,
        }
    return Quality(
        1.7, rng.random(12), per_pixel, 2.5, 0.03, "Poor fit: doubt the é.", False, distortion=2.5, **of_link
    )
