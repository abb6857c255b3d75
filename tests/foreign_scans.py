"""Scans as other programs write them, in the layouts of their documentation or code.

Each function takes a scan with geometry and an empty folder, and returns the file that a user would name and
which patterns of the scan it has, in their order.
"""

import h5py
import numpy as np
from file_examples import DETECTOR, write_foreign

KEV = 1.602176634e-16


def metres(scan):
    """Return y and x of the probe in metres, from an origin of its own."""
    return (scan.positions.T + np.array([[3.0], [-7.0]])) * scan.pixel_size


def two_bad_pixels(m):
    bad = np.zeros((m, m), bool)
    bad[3:5, 7] = True
    return bad


def ptychodus(scan, folder):
    """A product in HDF5, whose positions name patterns of another file by their number."""
    y, x = metres(scan)
    with h5py.File(folder / "product.h5", "w") as file:
        file.attrs["probe_energy_eV"] = 1e3 * scan.geometry.energy / KEV
        file.attrs["detector_object_distance_m"] = scan.geometry.distance
        order = np.random.default_rng(1).permutation(scan.N)
        file["probe_position_indexes"] = np.append(order, 999)  # a position whose pattern was not kept
        file["probe_position_x_m"], file["probe_position_y_m"] = (
            np.append(x[order], 0),
            np.append(y[order], 0),
        )
        file["probe"] = scan.probe[None]
        file["object"] = np.ones((1, 30, 30), complex)
        for name in ("pixel_width_m", "pixel_height_m"):
            file["object"].attrs[name] = scan.pixel_size
    with h5py.File(folder / "patterns.h5", "w") as file:
        file["dp"] = scan.patterns
    return folder / "product.h5", order


def npz_product(scan, folder):
    """A product and its patterns as ptychodus writes them to NPZ: some patterns were not kept."""
    y, x = metres(scan)
    order = np.random.default_rng(2).permutation(scan.N)
    np.savez(
        folder / "product.npz", name="scan", comments="", far_field=True, loss_values=[], loss_epochs=[],
        detector_object_distance_m=scan.geometry.distance, photon_energy_eV=1e3 * scan.geometry.energy / KEV,
        probe_position_indexes=np.arange(scan.N), probe_position_x_m=x, probe_position_y_m=y,
        probe=scan.probe[None], probe_pixel_width_m=scan.pixel_size, probe_pixel_height_m=scan.pixel_size,
        object=np.ones((1, 30, 30), complex), object_center_x_m=0.0, object_center_y_m=0.0,
        object_pixel_width_m=scan.pixel_size, object_pixel_height_m=scan.pixel_size,
    )  # fmt: skip
    kept = order[:-3]
    np.savez(
        folder / "patterns.npz", patterns=scan.patterns[kept], indexes=kept, bad_pixels=two_bad_pixels(scan.m)
    )
    return folder / "product.npz", np.sort(kept)


def ptychodus_cxi(scan, folder):
    """A product in CXI, and its patterns beside it: a position has none."""
    y, x = metres(scan)
    order = np.random.default_rng(1).permutation(scan.N)
    places = np.stack([x[order], y[order], 0 * x], axis=1)
    with h5py.File(folder / "product.cxi", "w") as file:
        file["cxi_version"] = 160
        file["entry_1/sample_1/geometry_1/translation"] = np.append(places, [[0, 0, 0]], axis=0)
        file["entry_1/ptychodus/probe_position_indexes"] = np.append(order, 999)
        for side in ("height", "width"):
            file[f"entry_1/ptychodus/object_pixel_{side}_m"] = scan.pixel_size
        file["entry_1/image_1/data"] = scan.probe[None]
        file["entry_1/instrument_1/source_1/energy"] = scan.geometry.energy
        file[f"{DETECTOR}/distance"] = scan.geometry.distance
    with h5py.File(folder / "diffraction.cxi", "w") as file:
        file["cxi_version"] = 160
        file.create_dataset(f"{DETECTOR}/data", data=scan.patterns, compression="lzf")
        file[f"{DETECTOR}/mask"] = two_bad_pixels(scan.m).astype(np.uint32)
    return folder / "product.cxi", order


def ptychi(scan, folder):
    """A pair without geometry, given by the file of the patterns; another scan lies beside it."""
    y, x = metres(scan)
    for name in ("scan7", "scan8"):
        with h5py.File(folder / f"{name}_ptychodus_dp.hdf5", "w") as file:
            file["dp"] = scan.patterns if name == "scan7" else scan.patterns[::-1]
        with h5py.File(folder / f"{name}_ptychodus_para.hdf5", "w") as file:
            file["probe"] = scan.probe
            file["probe_position_x_m"], file["probe_position_y_m"] = x, y
            file["object"] = np.ones((30, 30), complex)
            file["object"].attrs["pixel_height_m"] = scan.pixel_size
    return folder / "scan7_ptychodus_dp.hdf5", np.arange(scan.N)


def fold_slice(scan, folder):
    """A pair as the preprocessing of fold_slice writes it; MATLAB's vectors have two axes."""
    y, x = metres(scan)
    with h5py.File(folder / "data_roi0_Ndp12_dp.hdf5", "w") as file:
        file["dp"] = scan.patterns
    with h5py.File(folder / "data_roi0_Ndp12_para.hdf5", "w") as file:
        file["ppX"], file["ppY"] = x[None], y[None]
        file["lambda"], file["dx"], file["angle"] = scan.geometry.wavelength, scan.pixel_size, 0.0
    return folder / "data_roi0_Ndp12_para.hdf5", np.arange(scan.N)


def hxn_numbers(scan):
    return {
        "lambda_nm": 1e9 * scan.geometry.wavelength, "z_m": scan.geometry.distance,
        "ccd_pixel_um": 1e6 * scan.geometry.detector_pixel, "angle": 30.0,
    }  # fmt: skip


def hxn_old(scan, folder):
    """Amplitudes with the zero frequency at the corner, and positions of the sample."""
    y, x = metres(scan)
    with h5py.File(folder / "scan_1.h5", "w") as file:
        file["diffamp"] = np.fft.ifftshift(np.sqrt(scan.patterns.astype(np.float32)), axes=(1, 2))
        file["points"] = np.stack([-1e6 * x / np.cos(np.pi / 6), -1e6 * y])
        for name, value in hxn_numbers(scan).items():
            file[name] = value
    return folder / "scan_1.h5", np.arange(scan.N)


def hxn_new(scan, folder):
    """Counts, with the signs of the positions beside them."""
    y, x = metres(scan)
    with h5py.File(folder / "scan_2.h5", "w") as file:
        file["dp"] = scan.patterns.astype(np.float32)
        file["points"] = np.stack([1e6 * x / np.cos(np.pi / 6), -1e6 * y])
        file.attrs.update(hxn_numbers(scan) | {"x_direction": 1.0, "y_direction": -1.0})
    return folder / "scan_2.h5", np.arange(scan.N)


def ptyd(scan, folder):
    """Three chunks with weights."""
    y, x = metres(scan)
    with h5py.File(folder / "scan.ptyd", "w") as file:
        file["meta/energy"], file["meta/distance"] = scan.geometry.energy / KEV, scan.geometry.distance
        file["meta/psize"] = [scan.geometry.detector_pixel] * 2
        for i, chosen in enumerate(np.array_split(np.arange(scan.N), 3)):
            file[f"chunks/{i}/data"], file[f"chunks/{i}/indices"] = scan.patterns[chosen], chosen
            file[f"chunks/{i}/positions"] = np.stack([y, x], axis=1)[chosen]
            good = ~two_bad_pixels(scan.m)
            file[f"chunks/{i}/weights"] = np.broadcast_to(good, (len(chosen), *good.shape)).astype("f4")
    return folder / "scan.ptyd", np.arange(scan.N)


def cxi(scan, folder):
    """Patterns, translations, geometry and a probe, without basis vectors."""
    write_foreign(folder / "scan.cxi", scan)
    return folder / "scan.cxi", np.arange(scan.N)


def nexus_raster(scan, folder):
    """NXcxi_ptycho of a square raster: two axes of the scan, units, a monitor and no probe."""
    y, x = -metres(scan)
    side = round(scan.N**0.5)
    with h5py.File(folder / "scan.nxs", "w") as file:
        patterns = np.asarray(scan.patterns).reshape(side, side, scan.m, scan.m)
        file.create_dataset("entry_1/instrument_1/detector_1/data", data=patterns, compression="gzip")
        for group in ("entry_1/data", "entry_1/data_1"):
            file[f"{group}/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
        file["entry_1/instrument_1/monitor/data"] = np.ones((side, side))
        geometry = scan.geometry
        for name, value, unit in (
            ("entry_1/data/x", 1e6 * x.reshape(side, side), "um"),
            ("entry_1/data/y", 1e6 * y.reshape(side, side), "um"),
            ("entry_1/instrument_1/beam_1/energy", geometry.energy / KEV, "keV"),
            (f"{DETECTOR}/distance", 1e3 * geometry.distance, "mm"),
            (f"{DETECTOR}/x_pixel_size", 1e6 * geometry.detector_pixel, "um"),
            (f"{DETECTOR}/y_pixel_size", 1e6 * geometry.detector_pixel, "um"),
        ):
            file[name] = value
            file[name].attrs["units"] = unit
    return folder / "scan.nxs", np.arange(scan.N)
