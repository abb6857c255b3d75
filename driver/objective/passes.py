"""The three passes over a rank's positions: gradient, Hessian product, losses along a line.

Owned fields -> halo -> tile -> kernels over the rank's positions -> halo -> owned fields. Each pass is one
loop over what an `Exchange` says can be computed next; messages travel between its events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.diagonals import Diagonals
from ptyxrf.driver.objective.internal_units import InternalUnits
from ptyxrf.driver.objective.links import Link
from ptyxrf.driver.objective.terms import Terms
from ptyxrf.driver.objective.unknown_kinds import Fields
from ptyxrf.kernels.probe_shift import AdjointSum
from ptyxrf.kernels.reductions import dot
from ptyxrf.parallel.exchange import Arrived, Complete, Exchange, Leaving, Positions
from ptyxrf.parallel.halo import HaloField
from ptyxrf.parallel.rectangle import Window


class Passes:
    """Passes over the positions of a rank; all ranks make the same calls.

    Parameters
    ----------
    terms : Terms
    link : Link
    fields : Fields
        The unknown fields from which the link makes the object.
    units : InternalUnits
    count : int
        N, the positions of all ranks.

    Attributes
    ----------
    z : (rows, columns) array of complex
        The object on the covered pixels, at the point last evaluated.
    """

    def __init__(self, terms: Terms, link: Link, fields: Fields, units: InternalUnits, count: int) -> None:
        self.terms, self.link, self.tile = terms, link, fields.tile
        self._units, self._count, self._real = units, count, fields.real
        self._elements = fields.elements
        dtype = np.result_type(fields.real, np.complex64)
        self.z, self._change_z, self._product_z = (np.zeros(self.tile.covered.shape, dtype) for _ in range(3))
        # the gradient in z is needed later only by a link that is not linear
        self._gradient_z = self._product_z if link.linear else np.zeros_like(self.z)
        self._point, self._change, self._result = (fields.halo() for _ in range(3))

    def gradient(
        self, fields: NDArray, gradient: NDArray, with_probe: bool
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Evaluate at owned fields, which become the point of the other passes.

        Parameters
        ----------
        fields : (C, rows, columns) array
            On the owned pixels. The probe is that of the terms.
        gradient : (C, rows, columns) array
            Set to the gradient in the fields.
        with_probe : bool
            Whether the gradient in the probe is asked for.

        Returns
        -------
        losses : (2,) array of float64
            This rank's share of ptychography and fluorescence, in internal units.
        probe : (K, m, m) array
            This rank's share of the gradient in the probe; 0 where it is not asked for.
        """
        terms, diffraction, fluorescence = self.terms, self.terms.diffraction, self.terms.fluorescence
        # the point stays in its halo field, as the caller may change the vector
        point, out = self._point, self._result
        self._clear(self._gradient_z)
        losses, of_maps = np.zeros(2), None
        probe_sum = self._probe_sum(with_probe)
        exchange = Exchange(fields, point, out, terms.positioned.batch)
        for event in exchange:
            match event:
                case Arrived(part, at) if diffraction is not None:
                    self.link.forward(part, at, self.z)
                case Positions(first, last) if diffraction is not None:
                    diffraction.gradient(self.z, self._gradient_z, first, last, probe_sum)
                case Complete() if fluorescence is not None:
                    losses[1], of_maps = fluorescence.gradient(self._maps(point), self._maps(out), with_probe)
                case Leaving(at) if diffraction is not None:
                    self._to_halo(self._gradient_z, at)
        if diffraction is not None:
            losses[0] = float(diffraction.pattern_losses.sum()) / self._count
        probe = self._of_probe(probe_sum, of_maps)
        self._collect(exchange, self._gradient_z, gradient)
        return losses, probe * self._units.amplitude

    def product(self, fields: NDArray, product: NDArray, with_probe: bool) -> NDArray[Any]:
        """Apply the Hessian at the point.

        Parameters
        ----------
        fields : (C, rows, columns) array
            Change of the owned fields. That of the probe is the direction of the terms.
        product : (C, rows, columns) array
            Set to the product in the fields.
        with_probe : bool
            Whether the probe changes.

        Returns
        -------
        (K, m, m) array
            This rank's share of the product in the probe.
        """
        terms, diffraction, fluorescence = self.terms, self.terms.diffraction, self.terms.fluorescence
        point, change, out = self._point, self._change, self._result
        self._clear(self._product_z)
        of_maps = None
        probe_sum = self._probe_sum(with_probe)
        exchange = Exchange(fields, change, out, terms.positioned.batch, keep=self._keep_change)
        for event in exchange:
            match event:
                case Arrived(part, at) if diffraction is not None:
                    self.link.derivative(point.covered, part, at, self._change_z)
                case Positions(first, last) if diffraction is not None:
                    diffraction.product(self._change_z, self._product_z, first, last, probe_sum)
                case Complete() if fluorescence is not None:
                    of_maps = fluorescence.product(self._maps(change), self._maps(out), with_probe)
                case Leaving(at) if diffraction is not None:
                    self._to_halo(self._product_z, at, change.covered)
        probe = self._of_probe(probe_sum, of_maps)
        self._collect(exchange, self._product_z, product, fields)
        return probe * self._units.amplitude

    def losses_along(self, fields: NDArray, steps: NDArray, with_probe: bool) -> NDArray[np.float64]:
        """Return this rank's share of the loss at the point plus t times a change, for each t in `steps`."""
        terms, diffraction, fluorescence = self.terms, self.terms.diffraction, self.terms.fluorescence
        point, change = self._point, self._change
        patterns, maps = np.zeros((2, len(steps)))
        for event in Exchange(fields, change, None, terms.positioned.batch, keep=self._keep_change):
            match event:
                case Arrived(part, at) if diffraction is not None:
                    self.link.derivative(point.covered, part, at, self._change_z)
                case Positions(first, last) if diffraction is not None:
                    diffraction.losses_along(self._change_z, steps, patterns, first, last, with_probe)
                case Complete() if fluorescence is not None:
                    maps += fluorescence.losses_along(self._maps(change), steps, with_probe)
        return maps + patterns / self._count

    def gradient_ratio(self, fields: NDArray, diagonals: Diagonals) -> float:
        """Return ||grad_z Phi_p|| / ||grad_w Phi_f|| at owned fields, for alpha_e = 1.

        Source: arXiv 2511.02153, section 2.3.
        """
        diffraction, fluorescence = self.terms.diffraction, self.terms.fluorescence
        assert diffraction is not None and fluorescence is not None
        covered = self._point.fill(fields)
        self.link.forward(covered, Window.same(self.tile.covered.within(self.tile.covered)), self.z)
        gradient = np.zeros_like(self.z)
        for first, last in self.terms.positioned.batches():
            diffraction.gradient(self.z, gradient, first, last, None)
        maps = np.ascontiguousarray(covered[self._elements])
        of_maps = np.zeros_like(maps)
        fluorescence.gradient(maps, of_maps, False)
        squares = []
        for values in (gradient[None], of_maps):
            flat = np.ascontiguousarray(diagonals.collected(values)).view(self._real)
            squares.append(dot(flat, flat))
        first_norm, second_norm = np.sqrt(self._point.ranks.sum(np.array(squares)))
        return float(first_norm / (self._count * second_norm)) if second_norm > 0 else 1.0

    def blurred(self, fields: NDArray) -> NDArray[Any]:
        """Return the counts of the fluorescence for owned fields, in internal units."""
        assert self.terms.fluorescence is not None
        return self.terms.fluorescence.blur(self._change.fill(fields)[self._elements])

    def intensities(self, fields: NDArray) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """Yield the intensities of the patterns for owned fields; the point of the other passes stays.

        Yields
        ------
        first, last : int
            The positions first to last - 1.
        intensities : (last - first, ...) array
            In the order of the term's amplitudes, in internal units.
        """
        diffraction = self.terms.diffraction
        assert diffraction is not None
        covered = self._change.fill(fields)
        self.link.forward(covered, Window.same(self.tile.covered.within(self.tile.covered)), self._change_z)
        for first, last in self.terms.positioned.batches():
            yield first, last, diffraction.intensities(self._change_z, first, last)

    # ---------------------------------------------------------------- parts

    def _probe_sum(self, with_probe: bool) -> AdjointSum | None:
        """Return an empty sum for the patterns' part in the probe, where it moves and there are patterns."""
        return self.terms.positioned.adjoint() if with_probe and self.terms.diffraction is not None else None

    def _of_probe(self, probe_sum: AdjointSum | None, of_maps: NDArray | None) -> NDArray[Any]:
        """Return what patterns and maps add to the gradient, or a product, in the probe."""
        probe = np.zeros_like(self.terms.positioned.unshifted)
        if probe_sum is not None:
            probe += probe_sum.total() / self._real.type(self._count)
        if of_maps is not None:
            probe += of_maps
        return probe

    def _maps(self, field: HaloField) -> NDArray[Any]:
        """Return the element maps on the covered pixels."""
        return field.covered[self._elements]

    def _clear(self, result: NDArray[Any]) -> None:
        """Make room for a gradient or a product."""
        result[...] = 0
        if self.terms.fluorescence is not None:  # which adds its part; without it everything is set
            self._result.covered[...] = 0

    @property
    def _keep_change(self) -> bool:
        """Whether a product needs the change of the owned fields beyond the change of z."""
        return self.terms.fluorescence is not None or not self.link.linear

    def _to_halo(self, result: NDArray, at: Window, change: NDArray | None = None) -> None:
        """Take what the positions left in a part of the halo into the outgoing fields."""
        add = self.terms.fluorescence is not None  # which has set them; without it they are not cleared
        self._adjoint(result, at, 1.0, self._result.covered, change, add=add)

    def _adjoint(
        self, result: NDArray, at: Window, scale: float, out: NDArray, change: NDArray | None, *, add: bool
    ) -> None:
        """Set or add the adjoint of the link; for a product, its second-order term in the change too."""
        point, scale = self._point.covered, scale / self._count
        self.link.adjoint(point, result, at, scale, out, add=add)
        if change is not None and not self.link.linear:
            self.link.second_order(point, change, self._gradient_z, at, scale, out)

    def _collect(
        self, exchange: Exchange, result: NDArray, owned: NDArray, change: NDArray | None = None
    ) -> None:
        """Set owned fields to a gradient or a product, in the units of the data."""
        unit = self._units.mean_count
        if self.terms.diffraction is not None:
            self._adjoint(result, self.tile.owned_window, unit, owned, change, add=False)
        else:
            owned[...] = 0
        if self.terms.fluorescence is not None:
            of_maps = self.tile.owned_part(self._result.covered)[self._elements]
            owned[self._elements] += self._real.type(unit) * of_maps
        exchange.finish(owned, unit)
