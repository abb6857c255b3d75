"""Probes from which a reconstruction may start, made from diffraction patterns alone or from a guess.

The mean pattern of a scan shows the pupil of the optics: |FT P|^2, blurred a little by what the specimen
scatters. What it does not show is the phase, and of that defocus is the largest part: the paraxial propagator
exp(-i pi wavelength z |nu|^2) (J. W. Goodman, Introduction to Fourier Optics, chapter 4). At detector pixel q
from the axis nu = q / (m pixel_size), so defocus is one number, the phase c |q|^2 at a pixel; c needs no
geometry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ptyxrf.driver.data.scan import Scan

#: The edge of a pupil holds this share of its intensity: what is beyond was scattered by the specimen.
PUPIL_SHARE = 0.9
#: Ratio of one defocus to the next. Trials converge from 0.5 to 1.5 of the true defocus.
DEFOCUS_RATIO = 0.6
#: Phase at the edge of the pupil, in radians, below which a defocus is as good as none.
LEAST_PHASE = 2.0
#: Largest width, in pixels, of the Gaussian that carries counts under the mask.
WIDEST_FILL = 64.0


@dataclass(frozen=True)
class ProbeCandidate:
    """A probe from which a reconstruction may start.

    Attributes
    ----------
    name : str
        What it is made from.
    probe : (K, m, m) array of complex128
    defocus : float or None
        Phase at the detector, in radians per squared pixel; None: the probe has phases of its own.
    """

    name: str
    probe: NDArray[np.complex128]
    defocus: float | None = None

    def description(self, scan: Scan) -> str:
        """Return the name with the defocus, in metres too where the scan has a geometry."""
        if self.defocus is None:
            return self.name
        text = f"{self.name}, defocus {self.defocus:+.3g} rad/pixel^2"
        distance = defocus_distance(scan, self.defocus)
        return text if distance is None else f"{text} ({1e6 * distance:+.4g} um)"


def defocus_distance(scan: Scan, defocus: float) -> float | None:
    """Return a defocus in metres, positive downstream of the focus, or None without a geometry.

    Parameters
    ----------
    scan : Scan
    defocus : float
        In radians per squared detector pixel.
    """
    if scan.geometry is None or scan.pixel_size is None:
        return None
    return defocus * (scan.m * scan.pixel_size) ** 2 / (np.pi * scan.geometry.wavelength)


def mean_pattern(scan: Scan) -> NDArray[np.float64]:
    """Return the mean pattern of a scan at an exposure of 1, with values under the mask.

    Parameters
    ----------
    scan : Scan
        With patterns in memory.

    Returns
    -------
    (m, m) array of float64
        Where no pattern has a good pixel (beam stop, gap of modules), the average of good pixels around
        with Gaussian weights, the narrowest that reach some.
    """
    patterns = np.asarray(scan.patterns, dtype=np.float64)
    good = np.broadcast_to(True if scan.mask is None else np.asarray(scan.mask), patterns.shape)
    exposed = np.tensordot(scan.exposure, good.astype(np.float64), 1)
    total = np.where(good, patterns, 0.0).sum(axis=0)
    known = exposed > 0
    mean = np.divide(total, exposed, out=np.zeros_like(total), where=known)
    width = 1.0
    while not known.all() and width <= WIDEST_FILL:
        weight = gaussian_filter(known.astype(np.float64), width, mode="constant")
        reached = ~known & (weight > 0.1)
        spread = gaussian_filter(mean, width, mode="constant")
        mean[reached] = spread[reached] / weight[reached]
        known = known | reached
        width *= 1.5
    return np.clip(mean, 0.0, None)


def pupil_of(probe: NDArray[Any]) -> NDArray[np.float64]:
    """Return the (m, m) modulus of the far field of (K, m, m) modes, the zero frequency at index m//2."""
    field = np.fft.fft2(np.fft.ifftshift(probe, axes=(1, 2)), norm="ortho")
    return np.fft.fftshift(np.sqrt(np.sum(np.abs(field) ** 2, axis=0)))


def squared_radius(pupil: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance of each detector pixel from the centre of mass of a pupil's intensity."""
    intensity = pupil**2 / np.sum(pupil**2)
    axis = np.arange(len(pupil), dtype=np.float64)
    rows, columns = axis - intensity.sum(axis=1) @ axis, axis - intensity.sum(axis=0) @ axis
    return rows[:, None] ** 2 + columns**2


def _edge(pupil: NDArray[np.float64]) -> float:
    """Return the radius of a pupil, in pixels."""
    distance = squared_radius(pupil).ravel()
    order = np.argsort(distance, kind="stable")
    held = np.cumsum((pupil.ravel() ** 2)[order])
    return max(float(np.sqrt(distance[order][np.searchsorted(held, PUPIL_SHARE * held[-1])])), 0.5)


def defoci(pupil: NDArray[np.float64]) -> list[float]:
    """Return the values of defocus that are worth trying, in radians per squared pixel.

    A ray through pixel q of the detector meets the specimen c q m / pi pixels from the axis. The largest
    defocus takes the edge of the pupil to the edge of the window; the others follow in a constant ratio,
    down to those that the refinement of a probe takes for the focus.

    Parameters
    ----------
    pupil : (m, m) array of float
        Modulus of the far field.

    Returns
    -------
    list of float
        With both signs, and 0.
    """
    edge = _edge(pupil)
    most = np.pi / (2 * edge)
    count = max(2, 1 + int(np.log(LEAST_PHASE / (most * edge**2)) / np.log(DEFOCUS_RATIO)))
    sizes = [most * DEFOCUS_RATIO**k for k in range(count)]
    return [-size for size in sizes] + [0.0] + sizes[::-1]


def defocused(pupil: NDArray[np.float64], defocus: float) -> NDArray[np.complex128]:
    """Return the (1, m, m) probe of a pupil out of focus, with the power of the pupil."""
    field = pupil * np.exp(-1j * defocus * squared_radius(pupil))
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(field), norm="ortho"))[None]


def finer_ratios(candidate: ProbeCandidate) -> list[float]:
    """Return the ratios of one defocus to the next by which the best one is made finer, step by step.

    They end where the phase at the edge of the pupil changes by less than `LEAST_PHASE`: many waves of
    defocus need a finer answer than few.
    """
    if not candidate.defocus:
        return []
    phase = abs(candidate.defocus) * _edge(pupil_of(candidate.probe)) ** 2
    ratios, ratio = [], DEFOCUS_RATIO
    while (1 - ratio) * phase > LEAST_PHASE:
        ratio = np.sqrt(ratio)
        ratios.append(float(ratio))
    return ratios


def neighbours(candidate: ProbeCandidate, ratio: float) -> list[ProbeCandidate]:
    """Return a candidate at a little less and a little more defocus; none of one without."""
    if not candidate.defocus:
        return []
    pupil = pupil_of(candidate.probe)
    values = candidate.defocus * ratio, candidate.defocus / ratio
    return [ProbeCandidate(candidate.name, defocused(pupil, c), c) for c in values]


def probe_candidates(part: Scan, kind: str) -> list[ProbeCandidate]:
    """Return the probes that a kind of start chooses from.

    Parameters
    ----------
    part : Scan
        With patterns in memory, and with the given probe.
    kind : {"search", "zone-plate", "mean-pattern"}
        All; the mean pattern over defocus; the mean pattern in focus, alone.

    Returns
    -------
    list of ProbeCandidate
        Each but the given one has the power of the mean pattern.
    """
    pupil = np.sqrt(mean_pattern(part))
    if not pupil.any():
        raise ValueError(f"probe_start: expected patterns with counts for {kind!r}, got none in the middle")
    if kind == "mean-pattern":
        return [ProbeCandidate("mean pattern", defocused(pupil, 0.0), 0.0)]
    made = [ProbeCandidate("mean pattern", defocused(pupil, c), c) for c in defoci(pupil)]
    if kind == "zone-plate":
        return made
    given = pupil_of(part.probe)
    given *= np.sqrt(np.sum(pupil**2) / np.sum(given**2))
    turned = [ProbeCandidate("given pupil", defocused(given, c), c) for c in defoci(given)]
    return [ProbeCandidate("given probe", part.probe.astype(np.complex128)), *turned, *made]
