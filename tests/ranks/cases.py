"""Scans and objectives that together use every feature, with sizes that do not divide."""

import numpy as np

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.simulation.simulate import simulate

#: name -> (what is simulated, how it is reconstructed)
CASES = {
    "raster-grid": (
        {"path": "raster", "per_side": (7, 5), "sampling": "grid", "elements": 3, "overlap": 0.7},
        {"method": "joint"},
    ),
    "raster-grid-correlation": (
        {"path": "raster", "per_side": (2, 9), "sampling": "grid", "elements": 2, "blur": "correlation"},
        {"method": "joint", "margin": 3},
    ),
    "spiral-scan-modes": (
        {
            "path": "spiral", "per_side": 6, "sampling": "scan", "elements": 3, "overlap": 0.7,
            "fractional": True, "modes": 2,
        },
        {"method": "joint", "memory": "low"},
    ),
    "random-grid-probe": (
        {
            "path": "random", "per_side": 6, "sampling": "grid", "elements": 3, "overlap": 0.75,
            "fractional": True, "modes": 2,
        },
        {"method": "joint", "refine_probe": True},
    ),
    "random-scan-probe": (
        {
            "path": "random", "per_side": 6, "sampling": "scan", "elements": 1, "overlap": 0.75,
            "fractional": True, "modes": 2,
        },
        {"method": "joint", "refine_probe": True},
    ),
    "random-grid-full": (
        {"path": "random", "per_side": 5, "sampling": "grid", "elements": 2, "overlap": 0.7},
        {"method": "joint", "refine_probe": True, "curvature": "full"},
    ),
    "spiral-scan-full": (
        {
            "path": "spiral", "per_side": 5, "sampling": "scan", "elements": 2, "overlap": 0.7,
            "fractional": True,
        },
        {"method": "joint", "refine_probe": True, "curvature": "full", "alpha": "gradnorm"},
    ),
    "random-scan-positions": (
        {
            "path": "random", "per_side": 6, "sampling": "scan", "elements": 2, "overlap": 0.75,
            "fractional": True, "modes": 2,
        },
        {
            "method": "joint", "refine_probe": True, "refine_positions": "both", "refine_intensities": True,
            "position_margin": 5,
        },
    ),
    "random-grid-positions": (
        {"path": "random", "per_side": 5, "sampling": "grid", "elements": 2, "overlap": 0.7},
        {"method": "joint", "curvature": "full", "refine_positions": "each", "position_margin": 5},
    ),
    "random-scan-poisson-background": (
        {
            "path": "random", "per_side": 5, "sampling": "scan", "elements": 2, "overlap": 0.7,
            "fractional": True,
        },
        {
            "method": "joint", "refine_probe": True, "curvature": "full", "pattern_loss": "poisson",
            "refine_pattern_background": True,
        },
    ),
    "random-scan-refractive": (
        {
            "path": "random", "per_side": 6, "sampling": "scan", "elements": 3, "overlap": 0.75,
            "fractional": True,
        },
        {"method": "joint", "free": "both", "matrix": (0.1, 0.6), "refine_probe": True},
    ),
    "raster-grid-refractive": (
        {"path": "raster", "per_side": (7, 5), "sampling": "grid", "elements": 2, "overlap": 0.7},
        {"method": "joint", "curvature": "full", "refine_positions": "each", "position_margin": 5},
    ),
    "snake-ptychography": (
        {"path": "snake", "per_side": (3, 11), "sampling": None, "overlap": 0.6},
        {"method": "ptychography", "curvature": "gauss-newton"},
    ),
    "snake-positive": (
        {"path": "snake", "per_side": (4, 9), "sampling": None, "overlap": 0.75},
        {"method": "ptychography"},
    ),
    "fluorescence-grid": (
        {"path": "raster", "per_side": 5, "sampling": "grid", "elements": 2, "overlap": 0.6},
        {"method": "fluorescence"},
    ),
    "fluorescence-scan": (
        {"path": "raster", "per_side": 5, "sampling": "scan", "elements": 1, "overlap": 0.6},
        {"method": "fluorescence"},
    ),
    "three-positions": (
        {"path": "raster", "per_side": (1, 3), "sampling": "grid", "elements": 1, "overlap": 0.5},
        {"method": "joint"},
    ),
}  # fmt: skip


def make_scan(name, *, m=15):
    """Simulate a case; masks, exposure, an element without data and margins come on top."""
    what, _ = CASES[name]
    scan = simulate("cells", m=m, seed=3, margin=2, **what)
    rng = np.random.default_rng(5)
    changes = {"exposure": 1 + 0.1 * rng.random(scan.N)}
    if "background" in name:
        changes["fluorescence_exposure"] = 1 + 0.1 * rng.random(scan.N)
    if CASES[name][1].get("memory") == "low":  # which keeps counts as they are
        changes["patterns"] = np.round(scan.patterns * (9 / scan.patterns.mean())).astype(np.uint16)
    if "refractive" in name:
        changes["phase_shift"] = np.linspace(1.0, 0.0, scan.N_e)
    if name == "raster-grid":
        changes["mask"] = rng.random((scan.N, m, m)) > 0.05
        maps = np.array(scan.fluorescence)
        maps[1] = np.nan
        changes |= {"fluorescence": maps, "background": [0.1, 0.0, 0.3], "sensitivity": [1.0, 1.0, 2.0]}
    return scan.replace(**changes)


def random_unknowns(scan: Scan, unknowns, seed):
    """Global arrays of every unknown, the same on every rank."""
    rng = np.random.default_rng(seed)
    shapes = {
        "elements": (scan.N_e, *scan.shape), "displacement": (scan.N, 2), "distortion": (2, 2),
        "log_amplitude": (scan.N, 1), "background_amplitude": (scan.m, scan.m),
    }  # fmt: skip
    sizes = {"distortion": 0.02, "log_amplitude": 0.2}
    arrays = {
        name: sizes.get(name, 1.0) * rng.random(shapes.get(name, scan.shape))
        for name in unknowns
        if name != "probe"
    }
    if "probe" in unknowns:
        noise = rng.standard_normal((2, *scan.probe.shape))
        arrays["probe"] = scan.probe * (1 + 0.1 * noise[0] + 0.1j * noise[1])
    return arrays


def relative(value, expected):
    """Norm of the difference over the norm of what is expected."""
    value, expected = np.asarray(value), np.asarray(expected)
    assert value.shape == expected.shape and value.dtype == expected.dtype
    return float(np.linalg.norm(value - expected) / max(np.linalg.norm(expected), 1e-300))
