"""Wavelength, distance and pixel sizes of a far-field diffraction experiment, in SI units."""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.checks import is_finite_number, positive

#: Planck constant times the speed of light, J m (exact in the SI).
PLANCK_TIMES_C = 6.62607015e-34 * 299792458.0
#: Joules in one kiloelectronvolt (exact in the SI).
JOULES_PER_KEV = 1.602176634e-16


@dataclass(frozen=True)
class Geometry:
    """Photon energy, detector distance and detector pixel.

    Parameters
    ----------
    energy : float
        Photon energy in joules; `from_keV` takes kiloelectronvolts.
    distance : float
        Distance from the specimen to the detector in metres.
    detector_pixel : float
        Edge of a (square) detector pixel in metres.

    Raises
    ------
    ValueError
        If one of them is not finite and positive.
    """

    energy: float
    distance: float
    detector_pixel: float

    def __post_init__(self) -> None:
        for name in ("energy", "distance", "detector_pixel"):
            positive(name, getattr(self, name), "in SI units")

    @classmethod
    def from_keV(cls, energy_keV: float, distance: float, detector_pixel: float) -> Geometry:
        """Return a geometry for a photon energy in kiloelectronvolts."""
        if not is_finite_number(energy_keV):
            raise ValueError(f"energy_keV: expected a finite positive number, got {energy_keV!r}")
        return cls(energy_keV * JOULES_PER_KEV, distance, detector_pixel)

    @property
    def wavelength(self) -> float:
        """Wavelength in metres."""
        return PLANCK_TIMES_C / self.energy

    def pixel_size(self, m: int) -> float:
        """Pixel of the object grid in metres for m x m patterns: wavelength * distance / (m * pixel)."""
        return self.wavelength * self.distance / (m * self.detector_pixel)
