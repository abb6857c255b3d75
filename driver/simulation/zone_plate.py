"""The probe of a Fresnel zone plate with a central stop, at its focus or out of it.

Seen from the focal plane at f = diameter * outermost_zone_width / wavelength, the plate is the spectrum of
the focal spot: a point at distance rho from its axis is the spatial frequency rho / (wavelength * f), so the
transform of a field of M pixels samples the plate every wavelength * f / (M * pixel_size). Defocus multiplies
the spectrum by the paraxial propagator exp(-i pi wavelength defocus |frequency|^2) (J. W. Goodman,
Introduction to Fourier Optics, chapter 4). An ideal order-sorting aperture removes the other diffraction
orders.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.checks import integer, positive
from ptyxrf.driver.data.geometry import JOULES_PER_KEV, PLANCK_TIMES_C

#: Default photon energy of a probe, in joules.
DEFAULT_ENERGY = 8.8 * JOULES_PER_KEV
#: Default pixel of the object grid, in metres.
DEFAULT_PIXEL_SIZE = 25e-9
#: The default defocus spreads the beam over at most this fraction of the window.
DEFAULT_SPREAD = 0.4
#: The propagated field is at least this many pixels wide, and at least twice as wide as the window:
#: otherwise the tails of a small probe would wrap around.
SMALLEST_FIELD = 256
#: A window that misses more than this fraction of the power gives a warning.
LARGEST_LOSS = 0.1


@dataclass(frozen=True)
class _ZonePlate:
    """A zone plate and the window of m x m pixels at its focus; lengths in metres."""

    m: int
    pixel_size: float
    energy: float
    outermost_zone_width: float
    diameter: float
    central_stop: float
    apodization: float

    def __post_init__(self) -> None:
        """Check all values; the messages name them as arguments of `zone_plate_probe`."""
        integer("m", self.m, 2)
        for name in ("pixel_size", "energy", "outermost_zone_width", "diameter"):
            positive(name, getattr(self, name), "in SI units")
        if not (np.isfinite(self.central_stop) and 0 <= self.central_stop < self.diameter):
            raise ValueError(
                f"central_stop: expected at least 0 and less than the diameter {self.diameter}, got "
                f"{self.central_stop}"
            )
        if not 0 <= self.apodization < 1:
            raise ValueError(
                f"apodization: expected a fraction of the radius in [0, 1), got {self.apodization}"
            )
        if self.pixel_size > self.outermost_zone_width:
            raise ValueError(
                f"pixel_size: expected at most the outermost zone width {self.outermost_zone_width:.4g} m, "
                "so that the aperture of the zone plate fits the frequencies of the grid, got "
                f"{self.pixel_size:.4g} m"
            )

    @property
    def wavelength(self) -> float:
        """Wavelength of the photons."""
        return PLANCK_TIMES_C / self.energy

    @property
    def width(self) -> float:
        """Edge of the window."""
        return self.m * self.pixel_size

    @property
    def default_defocus(self) -> float:
        """Distance that spreads the beam over part of the window with a bright spot on the axis.

        The axis is bright where the paths from the edge of the plate and from the edge of the stop differ by
        an odd number of half wavelengths: wavelength * defocus / (4 dr^2) * (1 - stop^2) = 2 i + 1. This is
        the largest such distance whose cone, wavelength * defocus / dr wide, stays within `DEFAULT_SPREAD` of
        the window. In a window too small for one half wavelength, where the axis is bright from the focus on,
        the cone takes that whole fraction.
        """
        open_part = 1 - (self.central_stop / self.diameter) ** 2
        half_waves = DEFAULT_SPREAD * self.width * open_part / (4 * self.outermost_zone_width)
        if half_waves > 1:
            half_waves = 2 * ((half_waves - 1) // 2) + 1
        return half_waves * 4 * self.outermost_zone_width**2 / (self.wavelength * open_part)

    def check_defocus(self, defocus: float) -> None:
        """Raise ValueError if the beam does not fit the window."""
        if not np.isfinite(defocus):
            raise ValueError(f"defocus: expected a finite distance in metres, got {defocus}")
        # the cone from the edge of the plate, and the first dark ring of the focal spot (radius 1.22 dr)
        cone = abs(defocus) * self.wavelength / self.outermost_zone_width
        spot = max(cone, 2.44 * self.outermost_zone_width)
        if spot > self.width:
            raise ValueError(
                f"defocus: expected a beam that fits the window of {self.width:.4g} m ({self.m} pixels), got "
                f"{spot:.4g} m at defocus {defocus:.4g} m"
            )

    def field(self, defocus: float) -> NDArray[np.complex128]:
        """Return the centred field at a distance from the focus, on a grid wider than the window."""
        size = max(2 * self.m, SMALLEST_FIELD)
        focal_length = self.diameter * self.outermost_zone_width / self.wavelength
        plate_pixel = self.wavelength * focal_length / (size * self.pixel_size)
        axis = np.fft.fftfreq(size) * size * plate_pixel
        squared = axis[:, None] ** 2 + axis**2
        radius = np.sqrt(squared)
        # no edge is sharper than the pixel that samples it: a jagged circle scatters along the axes
        edge = max(self.apodization * self.diameter / 2, plate_pixel)

        def disc(edge_radius: float) -> NDArray[np.float64]:
            inside = np.clip((edge_radius - radius) / edge + 0.5, 0, 1)
            return inside**2 * (3 - 2 * inside)

        # the soft edge of the plate ends at its rim, that of the stop is centred on its rim
        aperture = disc(self.diameter / 2 * (1 - self.apodization / 2))
        if self.central_stop > 0:
            aperture = aperture * (1 - disc(self.central_stop / 2))
        phase = -1j * np.pi * defocus / (self.wavelength * focal_length**2) * squared
        return np.fft.fftshift(np.fft.ifft2(aperture * np.exp(phase)))


def zone_plate_probe(
    m: int,
    *,
    pixel_size: float = DEFAULT_PIXEL_SIZE,
    energy: float = DEFAULT_ENERGY,
    outermost_zone_width: float = 45e-9,
    diameter: float = 180e-6,
    central_stop: float = 60e-6,
    defocus: float | None = None,
    apodization: float = 0.1,
) -> NDArray[np.complex128]:
    """Return the field of a Fresnel zone plate near its first-order focus.

    Parameters
    ----------
    m : int
        Edge of the window in pixels.
    pixel_size : float
        Pixel of the object grid in metres.
    energy : float
        Photon energy in joules (keV times `JOULES_PER_KEV`).
    outermost_zone_width : float
        Width of the outermost zone in metres; it sets the resolution.
    diameter : float
        Diameter of the zone plate in metres.
    central_stop : float
        Diameter of the central stop in metres, 0 for none.
    defocus : float, optional
        Distance from the focus to the specimen in metres, positive downstream (the beam diverges).
        Default: the beam spreads over up to 0.4 of the window with a bright spot on the axis.
    apodization : float
        Width of the soft edges of plate and stop as a fraction of the radius in [0, 1): the efficiency of
        real zones falls towards the outermost ones. 0 gives hard edges and a probe with strong rings.

    Returns
    -------
    (m, m) array of complex128
        The probe with its axis at pixel (m//2, m//2), scaled to max |P| = 1, and real on the axis unless it
        is dark there.

    Raises
    ------
    ValueError
        An argument is out of its range, the pixel is too coarse for the aperture of the plate, or the beam
        is wider than the window.

    Warns
    -----
    UserWarning
        The window misses more than a tenth of the power.
    """
    plate = _ZonePlate(m, pixel_size, energy, outermost_zone_width, diameter, central_stop, apodization)
    defocus = plate.default_defocus if defocus is None else defocus
    plate.check_defocus(defocus)
    return _normalised(_windowed(plate.field(defocus), plate))


def _windowed(field: NDArray[np.complex128], plate: _ZonePlate) -> NDArray[np.complex128]:
    """Return the window of a centred field; warn if it misses much of the power."""
    first = len(field) // 2 - plate.m // 2
    probe = field[first : first + plate.m, first : first + plate.m]
    missed = 1 - np.sum(np.abs(probe) ** 2) / np.sum(np.abs(field) ** 2)
    if missed > LARGEST_LOSS:
        warnings.warn(
            f"The window of {plate.m} pixels ({plate.width:.4g} m) misses {100 * missed:.0f} % of the "
            "probe's power; a wider window or less defocus would hold it.",
            stacklevel=3,
        )
    return probe


def _normalised(probe: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the probe scaled to max |P| = 1, and real on the axis unless it is dark there."""
    magnitude = np.abs(probe)
    axial = probe[probe.shape[0] // 2, probe.shape[1] // 2]
    turn = np.conj(axial) / abs(axial) if abs(axial) > 1e-12 * magnitude.max() else 1.0
    return np.ascontiguousarray(probe * (turn / magnitude.max()))
