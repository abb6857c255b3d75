"""The scan that an experiment would give under other conditions, without noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.scan_measures import median_step, probe_intensity
from ptyxrf.driver.simulation.scan_paths import scan_positions
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.driver.simulation.specimens import Specimen
from ptyxrf.driver.uncertainty.settings import AXES, Conditions


@dataclass(frozen=True)
class KnownObject(Specimen):
    """A specimen of which the complex object is known, whatever its link to the maps.

    Parameters
    ----------
    z : (n_rows, n_cols) array of complex
    """

    z: NDArray[Any]

    def transmission(self, link_offset: float = 0.0) -> NDArray[np.complex128]:
        """Complex object z, shape (n_rows, n_cols)."""
        return np.asarray(self.z, np.complex128)


@dataclass(frozen=True)
class Choice:
    """What an experiment chooses.

    Attributes
    ----------
    step : float
        Pixels between neighbouring positions.
    dwell : float
        Time at a position, relative to that of the scan.
    dose : float
        Incident photons for each pixel of the object.
    raster : bool
        Whether positions are a raster of that step; otherwise they are those of the scan.
    """

    step: float
    dwell: float
    dose: float
    raster: bool


def choices_of(scan: Scan, conditions: Conditions) -> list[Choice]:
    """Return all combinations of the values of the axes, the last axis fastest.

    The dose follows from step and dwell time: dwell sum |P|^2 / (step^2 eta), eta the value of a photon.

    Raises
    ------
    ValueError
        The scan has a single position, and so no step.
    """
    given = {name: getattr(conditions, name) for name in AXES if getattr(conditions, name) is not None}
    lists = [value if isinstance(value, tuple) else (value,) for value in given.values()]
    own = median_step(scan.positions)
    if own is None:
        raise ValueError("scan: expected at least two different positions, got a scan of one")
    light = float(probe_intensity(scan.probe).sum() * scan.exposure.mean() / photon_value(scan))
    found = []
    for values in product(*lists):
        chosen = dict(zip(given, values, strict=True))
        step, dwell = chosen.get("step", own), chosen.get("dwell", 1.0)
        if "dose" in chosen and "dwell" in chosen:
            step = math.sqrt(dwell * light / chosen["dose"])
        elif "dose" in chosen:
            dwell = chosen["dose"] * step**2 / light
        raster = "step" in chosen or {"dose", "dwell"} <= set(chosen)
        found.append(Choice(step, dwell, dwell * light / step**2, raster))
    return found


def photon_value(scan: Scan) -> float:
    """Return the mean of what a photon adds to a pattern.

    Raises
    ------
    ValueError
        The patterns have no noise.
    """
    scale = 1.0 if scan.count_scale is None else float(scan.count_scale.mean())
    if scale == 0:
        raise ValueError("count_scale: expected positive numbers, as errors need noise, got 0")
    return scale


def measured_under(scan: Scan, choice: Choice) -> Scan:
    """Return the noiseless scan of a true object under other conditions; it has the scan's true arrays.

    Maps at the positions are measured with the patterns. Those on the grid have a measurement of their own,
    with as many points whatever the step.

    Raises
    ------
    ValueError
        The scan has no true object, or too few positions of that step fit.
    """
    if "object" not in scan.truth or (scan.sampling is not None and "elements" not in scan.truth):
        raise ValueError(
            "scan: expected one with a true object and true maps, as simulate makes, or replace(truth=...) "
            f"from a result, got {', '.join(scan.truth) or 'none'}"
        )
    where, exposure, other = scan.positions, scan.exposure, scan.fluorescence_exposure
    if choice.raster:
        where = _raster(scan, choice.step)
        exposure, other = (np.full(len(where), one.mean()) for one in (exposure, other))
    z = np.asarray(scan.truth["object"])
    maps = np.asarray(scan.truth["elements"]) if scan.sampling else np.zeros((1, *z.shape))
    names = tuple(scan.element_names) if scan.sampling else ("none",)
    fluorescent: dict[str, Any] = {"sampling": "none"}
    if scan.sampling is not None:
        fluorescent = {
            "sampling": scan.sampling, "blur": scan.blur, "sensitivity": scan.sensitivity,
            "background": choice.dwell * scan.background,
        }  # fmt: skip
    clean = simulate(
        KnownObject(z.real, maps, scan.attenuation if scan.sampling else np.ones(1), names, z),
        probe=math.sqrt(choice.dwell) * scan.probe, positions=where, exposure=exposure, noise=0.0,
        geometry=scan.geometry, **fluorescent,
    )  # fmt: skip
    return clean.replace(**_detectors(scan, clean, choice.dwell, other))


def _raster(scan: Scan, step: float) -> NDArray[np.float64]:
    """Return positions of a raster within the margins that those of the scan leave."""
    room = np.array(scan.shape) - scan.m
    margin = int(max(0, min(scan.positions.min(), (room - scan.positions).min())))
    largest = float(room.min() - 2 * margin)
    if step > largest:
        raise ValueError(
            f"step: expected at most {largest:g} pixels, so that 2 x 2 positions fit, got {step:.4g}"
        )
    return scan_positions(
        "raster", scan.m, scan.shape, per_side=None, step=step, margin=margin,
        fractional=bool(scan.fractions.any()),
    )  # fmt: skip


def _detectors(scan: Scan, clean: Scan, dwell: float, exposure: NDArray[np.float64]) -> dict[str, Any]:
    """Return what the detectors add to a noiseless scan: noise, masks, background and optical constants."""
    masked = scan.mask if scan.mask is None or scan.mask.ndim == 2 else np.asarray(scan.mask).any(axis=0)
    changes: dict[str, Any] = {"count_scale": np.full(clean.N, photon_value(scan)), "mask": masked}
    if scan.pattern_background is not None:
        changes["pattern_background"] = dwell * scan.pattern_background
        changes["patterns"] = clean.patterns + dwell * scan.pattern_background
    if scan.sampling is not None:
        scales = scan.fluorescence_count_scale
        if scales is not None and not (scales > 0).all():
            raise ValueError(
                "fluorescence_count_scale: expected positive numbers, as errors need noise, got 0"
            )
        changes |= {
            "fluorescence_count_scale": np.ones(scan.N_e) if scales is None else scales,
            "phase_shift": scan.phase_shift,
            "attenuation": scan.attenuation,
            "fluorescence_exposure": exposure,
        }
    return changes
