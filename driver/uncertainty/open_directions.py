"""The directions that the data leave open, and their removal from changes of the unknowns.

Patterns do not tell the phase of the object where it is free as a whole. Where the probe is refined, they
leave open besides a factor and a linear phase that object and probe share, a common shift, the phase of the
probe and the mixture of its modes. What is removed along a direction is found on the object, weighed by its
illumination, and for the last two on the probe.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.parallel.rectangle import Window


def change_of_object(objective: Objective, vector: NDArray, change: NDArray) -> NDArray[Any]:
    """Return the linear change of z (rows, columns) on the owned pixels for a change of the unknowns."""
    fields, point = objective.fields.view(change), objective.fields.view(vector)
    z = objective.complex_object(vector)
    out = np.zeros_like(z)
    objective.link.derivative(point, z, fields, _everywhere(objective), out)
    return out


def pulled_back(objective: Objective, vector: NDArray, gradient: NDArray[Any]) -> NDArray[Any]:
    """Return the adjoint of `change_of_object`, as fields (C, rows, columns)."""
    point = objective.fields.view(vector)
    out = np.zeros_like(point)
    z = objective.complex_object(vector)
    objective.link.adjoint(point, z, gradient.astype(z.dtype), _everywhere(objective), 1.0, out, add=False)
    return out


def _everywhere(objective: Objective) -> Window:
    owned = objective.tile.owned
    return Window.same(owned.within(owned))


class OpenDirections:
    """What the data leave open at a point; all ranks make the same calls.

    Parameters
    ----------
    objective : Objective
    vector : (size,) array
    """

    def __init__(self, objective: Objective, vector: NDArray) -> None:
        self._objective, self._vector = objective, vector
        self._probe = next((kind for kind in objective.layout.kinds if kind.names == ("probe",)), None)
        self._of_object: list[NDArray[Any]] = []
        self._of_probe: list[NDArray[Any]] = []
        if objective.data.patterns is not None:
            self._weight = objective.diagonals.illumination()
            self._of_object = self._directions()
            self._changes = [change_of_object(objective, vector, one) for one in self._of_object]
            self._gram = self._products(self._changes, self._changes)
        if self._probe is not None:
            self._of_probe = self._mixtures()

    def without(self, change: NDArray) -> NDArray[Any]:
        """Return a change of the unknowns without its part along these directions."""
        left = change
        if self._of_object:
            of_change = change_of_object(self._objective, self._vector, change)
            right = self._products(self._changes, [of_change])[:, 0]
            parts = np.linalg.lstsq(self._gram, right, rcond=1e-10)[0]
            left = left - np.tensordot(parts, np.stack(self._of_object), axes=1)
        if self._of_probe and self._probe is not None:
            basis = np.stack([self._probe.part(one) for one in self._of_probe])
            parts = np.linalg.lstsq(basis.T, self._probe.part(left), rcond=1e-10)[0]
            left = left - np.tensordot(parts, np.stack(self._of_probe), axes=1)
        return left.astype(change.dtype, copy=False)

    def _products(self, left: list[NDArray[Any]], right: list[NDArray[Any]]) -> NDArray[np.float64]:
        """Return the weighed products of changes of the object, over all ranks."""
        own = [[float(np.sum(self._weight * (a.conj() * b).real)) for b in right] for a in left]
        return self._objective.sum(np.array(own, np.float64).reshape(-1)).reshape(len(left), len(right))

    def _directions(self) -> list[NDArray[Any]]:
        """Return those that change the object."""
        owned, grid = self._objective.tile.owned, self._objective.scan.shape
        ones = np.ones(owned.shape)
        changes = [self._of_logarithm(1j * ones)]
        if self._probe is not None:
            probe = self._objective.probe_of(self._vector)
            rows = np.arange(owned.row_start, owned.row_stop)[:, None] / grid[0] - 0.5
            columns = np.arange(owned.column_start, owned.column_stop) / grid[1] - 0.5
            own = np.arange(probe.shape[-1])
            changes += [
                self._of_logarithm(ones + 0j, -probe),
                self._of_logarithm(1j * rows * ones, -1j * (own / grid[0])[:, None] * probe),
                self._of_logarithm(1j * columns * ones, -1j * own / grid[1] * probe),
                *self._shifts(probe),
            ]
        return [one for one in changes if one is not None]

    def _of_logarithm(self, change: NDArray[Any], probe: NDArray[Any] | None = None) -> NDArray[Any] | None:
        """Return the direction dz = z change, with a change of the probe; None where z cannot follow."""
        objective, names = self._objective, self._objective.fields.channels
        direction = np.zeros_like(self._vector)
        fields = objective.fields.view(direction)
        if "imaginary_part" in names:
            z = objective.complex_object(self._vector) * change
            fields[names["real_part"]], fields[names["imaginary_part"]] = z.real, z.imag
        elif "phase" in names and not change.real.any():
            fields[names["phase"]] = change.imag
        else:
            return None
        return self._with_probe(direction, probe)

    def _with_probe(self, direction: NDArray, probe: NDArray[Any] | None) -> NDArray[Any]:
        if probe is not None and self._probe is not None:
            self._probe.view(direction)[...] = probe
        return direction

    def _shifts(self, probe: NDArray[Any]) -> list[NDArray[Any]]:
        """Return common shifts; maps that are convolved with the probe's intensity tell them."""
        objective, scan = self._objective, self._objective.scan
        if objective.data.counts is not None and scan.sampling == "grid" and scan.blur == "convolution":
            return []
        whole = objective.gather(self._vector)
        turns = np.fft.fftfreq(scan.m)
        turns[scan.m // 2] *= scan.m % 2  # a shift of the Nyquist frequency has no derivative
        directions = []
        for axis in (0, 1):
            direction = np.zeros_like(self._vector)
            fields = objective.fields.view(direction)
            for name, where in objective.fields.channels.items():
                slopes = np.gradient(whole[name], axis=axis - 2)
                fields[where] = slopes[(..., *objective.tile.owned.slices)]
            spectrum = np.fft.fft(probe, axis=axis - 2)
            factor = 2j * np.pi * (turns[:, None] if axis == 0 else turns)
            directions.append(self._with_probe(direction, np.fft.ifft(factor * spectrum, axis=axis - 2)))
        return directions

    def _mixtures(self) -> list[NDArray[Any]]:
        """Return the phase of the probe, and what mixes its modes without a change of their intensity."""
        probe = self._objective.probe_of(self._vector)
        changes = []
        for k in range(len(probe)):
            for other in range(k, len(probe)):
                for factor in (1j,) if k == other else (1.0, 1j):
                    change = np.zeros_like(probe)
                    change[k] += factor * probe[other]
                    if k != other:
                        change[other] -= np.conj(factor) * probe[k]
                    changes.append(self._with_probe(np.zeros_like(self._vector), change))
        return changes
