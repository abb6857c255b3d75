"""Raw data as beamlines leave them, made by a small simulator of its own, with the truth."""

from dataclasses import dataclass

import h5py
import numpy as np
import xraydb

from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.data.scan import Scan

M = 48
ENERGY_KEV, DISTANCE, PIXEL = 8.0, 1.5, 75e-6
GEOMETRY = Geometry.from_keV(ENERGY_KEV, DISTANCE, PIXEL)
DX = GEOMETRY.pixel_size(M)
#: Where the beam meets the detector, a raw frame, and bad pixels of it.
CENTRE, FRAME = (49, 41), (92, 84)
HOT = ((20, 17), (52, 44), (60, 33))
GAP_ROWS = slice(66, 68)
DARK = (5, 17)
#: What fluoresces, with its density in g/cm^3, and the most of each in kg/m^2.
ELEMENTS = {"Fe": 7.874, "Ca": 1.55}
MOST = 5e-3


@dataclass
class Truth:
    """A scan as it would be with a perfect detector, and what was measured.

    Where it has elements, counts (2, N) are what a detector with a sensitivity of 1 has of them.
    """

    object: np.ndarray
    probe: np.ndarray
    positions: np.ndarray
    patterns: np.ndarray
    elements: np.ndarray | None = None
    counts: np.ndarray | None = None

    def perfect(self, probe=None, **more):
        """Return the scan of all positions, without flaws."""
        return Scan(
            self.patterns.astype(np.float32),
            self.positions,
            self.probe if probe is None else probe,
            shape=self.object.shape,
            geometry=GEOMETRY,
            count_scale=1.0,
            **more,
        )


def made_probe(counts, defocus=2.2):
    """Return the defocused spot of an annular pupil with a slightly uneven intensity."""
    rows, columns = np.indices((M, M)) - M // 2
    radius = np.hypot(rows, columns)
    pupil = ((radius < 11) & (radius > 3)) * (1 + 0.02 * rows - 0.03 * columns)
    field = pupil * np.exp(-1j * defocus * (radius / 5) ** 2)
    probe = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(field), norm="ortho"))
    return probe * np.sqrt(counts / np.sum(abs(probe) ** 2))


def smooth_fields(count, shape, rng):
    """Return random fields of unit deviation with details of a few pixels."""
    noise = np.fft.fft2(rng.standard_normal((count, *shape)))
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij"))
    smooth = np.fft.ifft2(noise * np.exp(-((frequency / 0.08) ** 2))).real
    return smooth / smooth.std(axis=(1, 2), keepdims=True)


def made_object(shape, rng):
    """Return a weak object with details of a few pixels."""
    absorption, phase = smooth_fields(2, shape, rng)
    return np.exp(-0.05 * (absorption + 2).clip(0)) * np.exp(0.4j * phase)


def made_elements(shape, rng):
    """Return areal densities of two elements in kg/m^2, and their object in a matrix that delays the beam."""
    *maps, matrix = smooth_fields(3, shape, rng)
    elements = MOST * (np.array(maps) / 3).clip(0, 1)
    exponent = -0.4j * matrix
    for (name, density), areal in zip(ELEMENTS.items(), elements, strict=True):
        delta, beta, _ = xraydb.xray_delta_beta(name, density, 1e3 * ENERGY_KEV)
        thickness = areal / (1e3 * density)
        exponent = exponent - 2 * np.pi / GEOMETRY.wavelength * (beta + 1j * delta) * thickness
    return elements, np.exp(exponent)


def made_truth(per_side=9, step=5.3, counts=2e5, seed=0, *, fluorescence=False):
    """Return a jittered raster scan."""
    rng = np.random.default_rng(seed)
    grid = np.indices((per_side, per_side)).reshape(2, -1).T * step
    positions = grid + rng.uniform(-1.2, 1.2, grid.shape)
    positions -= positions.min(axis=0)
    shape = tuple(int(np.ceil(extent)) + M + 1 for extent in positions.max(axis=0))
    elements, field = made_elements(shape, rng) if fluorescence else (None, made_object(shape, rng))
    probe = made_probe(counts)
    spectrum, frequency = np.fft.fft2(probe), np.fft.fftfreq(M)
    patterns, emitted = [], []
    for row, column in positions:
        top, left = int(row), int(column)
        turn = np.exp(-2j * np.pi * (frequency[:, None] * (row - top) + frequency * (column - left)))
        light, window = np.fft.ifft2(spectrum * turn), np.s_[..., top : top + M, left : left + M]
        wave = light * field[window]
        intensity = abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(wave), norm="ortho"))) ** 2
        patterns.append(rng.poisson(intensity))
        if fluorescence:
            emitted.append(rng.poisson((abs(light) ** 2 * elements[window]).sum(axis=(1, 2))))
    return Truth(
        field, probe, positions, np.array(patterns), elements, np.array(emitted).T if emitted else None
    )


def raw_frames(patterns, dtype, gap):
    """Return patterns on larger frames, off-centre, with hot pixels and a gap."""
    frames = np.zeros((len(patterns), *FRAME), dtype)
    top, left = CENTRE[0] - M // 2, CENTRE[1] - M // 2
    frames[:, top : top + M, left : left + M] = patterns
    for k, (row, column) in enumerate(HOT):
        frames[:, row, column] = 30_000 + 1000 * k + np.arange(len(frames)) % 7
    if gap is not None:
        frames[:, GAP_ROWS] = gap
    return frames


def with_dark(frames, positions):
    """Return frames and positions with dark frames put in between, at repeated positions."""
    for place in DARK:
        frames = np.insert(frames, place, 0, axis=0)
        positions = np.insert(positions, place, positions[place], axis=0)
    return frames, positions


def hdf5_in_micrometres(path, truth):
    """Write gaps of 2^32 - 1, x and y in um, keV, mm, a probe: as NeXus files are."""
    frames, positions = with_dark(raw_frames(truth.patterns, np.uint32, 2**32 - 1), truth.positions)
    metres = positions * DX + 3e-5
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=frames, chunks=(1, *FRAME), compression="gzip")
        for name, values in (("x", metres[:, 1]), ("y", metres[:, 0])):
            file[f"entry/scan/{name}"] = values * 1e6
            file[f"entry/scan/{name}"].attrs["units"] = "um"
        for name, value, unit in (("energy", ENERGY_KEV, "keV"), ("detector_distance", DISTANCE * 1e3, "mm"),
                                  ("x_pixel_size", PIXEL * 1e6, "um")):  # fmt: skip
            file[f"entry/instrument/{name}"] = value
            file[f"entry/instrument/{name}"].attrs["units"] = unit
        file["entry/probe"] = truth.probe


def npz_without_units(path, truth):
    """Write gaps of -1, positions (N, 2), all in the units of habit and none of them named; no probe."""
    np.savez(
        path,
        frames=raw_frames(truth.patterns, np.int32, -1),
        positions=truth.positions * DX * 1e6,
        energy=ENERGY_KEV,
        distance=DISTANCE,
        pixel_size=PIXEL * 1e6,
    )


def two_files_with_fluorescence(path, table, truth):
    """Write frames at the corner, a mask of good pixels, counts of two elements, a table of positions."""
    frames = raw_frames(truth.patterns, np.uint16, None)
    # a corner-centred detector is as large as its pattern
    rows, columns = ((np.arange(64) + c - 32) for c in CENTRE)
    frames = frames[:, rows][:, :, columns]
    good = frames[:3].max(axis=0) < 25_000
    counts, names = truth.counts, ELEMENTS
    if counts is None:
        weight, names = truth.positions.sum(axis=1), ("Fe", "Cu")
        counts = np.rint(np.stack([weight, 2 * weight[::-1]]))
    with h5py.File(path, "w") as file:
        file["measurement/eiger"] = np.fft.ifftshift(frames, axes=(1, 2))
        file["measurement/good_pixels"] = np.fft.ifftshift(good).astype(np.uint8)
        file["fluorescence/counts"] = counts
        file["fluorescence/element_names"] = np.array([name.encode() for name in names])
        file["measurement"].attrs["photon_energy_eV"] = ENERGY_KEV * 1e3
        file["measurement"].attrs["detector_distance_m"] = DISTANCE
        file["measurement"].attrs["detector_pixel_size_m"] = PIXEL
    lines = ["x [um],y [um]"] + [f"{x:.6f},{y:.6f}" for y, x in truth.positions * DX * 1e6]
    table.write_text("\n".join(lines) + "\n")
