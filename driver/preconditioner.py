"""Diagonal preconditioner of the joint Hessian, with a block of the elements at each pixel.

Object: a = 1/N sum_j t_j |P_j|^2. Elements: the N_e x N_e block a mu mu^T + diag(f_e), f_e the lumped
diagonal (row sums) of the fluorescence term: inverted by the Sherman-Morrison formula. Probe:
1/N sum_j t_j |z_j|^2. To each a fraction of its largest value is added, where little light falls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ptyxrf.driver.objective import Objective

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
        self._probe_then: NDArray[Any] | None = None  # whose light the diagonal of the fields has

    @property
    def light_of(self) -> NDArray[Any] | None:
        """The probe whose light the diagonal of the fields has, or None where it has not been needed yet."""
        return self._probe_then

    def restore(self, probe: NDArray) -> None:
        """Compute the diagonal of the fields for the light of a probe, as it was in an earlier run."""
        self._objective._set_probe(probe)
        self._update_fields()
        self._probe_then = probe

    def update(self) -> None:
        """Compute the diagonal at the point last evaluated; what does not change is kept."""
        if self.identity:
            return
        objective = self._objective
        probe = objective.present_probe
        if self._probe_then is None or (
            # the ranks hold the same probe, but no rounding may part them here
            objective.with_probe and objective.any(not self._alike(probe, self._probe_then))
        ):
            self._update_fields()
            self._probe_then = probe
        if objective.with_probe:
            self._update_probe()

    @staticmethod
    def _alike(probe: NDArray, other: NDArray) -> bool:
        """Return whether two probes are so near that the light of one stands for that of the other."""
        change = probe - other
        return bool(np.vdot(change, change).real <= ALIKE**2 * np.vdot(other, other).real)

    def _update_fields(self) -> None:
        objective = self._objective
        light = (
            objective.illumination()
            if objective.diffraction is not None
            else np.zeros(objective.tile.owned.shape)
        )
        (peak,) = objective.ranks.largest(float(light.max(initial=0.0)))
        real = objective.real
        self._light = light.astype(real)
        self._object = (light + OBJECT_FLOOR * peak).astype(real) if peak > 0 else np.ones_like(self._light)
        if objective.method == "ptychography":
            return
        mu = (
            np.zeros(objective.scan.N_e) if objective.method == "fluorescence" else objective.scan.attenuation
        )
        own = objective.fluorescence_diagonal()
        most = objective.ranks.largest(*own.reshape(len(own), -1).max(axis=1, initial=0.0))
        floor = OBJECT_FLOOR * (most + mu**2 * peak)
        own += np.where(floor > 0, floor, 1.0)[:, None, None]
        self._own = own.astype(real)
        self._mu = mu.astype(real)

    def _update_probe(self) -> None:
        intensity = self._objective.object_intensity()
        peak = float(intensity.max())
        self._probe = (intensity + PROBE_FLOOR * peak) if peak > 0 else np.ones_like(intensity)

    def apply(self, residual: NDArray, free: NDArray[np.bool_] | None) -> NDArray[Any]:
        """Return M^-1 residual, 0 where `free` is False (those variables leave the elements' blocks)."""
        if self.identity:
            return residual.copy() if free is None else residual * free
        objective = self._objective
        out = np.zeros_like(residual)
        source, target = objective.fields_of(residual), objective.fields_of(out)
        kept = None if free is None else objective.fields_of(free)
        for name, where in objective.channels.items():
            if name != "elements":
                target[where] = source[where] / self._object
                continue
            mu = self._mu[:, None, None]
            inverse = 1 / self._own
            if kept is not None:
                inverse *= kept[where]
            scaled = source[where] * inverse
            weight = self._light / (1 + self._light * (mu**2 * inverse).sum(axis=0))
            target[where] = scaled - inverse * mu * (weight * (mu * scaled).sum(axis=0))
        if objective.with_probe:
            objective.probe_part(out)[...] = objective.probe_part(residual) / self._probe
        return out
