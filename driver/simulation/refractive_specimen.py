"""Procedural specimens of real materials: areal densities in kg/m^2 that absorb and delay the beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.optical_constants import optical_constants
from ptyxrf.driver.simulation.specimens import Specimen

#: Largest phase of the matrix as a fraction of that of the elements.
MATRIX_SHARE = 0.3


@dataclass(frozen=True)
class RefractiveSpecimen(Specimen):
    """A specimen of z = exp(-(a_m + i p_m) m - sum_e (a_e + i p_e) w_e).

    Parameters
    ----------
    phase_shift : (N_e,) array of float64
        p_e in m^2/kg; the attenuation a_e and the maps w_e are in m^2/kg and kg/m^2, too.
    matrix : (n_rows, n_cols) array of complex128
        (a_m + i p_m) m, of the material that fluorescence does not see.
    """

    phase_shift: NDArray[np.float64]
    matrix: NDArray[np.complex128]

    def transmission(self, link_offset: float = 0.0) -> NDArray[np.complex128]:
        """Complex object z, shape (n_rows, n_cols); vacuum is 1 whatever the offset."""
        constants = self.attenuation + 1j * self.phase_shift
        return np.exp(-self.matrix - np.tensordot(constants, self.elements, axes=1))


def refractive_specimen(
    specimen: Specimen, energy: float, contrast: float, matrix: str
) -> RefractiveSpecimen:
    """Return a procedural specimen as one of real materials.

    Parameters
    ----------
    specimen : Specimen
        Its maps are those of the elements of its names, and what its real part lacks to 1 is the matrix.
    energy : float
        Of the photons, in joules.
    contrast : float
        Largest delay of the phase by the elements, in radians.
    matrix : str
        Chemical formula of what fluorescence does not see.

    Raises
    ------
    ValueError
        A name is no element, or the matrix no formula.
    """
    attenuation, phase_shift = optical_constants(specimen.element_names, energy)
    try:
        (absorbed,), (delayed,) = optical_constants(matrix, energy)
    except ValueError as error:
        raise ValueError(f"matrix: {str(error).partition(': ')[2]}") from None
    largest = np.tensordot(phase_shift, specimen.elements, axes=1).max()
    lack = 1 - specimen.real_part
    depth = MATRIX_SHARE * contrast * lack / max(lack.max(), np.finfo(float).tiny)
    return RefractiveSpecimen(
        specimen.real_part,
        specimen.elements * (contrast / largest),
        attenuation,
        specimen.element_names,
        phase_shift,
        (absorbed / delayed + 1j) * depth,
    )
