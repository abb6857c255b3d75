"""Scans and points that together use every feature of the objective."""

import naive
import numpy as np

from ptyxrf.driver.data.scan import Scan

DEFAULTS = {
    "method": "joint",
    "sampling": "grid",
    "K": 1,
    "N_e": 1,
    "m": 7,
    "fraction": False,
    "mask": None,
    "exposure": False,
    "background": False,
    "offset": 0.0,
    "missing": False,
    "probe": False,
    "pattern_background": False,
    "pattern_loss": "amplitude",
    "refine_pattern_background": False,
    "curvature": "full",
    "blur": "convolution",
    "positions": "none",
    "intensities": False,
    "refractive": False,
    "free": "phase",
    "matrix": None,
}


#: Every method, sampling, number of modes and elements, and every extra at least twice, in few cases.
CASES = {
    "joint grid": {},
    "joint grid, everything": {
        "K": 3,
        "N_e": 3,
        "m": 8,
        "fraction": True,
        "mask": 3,
        "exposure": True,
        "background": True,
        "offset": -1.0,
        "missing": True,
        "probe": True,
    },
    "joint scan": {"sampling": "scan", "N_e": 3, "missing": True, "mask": 2},
    "joint scan, everything": {
        "sampling": "scan",
        "K": 3,
        "N_e": 3,
        "fraction": True,
        "mask": 2,
        "exposure": True,
        "background": True,
        "offset": 0.4,
        "missing": True,
        "probe": True,
    },
    "joint correlation": {"blur": "correlation", "N_e": 3, "m": 8, "probe": True, "curvature": "positive"},
    "joint scan gauss-newton": {
        "sampling": "scan",
        "m": 8,
        "exposure": True,
        "probe": True,
        "curvature": "gauss-newton",
        "fraction": True,
    },
    "joint scan modes": {"sampling": "scan", "K": 3, "m": 9, "curvature": "positive", "background": True},
    "ptychography": {"method": "ptychography", "mask": 3, "exposure": True, "offset": -1.0, "m": 8},
    "ptychography, probe": {"method": "ptychography", "K": 3, "fraction": True, "probe": True, "mask": 2},
    "ptychography gauss-newton": {
        "method": "ptychography",
        "fraction": True,
        "curvature": "gauss-newton",
        "m": 9,
    },
    "ptychography positive": {"method": "ptychography", "K": 3, "probe": True, "curvature": "positive"},
    "joint scan, poisson": {
        "sampling": "scan",
        "m": 8,
        "mask": 3,
        "exposure": True,
        "fraction": True,
        "probe": True,
        "pattern_loss": "poisson",
        "pattern_background": True,
        "refine_pattern_background": True,
    },
    "ptychography, background": {
        "method": "ptychography",
        "K": 3,
        "m": 11,
        "fraction": True,
        "probe": True,
        "exposure": True,
        "refine_pattern_background": True,
    },
    "ptychography, given background": {
        "method": "ptychography",
        "mask": 2,
        "pattern_background": True,
        "curvature": "positive",
    },
    "ptychography poisson": {"method": "ptychography", "K": 3, "m": 9, "pattern_loss": "poisson"},
    "fluorescence grid": {"method": "fluorescence", "N_e": 3, "missing": True, "background": True, "m": 8},
    "fluorescence scan": {
        "method": "fluorescence",
        "sampling": "scan",
        "exposure": True,
        "fraction": True,
        "K": 3,
    },
    "fluorescence grid, probe": {
        "method": "fluorescence",
        "N_e": 3,
        "K": 3,
        "blur": "correlation",
        "probe": True,
    },
    "fluorescence scan, probe": {
        "method": "fluorescence",
        "sampling": "scan",
        "N_e": 3,
        "missing": True,
        "fraction": True,
        "probe": True,
    },
    "joint scan, positions and everything": {
        "sampling": "scan",
        "K": 2,
        "N_e": 3,
        "m": 11,
        "fraction": True,
        "mask": 2,
        "exposure": True,
        "background": True,
        "missing": True,
        "probe": True,
        "positions": "both",
        "intensities": True,
    },
    "joint grid, positions": {
        "m": 8,
        "probe": True,
        "positions": "each",
        "exposure": True,
        "curvature": "positive",
    },
    "joint scan, intensities": {
        "sampling": "scan",
        "m": 8,
        "curvature": "gauss-newton",
        "intensities": True,
    },
    "joint grid, everything but the probe": {
        "K": 2,
        "m": 8,
        "fraction": True,
        "positions": "both",
        "intensities": True,
    },
    "ptychography, distortion": {
        "method": "ptychography",
        "fraction": True,
        "mask": 3,
        "positions": "affine",
    },
    "ptychography, vector size": {
        "method": "ptychography",
        "K": 2,
        "m": 16,
        "fraction": True,
        "exposure": True,
        "probe": True,
        "positions": "both",
        "intensities": True,
    },
    "refractive grid": {"refractive": True, "N_e": 3, "m": 8},
    "refractive scan, everything": {
        "refractive": True,
        "free": "both",
        "matrix": (0.1, 0.6),
        "sampling": "scan",
        "K": 2,
        "N_e": 3,
        "m": 8,
        "fraction": True,
        "mask": 2,
        "exposure": True,
        "missing": True,
        "probe": True,
        "positions": "both",
        "intensities": True,
    },
    "refractive, the maps alone": {
        "refractive": True,
        "free": "none",
        "matrix": (0.1, 0.6),
        "sampling": "scan",
        "curvature": "positive",
        "pattern_loss": "poisson",
        "refine_pattern_background": True,
    },
    "refractive, one map": {"refractive": True, "free": "none", "curvature": "gauss-newton", "probe": True},
    "refractive ptychography": {"refractive": True, "N_e": 3, "method": "ptychography"},
    "refractive fluorescence": {"refractive": True, "N_e": 3, "method": "fluorescence"},
    "fluorescence scan, positions": {
        "method": "fluorescence",
        "sampling": "scan",
        "N_e": 3,
        "m": 8,
        "exposure": True,
        "positions": "each",
        "intensities": True,
    },
}


def make_scan(case, seed=1, N=5):
    rng = np.random.default_rng(seed)
    K, N_e, m = case["K"], case["N_e"], case["m"]
    shape = (m + 4, m + 3)
    positions = np.column_stack([rng.integers(0, 4, N), rng.integers(0, 3, N)]).astype(float)
    if case["fraction"]:
        positions += rng.random((N, 2))
    patterns = rng.uniform(0, 2.0 * K, (N, m, m))
    extra = {}
    if case["mask"] is not None:
        extra["mask"] = rng.random((m, m) if case["mask"] == 2 else (N, m, m)) > 0.15
        patterns[~np.broadcast_to(extra["mask"], patterns.shape)] = np.nan  # dead pixels may hold anything
    if case["exposure"]:
        extra["exposure"] = rng.uniform(0.5, 1.5, N)
        if case["pattern_background"]:
            extra["fluorescence_exposure"] = rng.uniform(0.5, 1.5, N)
    if case["pattern_background"]:
        extra["pattern_background"] = rng.uniform(0, 0.5, (m, m))
    if case["background"]:
        extra["background"] = rng.uniform(0, 20, N_e)
    if case["method"] != "ptychography" or N_e > 1:
        maps = rng.uniform(0, 60, (N_e, *shape) if case["sampling"] == "grid" else (N_e, N))
        if case["missing"]:
            maps[1] = np.nan
        extra |= {
            "fluorescence": maps,
            "attenuation": np.array([0.7, 0.0, -0.3])[:N_e],
            "sensitivity": rng.uniform(0.5, 2, N_e),
        }
    if case["refractive"]:
        extra["phase_shift"] = np.array([1.1, 0.0, 0.4])[:N_e]
    probe = naive.random_complex(rng, (K, m, m))
    return Scan(patterns, positions, probe, shape=shape, count_scale=1, blur=case["blur"], **extra)


def random_point(objective, rng):
    """Half a pixel, half a tenth of a distortion, and a factor of e^(1/4) in amplitude are ordinary sizes."""
    scan = objective.scan
    shapes = {
        "elements": (scan.N_e, *scan.shape),
        "displacement": (scan.N, 2),
        "distortion": (2, 2),
        "log_amplitude": (scan.N, 1),
        "background_amplitude": (scan.m, scan.m),
    }
    sizes = {"distortion": 0.05, "log_amplitude": 0.25}
    return {
        name: naive.random_complex(rng, scan.probe.shape)
        if name == "probe"
        else sizes.get(name, 0.5) * rng.normal(size=shapes.get(name, scan.shape))
        for name in objective.unknowns
    }
