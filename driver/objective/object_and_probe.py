"""The unknowns of a scan, and the preconditioner of each.

Fields with the weights re_c + i im_c in the link have the block a (re re^T + im im^T) + diag(f) at a pixel:
a = 1/N sum_j t_j |P_j|^2; f_e the lumped diagonal (row sums) of the fluorescence term for an element, and 0
for other fields. Its inverse is that of Sherman, Morrison and Woodbury. Probe: 1/N sum_j t_j |z_j|^2. A
fraction of the largest value is added to each diagonal, for pixels that are hardly illuminated, and for
fields that the patterns cannot tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.diagonals import Diagonals
from ptyxrf.driver.objective.unknown_kinds import Fields, Replicated
from ptyxrf.driver.solver.inverse_blocks import InverseBlocks

#: Relative change of the probe below which the diagonal of the fields is kept: summing the illumination over
#: all positions takes a tenth of a gradient.
ALIKE = 0.03

#: Changes that others make up for to this part are the same.
DEPENDENT = 1e-6


def alike(probe: NDArray, other: NDArray) -> bool:
    """Return whether two probes are so similar that one illumination approximates the other."""
    change = probe - other
    return bool(np.vdot(change, change).real <= ALIKE**2 * np.vdot(other, other).real)


class ObjectFields(Fields):
    """The fields from which the link makes the object; the maps "elements" are among them.

    Parameters
    ----------
    widths : mapping of str to int
        See `Fields`.
    diagonals : Diagonals
    weights : (C,) array of complex
        How the fields enter the object; 0 where there are no patterns.
    floor : float
        Fraction of the largest diagonal entry that is added.
    probe_moves : callable
        Whether the probe moves at present.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        real: np.dtype[Any],
        diagonals: Diagonals,
        weights: NDArray[np.complex128],
        floor: float,
        probe_moves: Callable[[], bool],
    ) -> None:
        super().__init__(diagonals.data.ranks, diagonals.data.tile, widths, real)
        self._diagonals, self._floor, self._probe_moves = diagonals, floor, probe_moves
        self._power = weights.real**2 + weights.imag**2
        self._alone, self._coupling = self._coupled(np.stack([weights.real, weights.imag]))
        self._probe_then: NDArray[Any] | None = None  # from which the diagonal was computed
        self._blocks: InverseBlocks | None = None

    def inverse_blocks(self, held: frozenset[str]) -> InverseBlocks:
        """Return M^-1 of the fields that move; the diagonal is kept while the probe hardly changes."""
        probe = self._diagonals.terms.probe
        assert probe is not None
        # the ranks hold the same probe, but rounding must not lead to different decisions
        if (
            self._blocks is None
            or self._probe_then is None
            or (self._probe_moves() and self.ranks.any(not alike(probe, self._probe_then)))
        ):
            self._blocks, self._probe_then = self._computed(), probe
        coupling = self._blocks.coupling.copy()
        for name in held.intersection(self.names):
            coupling[:, self.channels[name]] = 0
        return replace(self._blocks, coupling=coupling)

    def forget(self) -> None:
        """Discard what was computed for other weights."""
        self._blocks = self._probe_then = None

    def preconditioner_state(self) -> dict[str, NDArray[Any]]:
        """Return the probe from whose illumination the diagonal was computed."""
        return {} if self._probe_then is None else {"illumination_of": self._probe_then}

    def restore_preconditioner(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Compute the diagonal of an earlier run again."""
        if "illumination_of" in state:
            self._probe_then = state["illumination_of"]
            self._diagonals.terms.set_beam(self._probe_then)
            self._blocks = self._computed()

    def _coupled(self, parts: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return which channels (C,) stand alone, and the couplings (R, C) of the others.

        A field stands alone if no other enters its part of the object; the elements always go together.
        """
        shared = np.count_nonzero(parts, axis=1) > 1
        alone = ~((parts != 0) & shared[:, None]).any(axis=0)
        alone[self.elements] = False
        coupling = np.where(alone, 0.0, parts)
        used = coupling.any(axis=1)
        return alone, coupling[used] if used.any() else coupling[:1]

    def _computed(self) -> InverseBlocks:
        diagonals, ranks = self._diagonals, self.ranks
        with_patterns = diagonals.terms.diffraction is not None
        illumination = diagonals.illumination() if with_patterns else np.zeros(self.tile.owned.shape)
        (peak,) = ranks.largest(float(illumination.max(initial=0.0)))
        rows: list[NDArray[Any]] = []
        which: list[int] = []
        places: dict[tuple[bool, float], int] = {}  # fields of the same weight share one diagonal
        for name, where in self.channels.items():
            power = self._power[where]
            if name == "elements":
                own = diagonals.fluorescence()
                most = ranks.largest(*own.reshape(len(own), -1).max(axis=1, initial=0.0))
                floor = self._floor * (most + power * peak)
                own += np.where(floor > 0, floor, 1.0)[:, None, None]
                which += range(len(rows), len(rows) + len(own))
                rows += list(own)
                continue
            kind = bool(self._alone[where.start]), float(power[0])
            if kind not in places:
                places[kind] = len(rows)
                own = illumination if kind[0] else np.zeros_like(illumination)
                floor = kind[1] * self._floor * peak
                rows.append(kind[1] * own + (floor if floor > 0 or own.any() else 1.0))
            which.append(places[kind])
        inverse = np.empty((len(rows), illumination.size), self.real)
        for target, row in zip(inverse, rows, strict=True):
            target[:] = 1 / row.reshape(-1)
        return InverseBlocks(
            self.start,
            inverse,
            np.array(which, dtype=np.int64),
            self._coupling.astype(self.real),
            illumination.reshape(1, -1).astype(self.real),
        )


class ProbeModes(Replicated):
    """The (K, m, m) probe.

    Parameters
    ----------
    diagonals : Diagonals
    dtype : complex64 or complex128
    floor : float
        Fraction of the largest diagonal entry that is added.
    z : array
        The object on the covered pixels, as it is at the point last evaluated.
    alpha : callable
        Returns the weights of the fluorescence.
    phase_free : bool
        Whether the phase of the object is free as a whole.
    """

    def __init__(
        self,
        diagonals: Diagonals,
        dtype: Any,
        floor: float,
        z: NDArray[Any],
        alpha: Callable[[], NDArray[np.float64]],
        phase_free: bool,
    ) -> None:
        super().__init__("probe", diagonals.data.scan.probe.shape, dtype)
        self._diagonals, self._floor, self._z, self._alpha = diagonals, floor, z, alpha
        self._phase_free = phase_free
        self._pinned: NDArray[Any] | None = None
        self._held = np.zeros((0, *self.shape), dtype)

    def pin(self, probe: NDArray[Any]) -> None:
        """Hold the scale: the part of all probes along this one, of its dtype, stays that of this one.

        Patterns do not tell a factor of the probe from one of the object, which may be one of the maps. What
        else they do not tell is held with it, because a probe gains power on the way there.
        """
        scan = self._diagonals.data.scan
        shifts = not (scan.sampling == "grid" and scan.blur == "convolution")  # such maps tell them
        untold = _untold(probe, ramps=self._phase_free, shifts=shifts)
        self._pinned, self._held = probe, untold.astype(probe.dtype)

    def held_in_scale(self, vector: NDArray) -> NDArray[Any]:
        """Return the probe of a vector; a view where the scale is free."""
        probe = self.view(vector)
        return probe if self._pinned is None else self._pinned + self.projected(probe - self._pinned)

    def projected(self, change: NDArray[Any]) -> NDArray[Any]:
        """Return a change of the probe, or a gradient, without the part that is held."""
        if self._pinned is None:
            return change
        parts = [np.vdot(one, change).real for one in self._held]
        return change - np.tensordot(np.array(parts, change.real.dtype), self._held, 1)

    def inverse_blocks(self, held: frozenset[str]) -> InverseBlocks:
        """Return M^-1 of the probe."""
        if "probe" in held:
            return super().inverse_blocks(held)
        intensity = self._diagonals.object_intensity(self._z)
        peak = float(intensity.max())
        if peak > 0:
            diagonal = intensity + self._floor * peak
        else:  # the fluorescence alone: one number makes the steps those of the data's unit
            diagonal = np.full_like(intensity, self._diagonals.fluorescence_of_probe(self._alpha()))
        inverse = np.repeat(1 / diagonal, 2)  # of the real and the imaginary part
        return self.diagonal(np.tile(inverse, self.shape[0]).astype(self.real))


def _untold(probe: NDArray[Any], *, ramps: bool, shifts: bool) -> NDArray[np.complex128]:
    """Return changes of a probe (n, K, m, m) that patterns do not tell from others of the object.

    An orthonormal basis, with real coefficients, of its scale, phase ramps and shifts along rows and columns
    where they are asked for, and unitary mixtures of its modes, the global phase among them.
    """
    probe = probe.astype(np.complex128)
    modes, m, _ = probe.shape
    x, turns = np.arange(m) - m // 2, 2j * np.pi * np.fft.fftfreq(m)
    changes = [probe]
    if ramps:
        changes += [1j * probe * x[:, None], 1j * probe * x]
    if shifts:
        spectrum = np.fft.fft2(probe)
        changes += [np.fft.ifft2(spectrum * turns[:, None]), np.fft.ifft2(spectrum * turns)]
    for k in range(modes):
        for other in range(k + 1):
            for factor in (1, 1j) if k != other else (1j,):
                mixed = np.zeros_like(probe)
                mixed[k] += factor * probe[other]
                mixed[other] -= np.conj(factor) * probe[k] * (k != other)
                changes.append(mixed)
    unit = [change / max(np.linalg.norm(change), 1e-300) for change in changes]
    columns = np.array([np.concatenate([one.real.ravel(), one.imag.ravel()]) for one in unit]).T
    basis, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    real, imaginary = np.split(basis[:, sizes > DEPENDENT * sizes[0]].T, 2, axis=1)
    return (real + 1j * imaginary).reshape(-1, *probe.shape)
