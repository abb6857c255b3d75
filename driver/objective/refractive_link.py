"""The link of a specimen of refractive index n = 1 - delta + i beta: maps absorb and shift the phase.

z = exp(-absorption + i phase - sum_e (a_e + i p_e) w_e), with a = k beta / rho and p = k delta / rho of each
element and the maps w in units of areal density.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.links import Link
from ptyxrf.kernels.exponential_fields import (
    exponential_change,
    exponential_change_adjoint,
    exponential_curvature,
    exponential_fields,
)
from ptyxrf.kernels.phase_unwrapping import unwrapped_phase
from ptyxrf.parallel.rectangle import Window

#: The fields that may be free beside the maps, by the word of the setting `free`.
FREE_FIELDS: dict[str, tuple[str, ...]] = {
    "phase": ("phase",),
    "both": ("absorption", "phase"),
    "none": (),
}
#: -k of each of them.
FREE_WEIGHTS = {"absorption": 1.0, "phase": -1j}

#: Fraction of the largest weight from which on a pixel counts, and the quantile of the phase that is taken
#: for that of vacuum, which is ahead of all materials.
WELL_KNOWN, VACUUM = 0.1, 0.99


class RefractiveLink(Link):
    """z = exp(sum_c k_c field_c), with k = -1 for ``absorption``, i for ``phase`` and -(a + i p) for a map.

    Parameters
    ----------
    attenuation, phase_shift : (N_e,) array of float
        a_e and p_e: absorption of the amplitude and delay of the phase per unit of w_e (m^2/kg for an areal
        density in kg/m^2); half the mass attenuation coefficient, and k delta / rho.
    free : {"phase", "both", "none"}
        What varies freely beside the maps: the phase, absorption and phase, or nothing.
    matrix : (float, float), optional
        a and p of a material that fluorescence does not see; it has a map of its own, ``matrix``.
    """

    linear = False

    def __init__(
        self,
        attenuation: NDArray[np.float64],
        phase_shift: NDArray[np.float64],
        free: str = "phase",
        matrix: tuple[float, float] | None = None,
    ) -> None:
        materials = [] if matrix is None else [complex(*matrix)]
        elements = np.asarray(attenuation, np.float64) + 1j * np.asarray(phase_shift, np.float64)
        fields = FREE_FIELDS[free]
        # maps, which may be bounded below by 0, stand together
        self.unknowns = (*fields, *(["matrix"] if materials else []), "elements")
        self.nonnegative = self.unknowns[len(fields) :]
        self.weights = -np.array([*(FREE_WEIGHTS[name] for name in fields), *materials, *elements])

    @property
    def absorbs_by_maps(self) -> bool:
        """Whether all absorption belongs to the maps of the elements."""
        return not {"absorption", "matrix"} & set(self.unknowns)

    def forward(self, fields: NDArray, at: Window, z: NDArray) -> None:
        """Set z."""
        exponential_fields(fields, at.corner, *self.parts(fields.dtype), at.extent, z)

    def derivative(self, point: NDArray, z: NDArray, change: NDArray, at: Window, out: NDArray) -> None:
        """Set the change of z: z sum_c k_c change_c."""
        exponential_change(z, change, at.corner, *self.parts(change.dtype), at.extent, out)

    def adjoint(
        self, point: NDArray, z: NDArray, gradient: NDArray, at: Window, scale: float, out: NDArray,
        *, add: bool,
    ) -> None:  # fmt: skip
        """Set or add scale Re(conj(k_c z) gradient)."""
        factor = out.dtype.type(scale)
        exponential_change_adjoint(
            z, gradient, at.extent, factor, *self.parts(out.dtype), add, out, at.corner
        )  # fmt: skip

    def second_order(
        self, point: NDArray, z: NDArray, change: NDArray, gradient: NDArray, at: Window, scale: float,
        out: NDArray,
    ) -> None:  # fmt: skip
        """Add scale Re(conj(k_c z sum_d k_d change_d) gradient)."""
        exponential_curvature(
            z, change, gradient, at.extent, out.dtype.type(scale), *self.parts(out.dtype), out, at.corner
        )  # fmt: skip

    def fields_of(
        self, z: NDArray, elements: NDArray, weights: NDArray[np.float64] | None = None
    ) -> dict[str, NDArray]:
        """Return the maps, and the unwrapped phase and the absorption that they leave to the free fields.

        A material without fluorescence gets what is left where nothing is free: least squares of both parts
        with the phase of vacuum such that hardly anything is negative.
        """
        first = len(self.weights) - len(elements)
        left = np.log(np.maximum(np.abs(z), np.finfo(np.float32).tiny)) + 1j * unwrapped_phase(z, weights)
        left -= np.tensordot(self.weights[first:], elements, axes=1)
        parts = {"absorption": -left.real, "phase": left.imag}
        start = {name: parts[name] for name in self.unknowns if name in parts}
        if "matrix" in self.unknowns:
            start["matrix"] = np.zeros(z.shape)
            if len(start) == 1:  # nothing is free
                known = np.ones(z.shape) if weights is None else weights
                vacuum = np.quantile(left.imag[known > WELL_KNOWN * known.max()], VACUUM)
                k = self.weights[first - 1]
                start["matrix"] = np.maximum((np.conj(k) * (left - 1j * vacuum)).real / abs(k) ** 2, 0.0)
        return start | {"elements": elements}
