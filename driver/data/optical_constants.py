"""What elements and materials do to a beam of hard X-rays: absorption and phase per areal density.

The complex refractive index is n = 1 - delta + i beta, and k = 2 pi / wavelength. Tables: C. T. Chantler (J.
Phys. Chem. Ref. Data 24, 71, 1995) for delta, W. T. Elam et al. (Radiat. Phys. Chem. 63, 121, 2002) for the
total cross section, as `xraydb` has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.checks import positive
from ptyxrf.driver.data.geometry import JOULES_PER_KEV, PLANCK_TIMES_C
from ptyxrf.driver.data.scan import Scan

#: Symbols of the elements that the tables have, Z = 1 to 92.
SYMBOLS = frozenset(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr "
    "Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta "
    "W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U".split()
)

#: A symbol, perhaps followed by the line that was fitted: "Fe", "Fe_K", "Au L", "Pt-M".
NAME = re.compile(r"([A-Z][a-z]?)(?:[ _-]?[KLM][a-z0-9]*)?")

#: Photon energies of the tables.
LOWEST_KEV, HIGHEST_KEV = 0.1, 300.0

#: kg/m^3 in 1 g/cm^3.
GRAMS_PER_CUBIC_CM = 1000.0


def optical_constants(
    elements: str | Sequence[str], energy: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how elements or materials change the amplitude and the phase of a beam.

    A layer of areal density w transmits exp(-(a + i p) w) of the amplitude.

    Parameters
    ----------
    elements : str or sequence of str
        Symbols ("Fe"), perhaps with a line behind ("Fe_K"), or chemical formulas ("C5H8O2").
    energy : float
        Photon energy in joules, as `Geometry` has it: ``scan.geometry.energy``.

    Returns
    -------
    attenuation : (N_e,) array of float64
        a = k beta / rho in m^2/kg: half the mass attenuation coefficient (absorption and scattering).
    phase_shift : (N_e,) array of float64
        p = k delta / rho in m^2/kg; positive far from absorption edges.

    Raises
    ------
    ValueError
        A name is no symbol or formula, or the energy is outside the tables (0.1 to 300 keV).
    """
    import xraydb  # takes most of a second, which only those who need the tables should wait for

    energy_keV = positive("energy", energy, "in joules") / JOULES_PER_KEV
    if not LOWEST_KEV <= energy_keV <= HIGHEST_KEV:
        raise ValueError(
            f"energy: expected {LOWEST_KEV:g} to {HIGHEST_KEV:g} keV, in joules, got {energy:.6g} J "
            f"({energy_keV:.4g} keV)"
        )
    wave_number = 2 * np.pi * energy / PLANCK_TIMES_C
    constants = []
    for name in [elements] if isinstance(elements, str) else elements:
        formula = symbol_of(name) or name
        try:
            delta, _, length = xraydb.xray_delta_beta(formula, 1.0, 1e3 * energy_keV)  # 1 g/cm^3
        except (ValueError, KeyError, ZeroDivisionError):
            raise ValueError(
                f"elements: expected symbols of elements up to uranium or chemical formulas, got {name!r}"
            ) from None
        constants.append((0.5e2 / length, wave_number * delta))  # the attenuation length is in cm
    attenuation, phase_shift = np.array(constants, np.float64).reshape(-1, 2).T / GRAMS_PER_CUBIC_CM
    return attenuation, phase_shift


def symbol_of(name: str) -> str | None:
    """Return the symbol that the name of a map begins with, or None."""
    found = NAME.fullmatch(name)
    return found[1] if found and found[1] in SYMBOLS else None


def has_refractive_constants(scan: Scan) -> bool:
    """Return whether a scan tells absorption and phase of its elements.

    It has them, or names of elements and the photon energy; an attenuation alone is that of a linear link.
    """
    if scan.phase_shift is not None or scan.N_e == 0:
        return scan.phase_shift is not None
    named = all(map(symbol_of, scan.element_names))
    return named and scan.geometry is not None and scan.given_attenuation is None


def refractive_constants(scan: Scan) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return attenuation and phase shift of a scan's elements: those of the scan, or of the tables.

    Raises
    ------
    ValueError
        The scan has neither phase shifts nor symbols with an energy.
    """
    if scan.phase_shift is not None:
        return scan.attenuation, scan.phase_shift
    unknown = [name for name in scan.element_names if symbol_of(name) is None]
    if unknown or scan.geometry is None:
        lack = f"the name {unknown[0]!r}" if unknown else "no photon energy"
        raise ValueError(
            "link: expected attenuation and phase_shift of each element for the refractive link, or symbols "
            f"of elements and a geometry with the photon energy, got {lack}"
        )
    attenuation, phase_shift = optical_constants(scan.element_names, scan.geometry.energy)
    return (attenuation if scan.given_attenuation is None else scan.given_attenuation), phase_shift
