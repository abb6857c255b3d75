"""Diagonal preconditioner of the joint Hessian, with a block of the elements at each pixel.

Object: a = 1/N sum_j t_j |P_j|^2. Elements: the N_e x N_e block a mu mu^T + diag(f_e), f_e the lumped
diagonal (row sums) of the fluorescence term: inverted by the Sherman-Morrison formula. Probe:
1/N sum_j t_j |z_j|^2. To each a fraction of its largest value is added, where little light falls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.inverse_blocks import InverseBlocks

if TYPE_CHECKING:
    from ptyxrf.driver.objective.objective import Objective

#: Fractions of the largest diagonal entry that are added.
OBJECT_FLOOR = 0.02
PROBE_FLOOR = 0.02
#: Relative change of the probe below which the diagonal of the fields is kept: to sum its light over all
#: positions takes a tenth of a gradient.
ALIKE = 0.03


class Preconditioner:
    """M^-1 for vectors of an objective.

    Parameters
    ----------
    objective : Objective
        Asked for its sums when `update` is called.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.identity = False
        self.blocks: list[InverseBlocks] = []
        self._probe_then: NDArray[Any] | None = None  # whose light the diagonal of the fields has

    @property
    def light_of(self) -> NDArray[Any] | None:
        """The probe whose light the diagonal of the fields has, or None where it has not been needed yet."""
        return self._probe_then

    def restore(self, probe: NDArray) -> None:
        """Compute the diagonal of the fields for the light of a probe, as it was in an earlier run."""
        self._objective.set_probe(probe)
        self._fields = self._of_fields()
        self._probe_then = probe
        self.blocks = [self._fields]

    def update(self) -> None:
        """Compute the diagonal at the point last evaluated; what does not change is kept."""
        objective = self._objective
        if self.identity:
            if not self.blocks:
                # the probe apart: all ranks have it, and it counts once
                cut, ones = objective.field_size, np.ones(objective.size, objective.real)
                self.blocks = [InverseBlocks.diagonal(0, ones[:cut])]
                if objective.refine_probe:
                    self.blocks.append(InverseBlocks.diagonal(cut, ones[cut:]))
            return
        probe = objective.present_probe
        if self._probe_then is None or (
            # the ranks hold the same probe, but no rounding may part them here
            objective.with_probe and objective.any(not self._alike(probe, self._probe_then))
        ):
            self._fields = self._of_fields()
            self._probe_then = probe
            self.blocks = [self._fields]
        if objective.with_probe:
            self.blocks = [self._fields, self._of_probe()]
        elif objective.refine_probe and len(self.blocks) == 1:
            # held: its part of every residual is 0
            held = np.zeros(objective.size - objective.field_size, objective.real)
            self.blocks = [self._fields, InverseBlocks.diagonal(objective.field_size, held)]

    @staticmethod
    def _alike(probe: NDArray, other: NDArray) -> bool:
        """Return whether two probes are so near that the light of one stands for that of the other."""
        change = probe - other
        return bool(np.vdot(change, change).real <= ALIKE**2 * np.vdot(other, other).real)

    def _of_fields(self) -> InverseBlocks:
        objective = self._objective
        light = (
            objective.illumination()
            if objective.diffraction is not None
            else np.zeros(objective.tile.owned.shape)
        )
        (peak,) = objective.ranks.largest(float(light.max(initial=0.0)))
        real, mu = objective.real, np.zeros(objective.scan.N_e)
        if objective.method != "fluorescence":
            mu[:] = objective.scan.attenuation
        diagonals: list[NDArray[Any]] = []
        which, coupling = [], []
        for name in objective.channels:
            if name != "elements":
                if not diagonals:
                    diagonals.append(light + OBJECT_FLOOR * peak if peak > 0 else np.ones_like(light))
                which.append(0)
                coupling.append(0.0)
                continue
            own = objective.fluorescence_diagonal()
            most = objective.ranks.largest(*own.reshape(len(own), -1).max(axis=1, initial=0.0))
            floor = OBJECT_FLOOR * (most + mu**2 * peak)
            own += np.where(floor > 0, floor, 1.0)[:, None, None]
            which += range(len(diagonals), len(diagonals) + len(own))
            diagonals += list(own)
            coupling += mu.tolist()
        inverse = np.empty((len(diagonals), light.size), real)
        for row, diagonal in zip(inverse, diagonals, strict=True):
            row[:] = 1 / diagonal.reshape(-1)
        return InverseBlocks(
            0,
            inverse,
            np.array(which, dtype=np.int64),
            np.array(coupling, dtype=real),
            light.reshape(-1).astype(real),
        )

    def _of_probe(self) -> InverseBlocks:
        objective = self._objective
        intensity = objective.object_intensity()
        peak = float(intensity.max())
        if peak > 0:
            diagonal = intensity + PROBE_FLOOR * peak
        else:  # the fluorescence alone; a number at least makes the steps those of the data's unit
            diagonal = np.full_like(intensity, objective.fluorescence_curvature_of_probe())
        inverse = np.repeat(1 / diagonal, 2)  # of the real and the imaginary part
        every_mode = np.tile(inverse, objective.scan.K).astype(objective.real)
        return InverseBlocks.diagonal(objective.field_size, every_mode)

    def apply(self, residual: NDArray, free: NDArray[np.bool_] | None) -> NDArray[Any]:
        """Return M^-1 residual, 0 where `free` is False (those variables leave the elements' blocks)."""
        out = np.empty_like(residual)
        for blocks in self.blocks:
            blocks.apply(residual, free, out)
        return out
