"""The sensitivity of a fluorescence detector from a foil of known areal densities: `calibrate`."""

from __future__ import annotations

import os

import numpy as np

from ptyxrf.driver.data.fluorescence_yields import line_strength
from ptyxrf.driver.data.setting import takes_settings
from ptyxrf.driver.files.calibration_file import write_calibration
from ptyxrf.driver.files.maps_file import read_maps
from ptyxrf.driver.preparation.calibration_settings import Calibration
from ptyxrf.driver.preparation.quantities import as_quantity, joules_of


@takes_settings(Calibration, positional=("maps",))
def calibrate(
    out: str | os.PathLike[str],
    settings: Calibration,
    maps: str | os.PathLike[str] | None = None,
) -> dict[str, tuple[float, float]]:
    """Find counts per photon and unit of areal density, and write them as TOML.

    A uniform layer w under a beam of n photons counts s n w + B: s = (counts - B) / (n w). Its error is that
    of the counts (of Poisson, or of the scatter between the points of a map, whichever is larger), of the
    densities and of the photons.

    Parameters
    ----------
    out : path-like
        The calibration: a table ``[sensitivity]`` and one of its standard errors, ``[error]``.
    maps : path-like, optional
        Maps of the foil, in a format that `read_maps` knows; without them `counts` are given.
    {settings}

    Returns
    -------
    dict
        Element -> sensitivity and its standard error. For an element of `carry` the mean over the foil's
        elements of their sensitivity, each times the ratio of line strengths (`line_strength`); its error is
        the scatter of these, or their own error where that is larger.

    Raises
    ------
    ValueError
        Something is missing, an element counts no more than its background, or the file cannot be written.
    """
    for name in ("elements", "densities", "photons"):
        if getattr(settings, name) is None:
            raise ValueError(f"{name}: expected those of the foil, got none")
    elements, photons = list(settings.elements or ()), float(settings.photons or 0)
    means, errors = _of_maps(maps, elements) if maps is not None else _of_numbers(settings)
    net = means - np.asarray(settings.background or np.zeros(len(elements)))
    for element, value, mean in zip(elements, net, means, strict=True):
        if not value > 0:
            raise ValueError(f"background: expected less than the counts of {element}, {mean:g}, got more")
    sensitivity = net / (photons * np.asarray(settings.densities))
    relative = np.sqrt((errors / net) ** 2 + settings.density_error**2 + settings.photons_error**2)
    found = {
        element: (float(s), float(s * r))
        for element, s, r in zip(elements, sensitivity, relative, strict=True)
    }
    for element in settings.carry or ():
        found[element] = _carried(element, found, elements, str(settings.energy))
    notes = [
        f"counts per photon and {settings.density_unit}, from a foil with {', '.join(elements)}",
        f"{photons:g} photons at each point",
    ]
    if settings.carry:
        notes.append(f"carried by fluorescence yields at {settings.energy}: {', '.join(settings.carry)}")
    write_calibration(out, found, notes)
    return found


def _of_maps(path: str | os.PathLike[str], elements: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean counts of a point, and the standard errors of these."""
    counts = read_maps(path, elements).counts.reshape(len(elements), -1)
    means, errors = [], []
    for element, values in zip(elements, counts, strict=True):
        known = values[np.isfinite(values)]
        if not len(known):
            raise ValueError(f"elements: expected counts of {element} in {path}, got none")
        poisson = np.sqrt(known.sum()) / len(known)
        scatter = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else 0.0
        means.append(known.mean())
        errors.append(max(poisson, scatter))
    return np.array(means), np.array(errors)


def _of_numbers(settings: Calibration) -> tuple[np.ndarray, np.ndarray]:
    if settings.counts is None:
        raise ValueError("counts: expected those of the foil, or a file of maps, got neither")
    counts = np.asarray(settings.counts)
    return counts, np.sqrt(counts / settings.points)


def _carried(
    element: str, found: dict[str, tuple[float, float]], foil: list[str], energy: str
) -> tuple[float, float]:
    """Return sensitivity and error of an element that the foil does not have."""
    quantity = as_quantity(energy)
    joules = None if quantity is None else joules_of(*quantity)
    if joules is None:
        raise ValueError(f"energy: expected a number with its unit such as '10 keV', got {energy!r}")
    own = line_strength(element, joules)
    ratios = np.array([own / line_strength(one, joules) for one in foil])
    values = np.array([found[one][0] for one in foil]) * ratios
    errors = np.array([found[one][1] for one in foil]) * ratios
    scatter = values.std(ddof=1) if len(foil) > 1 else 0.0
    return float(values.mean()), float(max(scatter, np.sqrt((errors**2).mean())))
