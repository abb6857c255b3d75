"""Maps as other programs write them, in the layouts of their documentation or code.

Counts are (elements, rows, columns); a function that takes axes has y and x in metres.
"""

import h5py
import numpy as np
import pytest

#: Elements of the detector over which rates are averaged.
DETECTORS = 4


def live_times(shape):
    return np.random.default_rng(8).uniform(0.05, 0.9, shape)


def maps_version_9(folder, counts, names, y, x, *, live=None):
    """Rates averaged over the detector, under a unit that says something else; channels of no element."""
    live = live_times(counts.shape[1:]) if live is None else live
    rates = np.concatenate([counts, counts.sum(axis=0, keepdims=True)]) / (DETECTORS * live)
    with h5py.File(folder / "maps9.h5", "w") as file:
        group = file.create_group("MAPS")
        group["XRF_fits"], group["XRF_roi"] = rates, rates
        group["channel_names"] = np.array([name.encode() for name in (*names, "TFY")])
        group["channel_units"] = np.array([[b"ug/cm^2"] * len(names) + [b"cts/s"]] * 3)
        group["x_axis"], group["y_axis"] = 1e3 * x, 1e3 * y
        group["scalers"] = np.stack([np.full(live.shape, 1e5), live])
        group["scaler_names"] = np.array([b"us_ic", b"ELT1"])
        group["scaler_units"] = np.array([b"cts/s", b"s"])
    return folder / "maps9.h5"


def maps_version_10(folder, counts, names, y, x, *, fitted=None, live=None):
    """Rates of fits and of regions, with the live time beside the spectra."""
    live = live_times(counts.shape[1:]) if live is None else live
    with h5py.File(folder / "maps10.h5", "w") as file:
        for name, values in (("NNLS", counts if fitted is None else fitted), ("ROI", counts)):
            group = file.create_group(f"MAPS/XRF_Analyzed/{name}")
            more = np.ones((1, *live.shape))
            group["Counts_Per_Sec"] = np.concatenate([values / (DETECTORS * live), more])
            group["Channel_Names"] = np.array([name.encode() for name in (*names, "Num_Iter")])
        file["MAPS/Scalers/Values"] = 1e5 * np.ones((1, *live.shape))
        file["MAPS/Scalers/Names"] = np.array([b"us_ic"])
        file["MAPS/Spectra/Elapsed_Livetime"] = live
        file["MAPS/Scan/x_axis"], file["MAPS/Scan/y_axis"] = 1e3 * x, 1e3 * y
    return folder / "maps10.h5"


def pyxrf(folder, areas, names, y, x, *, scalers=None):
    """Areas of fits of the summed detector; y and x on (rows, columns)."""
    with h5py.File(folder / "scan2D_7.h5", "w") as file:
        group = file.create_group("xrfmap")
        group["detsum/xrf_fit"] = areas
        group["detsum/xrf_fit_name"] = np.array([name.encode() for name in names], "S20")
        scalers = np.full((*areas.shape[1:], 2), 1e5) if scalers is None else scalers
        group["scalers/val"], group["scalers/name"] = scalers, np.array([b"i0", b"sclr1_ch4"])
        group["positions/pos"] = 1e6 * np.stack([x, y])
        group["positions/name"] = np.array([b"x_pos", b"y_pos"])
    return folder / "scan2D_7.h5"


def pymca(folder, areas, names, errors):
    """By PyMca's own writer; names such as Fe_K."""
    output = pytest.importorskip("PyMca5.PyMcaIO.OutputBuffer")
    buffer = output.OutputBuffer(
        outputDir=str(folder), outputRoot="fit", fileEntry="map", fileProcess="xrf_fit", h5=True, edf=False
    )
    with buffer.saveContext():
        for group, values in (("parameters", areas), ("uncertainties", errors)):
            for name, image in zip(names, values, strict=True):
                target = buffer.allocateMemory(
                    tuple(name.split("_")), group=group, shape=image.shape, dtype=np.float64
                )
                target[()] = image
        buffer.allocateMemory("constant", group="parameters", shape=areas.shape[1:], dtype=float)
    (path,) = folder.rglob("fit*.h5")
    return path
