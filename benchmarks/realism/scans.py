"""The scans of the cases: simulated, measured, or simulated at measured positions."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case
from numpy.typing import NDArray
from shared import folder, module

import ptyxrf

sys.path.append(str(Path(__file__).parents[1] / "peers"))
from problems import star

#: Pixels between the outermost windows of the measured positions and the edge of the object.
MARGIN = 12
#: Photons in a pattern at the measured positions.
PHOTONS = 3e5
#: Defocus of the probe there, in metres, and that of its guess as a fraction.
DEFOCUS, GUESS = 60e-6, 0.9
#: Elements of the measured maps, and pixels between their points.
MEASURED_ELEMENTS, STEP = ["Ca", "Fe", "Cu"], 8

#: The arrays of a scan by name, as ../shared/realism/simulate.py returns them.
Data = dict[str, Any]


def data_of(case: Case, seed: int, specimen: int, stored: Path) -> Data:
    """Return the scan of a case.

    Parameters
    ----------
    case : Case
    seed, specimen : int
        Of the simulation. The measured star has neither.
    stored : Path
        Folder in which scans are kept; their names tell the model and its options.
    """
    if case.source == "star":
        return _star()
    options = {**case.options, "seed": seed, "specimen": specimen}
    made = {"xpp": _xpp, "maps": _measured_maps}.get(case.source, module("simulate").make)
    name = case.scan if case.source == "simulate" else case.source
    digest = hashlib.sha256(repr((name, sorted(options.items()))).encode())
    for source in (folder() / "realism" / "simulate.py", Path(__file__)):
        digest.update(source.read_bytes())
    path = stored / f"{name}-{seed}-{specimen}-{digest.hexdigest()[:12]}.npz"
    if not path.exists():
        _save(path, made(name, **options))
    with np.load(path) as file:
        return dict(file)


def _save(path: Path, data: Data) -> None:
    """Write a scan; several processes may write the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.savez(file, **data)
    os.replace(file.name, path)


def _star() -> Data:
    """Return the measured Siemens star, whose true object and positions nobody knows."""
    problem = star(folder() / "data" / "siemens-star-small.npz.bz2")
    return {
        "patterns": problem.patterns,
        "nominal": problem.positions,
        "guess": problem.probe,
        "shape": np.array(problem.shape),
    }


def _xpp(name: str, seed: int, specimen: int) -> Data:
    """Return patterns simulated at the refined positions of a measured scan.

    Parameters
    ----------
    name : str
        Title of the scan.
    seed, specimen : int
        Of the counts and of the object.
    """
    simulate = module("simulate")
    with np.load(folder() / "data" / "xpp_run1084_positions.npz") as file:
        true = np.stack([file["ycoords"], file["xcoords"]], axis=1)
        nominal = np.stack([file["ycoords_start"], file["xcoords_start"]], axis=1)
    first = np.minimum(true.min(axis=0), nominal.min(axis=0)) - MARGIN
    true, nominal, m = true - first, nominal - first, simulate.M
    n = int(np.ceil(max(true.max(), nominal.max()))) + m + MARGIN
    w, matrix = simulate.specimen(n, specimen)
    phase = np.tensordot(simulate.P_E, w, 1) + simulate.P_M * matrix
    z = np.exp(-np.tensordot(simulate.A_E, w, 1) - simulate.A_M * matrix - 1j * phase)
    pupil = simulate.zone_plate(DEFOCUS, astig=6e-6)
    pupil *= np.sqrt(PHOTONS / np.sum(np.abs(simulate.field(pupil)) ** 2))
    return _seen(name, z, true, nominal, pupil, seed)


def _seen(
    name: str,
    z: NDArray[Any],
    true: NDArray[np.float64],
    nominal: NDArray[np.float64],
    pupil: NDArray[Any],
    seed: int,
) -> Data:
    """Return the patterns of an object at positions, and what the user knows: some of these, and a guess."""
    simulate = module("simulate")
    m, shape = simulate.M, z.shape
    patterns, light = np.empty((len(true), m, m)), np.zeros(shape)
    for j, (row, column) in enumerate(true):
        i, k = int(row), int(column)
        probe = simulate.field(pupil, (row - i, column - k))
        wave = np.fft.fft2(probe * z[i : i + m, k : k + m], norm="ortho")
        patterns[j] = np.fft.fftshift(np.abs(wave) ** 2)
        light[i : i + m, k : k + m] += np.abs(probe) ** 2
    counts = np.random.default_rng(seed).poisson(patterns).astype(np.float32)
    guess = simulate.field(simulate.zone_plate(GUESS * DEFOCUS))
    guess *= np.sqrt(counts.sum(axis=(1, 2)).mean() / np.sum(np.abs(guess) ** 2))
    return {
        "name": name,
        "patterns": counts,
        "nominal": nominal,
        "true": true,
        "guess": guess,
        "obj": z,
        "probes": simulate.field(pupil)[None],
        "light": light,
        "shape": np.array(shape),
    }


def _measured_maps(name: str, seed: int, specimen: int) -> Data:
    """Return patterns of a phase specimen and measured counts of other things at its 11 x 11 positions.

    Parameters
    ----------
    name : str
        Title of the scan.
    seed, specimen : int
        Of the counts of the patterns and of the object.
    """
    simulate = module("simulate")
    maps = ptyxrf.read_maps(folder() / "data" / "axo_std_maps_v9.h5", MEASURED_ELEMENTS)
    rows, columns = maps.counts.shape[1:]
    true = np.stack(np.mgrid[:rows, :columns], axis=-1).reshape(-1, 2) * STEP + float(MARGIN)
    n = int(true.max()) + simulate.M + MARGIN
    w, matrix = simulate.specimen(n, specimen)
    z = np.exp(-1j * (np.tensordot(simulate.P_E, w, 1) + simulate.P_M * matrix))
    pupil = simulate.zone_plate(DEFOCUS, astig=6e-6)
    pupil *= np.sqrt(PHOTONS / np.sum(np.abs(simulate.field(pupil)) ** 2))
    return _seen(name, z, true, true, pupil, seed) | {"counts": np.rint(maps.counts).reshape(len(w), -1)}


def scan_of(case: Case, data: Data) -> ptyxrf.Scan:
    """Return the scan as the user gives it.

    Parameters
    ----------
    case : Case
    data : dict
        Of `data_of`.
    """
    shape = data["shape"] if "shape" in data else (data["n"], data["n"])
    given: dict[str, Any] = {"shape": tuple(int(length) for length in shape), "count_scale": 1}
    if case.mask:
        given["mask"] = data["mask"]
    if case.ion_chamber:
        given["exposure"] = data["ion"]
    factors = {"attenuation": 1.0, "phase_shift": 1.0, "sensitivity": 1.0} | dict(case.factors)
    if case.joint and "sens" in data:
        given |= {
            "fluorescence": data["counts"],
            "sensitivity": factors["sensitivity"] * data["sens"],
            "background": data["xrf_bg"],
            "element_names": module("simulate").NAMES,
        }
    elif case.joint:  # without a calibration
        given["fluorescence"] = data["counts"]
    if case.link:
        given["attenuation"] = factors["attenuation"] * data["a_e"]
    if case.link == "refractive":
        given["phase_shift"] = factors["phase_shift"] * data["p_e"]
    probe = data["probes"] if case.known_probe else data["guess"]
    return ptyxrf.Scan(data["patterns"], data["nominal"], probe, **given)
