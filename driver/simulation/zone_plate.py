"""The probe that a Fresnel zone plate with a central stop makes, at its focus or out of it."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.checks import is_finite_number
from ptyxrf.driver.data.geometry import JOULES_PER_KEV, PLANCK_TIMES_C

#: Photon energy of a probe when none is given, in joules.
DEFAULT_ENERGY = 8.8 * JOULES_PER_KEV
#: Pixel of the object grid when none is given, in metres.
DEFAULT_PIXEL_SIZE = 25e-9
#: The default defocus spreads the beam over at most this fraction of the window.
DEFAULT_SPREAD = 0.4
#: The field that is propagated is at least this many pixels wide, and twice the window: the tails of
#: a small probe would otherwise come back in on the other side.
SMALLEST_FIELD = 256
#: A window that misses more of the probe's power than this is reported.
LARGEST_LOSS = 0.1


def _positive(name: str, value: float) -> float:
    if not is_finite_number(value) or value <= 0:
        raise ValueError(f"{name}: expected a finite positive number in SI units, got {value!r}")
    return float(value)


def _default_defocus(width: float, wavelength: float, outermost_zone_width: float, stop: float) -> float:
    """Return the distance that spreads the beam over part of `width` with a bright spot on the axis.

    The axis is bright where the paths from the edge of the plate and from the edge of the stop differ by
    an odd number of half wavelengths: wavelength * defocus / (4 dr^2) * (1 - stop^2) = 2 i + 1. The
    largest such distance is taken whose cone, wavelength * defocus / dr wide, stays within
    `DEFAULT_SPREAD` of the window. In a window too small for one half wavelength the cone takes that
    whole fraction: the axis is bright all the way from the focus to there.
    """
    half_waves = DEFAULT_SPREAD * width * (1 - stop**2) / (4 * outermost_zone_width)
    if half_waves > 1:
        half_waves = 2 * ((half_waves - 1) // 2) + 1
    return half_waves * 4 * outermost_zone_width**2 / (wavelength * (1 - stop**2))


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
    """Field of a Fresnel zone plate near its first-order focus.

    The plate, seen from the focal plane at f = diameter * outermost_zone_width / wavelength, is the
    spectrum of the focal spot: a point at distance rho from the axis of the plate is the spatial frequency
    rho / (wavelength * f), so the transform of a field of M pixels samples the plate every
    wavelength * f / (M * pixel_size). Defocus multiplies the spectrum by the paraxial propagator
    exp(-i pi wavelength defocus |frequency|^2) (J. W. Goodman, Introduction to Fourier Optics, chapter 4).
    An order-sorting aperture is implied: the other diffraction orders are absent.

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
        Width of the soft edges of the plate and the stop, as a fraction of the plate's radius in
        [0, 1): the efficiency of real zones falls towards the outermost ones. 0 gives hard edges, and
        a probe whose rings fall off slowly.

    Returns
    -------
    (m, m) array of complex128
        The probe with its axis at pixel (m//2, m//2), scaled to max |P| = 1 and real on the axis if it is
        not dark there.

    Raises
    ------
    ValueError
        Naming the argument: one out of its range, a pixel too coarse for the aperture of the plate, or
        a beam wider than the window.

    Warns
    -----
    UserWarning
        If the window misses more than a tenth of the probe's power.
    """
    if not isinstance(m, int | np.integer) or m < 2:
        raise ValueError(f"m: expected an integer of at least 2 pixels, got {m!r}")
    pixel_size = _positive("pixel_size", pixel_size)
    wavelength = PLANCK_TIMES_C / _positive("energy", energy)
    outermost_zone_width = _positive("outermost_zone_width", outermost_zone_width)
    diameter = _positive("diameter", diameter)
    if not (np.isfinite(central_stop) and 0 <= central_stop < diameter):
        raise ValueError(
            f"central_stop: expected at least 0 and less than the diameter {diameter}, got {central_stop}"
        )
    if not 0 <= apodization < 1:
        raise ValueError(f"apodization: expected a fraction of the radius in [0, 1), got {apodization}")
    width = m * pixel_size
    if pixel_size > outermost_zone_width:
        raise ValueError(
            f"pixel_size: expected at most the outermost zone width {outermost_zone_width:.4g} m, so that "
            f"the aperture of the zone plate fits the frequencies of the grid, got {pixel_size:.4g} m"
        )
    stop = central_stop / diameter
    if defocus is None:
        defocus = _default_defocus(width, wavelength, outermost_zone_width, stop)
    if not np.isfinite(defocus):
        raise ValueError(f"defocus: expected a finite distance in metres, got {defocus}")
    # The cone from the plate's edge, and the first dark ring of the focal spot (radius 1.22 zone widths).
    spot = max(abs(defocus) * wavelength / outermost_zone_width, 2.44 * outermost_zone_width)
    if spot > width:
        raise ValueError(
            f"defocus: expected a beam that fits the window of {width:.4g} m ({m} pixels), got {spot:.4g} m "
            f"at defocus {defocus:.4g} m"
        )

    size = max(2 * m, SMALLEST_FIELD)
    focal_length = diameter * outermost_zone_width / wavelength
    plate_pixel = wavelength * focal_length / (size * pixel_size)
    axis = np.fft.fftfreq(size) * size * plate_pixel
    squared = axis[:, None] ** 2 + axis**2
    radius = np.sqrt(squared)
    # An edge is never sharper than the pixel that samples it: a jagged circle scatters along the axes.
    edge = max(apodization * diameter / 2, plate_pixel)

    def disc(edge_radius: float) -> NDArray[np.float64]:
        inside = np.clip((edge_radius - radius) / edge + 0.5, 0, 1)
        return inside**2 * (3 - 2 * inside)

    # The plate's soft edge ends at its rim; the stop's is centred on its own.
    aperture = disc(diameter / 2 * (1 - apodization / 2))
    if central_stop > 0:
        aperture = aperture * (1 - disc(central_stop / 2))
    spectrum = aperture * np.exp(-1j * np.pi * defocus / (wavelength * focal_length**2) * squared)
    field = np.fft.fftshift(np.fft.ifft2(spectrum))
    first = size // 2 - m // 2
    probe = field[first : first + m, first : first + m]

    power = np.sum(np.abs(probe) ** 2)
    missed = 1 - power / np.sum(np.abs(field) ** 2)
    if missed > LARGEST_LOSS:
        warnings.warn(
            f"The window of {m} pixels ({width:.4g} m) misses {100 * missed:.0f} % of the probe's power; "
            "a wider window or less defocus would hold it.",
            stacklevel=2,
        )
    magnitude = np.abs(probe)
    axial = probe[m // 2, m // 2]
    turn = np.conj(axial) / abs(axial) if abs(axial) > 1e-12 * magnitude.max() else 1.0
    return np.ascontiguousarray(probe * (turn / magnitude.max()))
