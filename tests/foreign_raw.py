"""Raw files as beamlines write them, in the layouts of their documentation or code.

Each function takes frames of a whole detector (`raw_sets`), the positions of the probe in pixels of the
object, and a folder, and returns the file. `beam` is its intensity at the first point and at the last.
"""

import h5py
import numpy as np
from raw_sets import DISTANCE, DX, ENERGY_KEV, GAP_ROWS, PIXEL


def micrometres(positions):
    return positions.T * DX * 1e6


def nanomax(frames, positions, folder, *, spectra=None, beam=(1.0, 1.2)):
    """NanoMAX: the frames are in a file of their own, to which the scan links by two names."""
    with h5py.File(folder / "scan_000008_eiger.hdf5", "w") as file:
        file["entry/instrument/eiger/data"] = frames
    path = folder / "000008.h5"
    with h5py.File(path, "w") as file:
        file["entry/instrument/Eiger/data"] = h5py.ExternalLink(
            "scan_000008_eiger.hdf5", "entry/instrument/eiger/data"
        )
        file["entry/measurement/eiger1m/frames"] = h5py.SoftLink("/entry/instrument/Eiger/data")
        y, x = micrometres(positions)
        file["entry/measurement/pseudo/x"], file["entry/measurement/pseudo/y"] = x, y
        file["entry/measurement/alba2/1"] = np.linspace(*beam, len(x))
        if spectra is not None:
            file["entry/measurement/xspress3/data"] = spectra
        file["entry/snapshot/energy"] = [1e3 * ENERGY_KEV]
    return path


def spectra_of(counts, lines_eV):
    """Return spectra (N, 2 elements of the detector, 1024 channels of 10 eV) with the counts of each line."""
    values = np.zeros((counts.shape[1], 2, 1024), np.uint32)
    for line, of_line in zip(lines_eV, counts, strict=True):
        channel = round(line / 10)
        values[:, 0, channel], values[:, 1, channel + 3] = of_line // 2, of_line - of_line // 2
    values[:, :, 40] = 10_000  # a line of something else
    return values


def nsls2_style_1(frames, positions, folder, *, counts=None, beam=(1.0, 1.2)):
    """Style 1 of NSLS-II: a stack, or with counts (2, N) the raster of the scan, ion chamber and maps."""
    y, x = micrometres(positions)
    side = round(len(x) ** 0.5)
    with h5py.File(folder / "scan_7_eiger1.h5", "w") as file:
        file["scan/scan_positions"] = np.stack([x, y])
        file["scan/energy"] = ENERGY_KEV
        if counts is None:
            file["diff_data/eiger1/det_images"] = frames
        else:
            file["diff_data/eiger1/raw_data"] = frames.reshape(side, side, *frames.shape[1:])
            file["diff_data/eiger1/Io"] = np.linspace(*beam, len(x)).reshape(side, side)
            file["xrf_roi_data/xrf_roi_array"] = counts.reshape(-1, side, side)
            file["xrf_roi_data/xrf_elem_names"] = np.array([b"Fe", b"Ca"])
    return folder / "scan_7_eiger1.h5"


def eiger_master(frames, folder, *, filters=None):
    """A master file of an Eiger detector and two files of frames, with a filter such as bitshuffle."""
    path, first = folder / "s_master.h5", 2 * len(frames) // 3
    with h5py.File(path, "w") as file:
        for number, part in enumerate((frames[:first], frames[first:]), 1):
            name = f"s_data_{number:06d}.h5"
            with h5py.File(folder / name, "w") as other:
                chunks = (1, *frames.shape[1:])
                other.create_dataset("entry/data/data", data=part, chunks=chunks, **filters or {})
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(name, "entry/data/data")
        mask = np.zeros(frames.shape[1:], np.uint32)
        mask[GAP_ROWS], mask[50, 40] = 1, 2
        values = {
            "detectorSpecific/photon_energy": (1e3 * ENERGY_KEV, "eV"), "detector_distance": (DISTANCE, "m"),
            "x_pixel_size": (PIXEL, "m"), "y_pixel_size": (PIXEL, "m"), "beam_center_x": (0.0, "pixel"),
            "detectorSpecific/pixel_mask": (mask, ""), "detectorSpecific/nimages": (len(frames), ""),
            "detectorSpecific/countrate_correction_count_cutoff": (29_000, ""),
        }  # fmt: skip
        for name, (value, unit) in values.items():
            dataset = file.create_dataset(f"entry/instrument/detector/{name}", data=value)
            if unit:
                dataset.attrs["units"] = np.bytes_(unit)
    return path


def table_of_positions(positions, folder):
    """A table of text whose columns say what they are."""
    np.savetxt(
        folder / "places.csv", micrometres(positions).T, header="y [um],x [um]", delimiter=",", comments=""
    )
    return folder / "places.csv"
