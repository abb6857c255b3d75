"""What deviations are given of, as linear functions of a change of the unknowns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.illumination import ILLUMINATED, illumination_part
from ptyxrf.driver.uncertainty.open_directions import change_of_object, pulled_back
from ptyxrf.parallel.gather import gather_tiles

Named = dict[str, NDArray[Any]]

#: Those with a value for each pixel of the object.
MAPS = ("amplitude", "phase", "elements", "matrix")


class Quantities:
    """The quantities of an objective at a point; all ranks make the same calls.

    Parameters
    ----------
    objective : Objective
    vector : (size,) array

    Attributes
    ----------
    lit : (rows, columns) array of bool
        The illuminated pixels among the owned ones.
    """

    def __init__(self, objective: Objective, vector: NDArray) -> None:
        self._objective, self._vector = objective, vector
        light = illumination_part(objective.scan, objective.tile, objective.ranks, objective.probe_of(vector))
        (peak,) = objective.ranks.largest(float(light.max(initial=0.0)))
        self.lit = light > ILLUMINATED * peak
        self._z = objective.complex_object(vector).astype(np.complex128)
        self._moduli = np.where(np.abs(self._z) > 0, np.abs(self._z), np.nan)
        self._names = {name for kind in objective.beam.kinds for name in kind.names}

    def of(self, change: NDArray) -> Named:
        """Return the change of each quantity: maps on the owned pixels, all else whole on every rank."""
        objective, found = self._objective, self._of_beam(change)
        if objective.data.patterns is not None:
            relative = change_of_object(objective, self._vector, change) / self._z
            found["amplitude"], found["phase"] = relative.real * self._moduli, relative.imag
        if objective.data.counts is not None:
            found["elements"] = objective.elements_of(change)
        matrix = objective.fields.only("matrix", change)
        return found if matrix is None else found | {"matrix": matrix}

    def _of_beam(self, change: NDArray) -> Named:
        """Return the changes of what is refined beside the object."""
        beam, scan = self._objective.beam, self._objective.scan
        found: Named = {}
        if "probe" in self._names:
            found["probe"] = np.array(beam.change_of_probe(change))
        if self._names & {"displacement", "distortion"}:
            found["positions"] = beam.positions(change) - scan.positions
        if "log_amplitude" in self._names:
            logarithms = 0.5 * np.log(beam.intensities(change) / scan.exposure)
            found["intensities"] = 2 * beam.intensities(self._vector) * logarithms
        if "background_amplitude" in self._names:
            kind = next(one for one in beam.kinds if one.names == ("background_amplitude",))
            found["pattern_background"] = 2.0 * kind.view(self._vector) * kind.view(change)
        return found

    def deviations(self, changes: Iterable[NDArray]) -> Named:
        """Return the whole root mean squares of each quantity over several changes."""
        sums: Named = {}
        count = 0
        for change in changes:
            count += 1
            for name, values in self.of(change).items():
                sums[name] = sums.get(name, 0.0) + np.abs(values).astype(np.float64) ** 2
        return self.whole({name: np.sqrt(total / count) for name, total in sums.items()})

    def whole(self, named: Named) -> Named:
        """Return quantities of all ranks, NaN on pixels without light."""
        return {name: self._gathered(values) if name in MAPS else values for name, values in named.items()}

    def _gathered(self, values: NDArray[Any]) -> NDArray[np.float64]:
        comm, tile = self._objective.ranks.comm, self._objective.tile
        lit = np.where(self.lit, values, np.nan)
        return gather_tiles(comm, tile, np.ascontiguousarray(lit.reshape(-1, *lit.shape[-2:]))).reshape(
            *values.shape[:-2], *tile.grid
        )

    def sizes(self, change: NDArray, over: Named | None = None) -> NDArray[np.float64]:
        """Return the root mean square of a change of the object and of each map, over their deviations.

        Parameters
        ----------
        change : (size,) array
        over : dict of str to array, optional
            Whole deviations; pixels without any are left out. Default: 1.
        """
        objective, squares = self._objective, []
        for name, values in self.of(change).items():
            if name not in MAPS:
                continue
            planes = np.abs(values).reshape(-1, *values.shape[-2:]).astype(np.float64)
            units = np.ones_like(planes)
            if over is not None:
                owned = (slice(None), *objective.tile.owned.slices)
                units = over[name].reshape(-1, *objective.tile.grid)[owned]
            for plane, unit in zip(planes, units, strict=True):
                known = self.lit & np.isfinite(plane) & (unit > 0)
                squares += [float(((plane[known] / unit[known]) ** 2).sum()), float(known.sum())]
        totals = objective.sum(np.array(squares)).reshape(-1, 2)
        return np.sqrt(totals[:, 0] / np.maximum(totals[:, 1], 1.0))

    # ---------------------------------------------------------------- from the preconditioner

    def diagonal(self, unit: float) -> Named:
        """Return whole deviations from the preconditioner: each pixel by itself, in a loss of `unit`."""
        objective = self._objective
        found: Named = {}

        def spread(weights: NDArray) -> NDArray[Any]:
            """Return the deviation of sum_c weights_c field_c at each pixel."""
            source = np.zeros_like(self._vector)
            objective.fields.view(source)[...] = weights
            fields = objective.fields.view(objective.precondition(source))
            return np.sqrt(unit * np.maximum((weights * fields).sum(axis=0), 0.0))

        unity = self._z / self._moduli
        if objective.data.patterns is not None:
            found["amplitude"] = spread(pulled_back(objective, self._vector, unity))
            found["phase"] = spread(pulled_back(objective, self._vector, 1j * unity / self._moduli))
        for name in ("elements", "matrix"):
            if name in objective.fields.channels:
                where = objective.fields.channels[name]
                single = np.eye(objective.fields.shape[0])[where]
                maps = [spread(one[:, None, None] * np.ones(objective.fields.shape)) for one in single]
                found[name] = np.stack(maps) if name == "elements" else maps[0]
        ones, turned = np.ones_like(self._vector), np.ones_like(self._vector)
        for kind in objective.beam.kinds:
            if kind.names == ("displacement",):
                kind.view(turned)[:, 1] = -1
        # half the sum over both signs of the columns has no coupling of rows and columns
        inverse = (objective.precondition(ones) + turned * objective.precondition(turned)) / 2
        roots = np.sqrt(unit * np.maximum(inverse, 0.0))
        return self.whole(found | self._diagonal_of_beam(roots))

    def _diagonal_of_beam(self, roots: NDArray) -> Named:
        """Return deviations of what is refined beside the object, given those of the unknowns."""
        objective, beam = self._objective, self._objective.beam
        found: Named = {}
        for kind in beam.kinds:
            whole = kind.gather(roots)[kind.names[0]]
            if kind.names == ("probe",):
                found["probe"] = np.abs(whole)
            elif kind.names == ("displacement",):
                found["positions"] = np.asarray(whole, np.float64)
            elif kind.names == ("log_amplitude",):
                found["intensities"] = 2 * beam.intensities(self._vector) * whole[:, 0]
            elif kind.names == ("background_amplitude",):
                found["pattern_background"] = np.abs(2.0 * kind.view(self._vector) * whole)
            elif "positions" not in found:
                lever = objective.scan.positions - objective.scan.positions.mean(axis=0)
                found["positions"] = np.sqrt(lever**2 @ (np.asarray(whole, np.float64) ** 2).T)
        return found
