"""The three passes over a rank's positions: gradient, Hessian product, losses along a line.

Owned fields -> halo -> tile -> kernels over the rank's positions -> halo -> owned fields. Each pass is one
loop over what an `Exchange` says can be computed next; messages travel between its events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.diagonals import Diagonals
from ptyxrf.driver.objective.internal_units import InternalUnits
from ptyxrf.driver.objective.links import Link
from ptyxrf.driver.objective.terms import Terms
from ptyxrf.driver.objective.unknown_kinds import Fields
from ptyxrf.kernels.map_prior import MapPrior
from ptyxrf.kernels.probe_shift import AdjointSum
from ptyxrf.kernels.reductions import dot
from ptyxrf.parallel.exchange import Arrived, Complete, Exchange, Leaving, Positions
from ptyxrf.parallel.halo import HaloField
from ptyxrf.parallel.rectangle import Window

#: Positions between two looks at messages where few of them are chosen.
MANY = 64


class Free(NamedTuple):
    """Which unknowns move besides the fields."""

    probe: bool = False
    moves: bool = False
    background: bool = False

    @property
    def beam(self) -> bool:
        """Whether the probe of a position changes in one way or the other."""
        return self.probe or self.moves


class BeamGradient:
    """A gradient, or a product, in what is unknown beside the fields; 0 where nothing was summed.

    Parameters
    ----------
    terms : Terms
    units : InternalUnits
    free : Free
    sums : sequence of (AdjointSum or None, int)
        What patterns and fluorescence tell of the beam, and by how much each is divided.
    """

    def __init__(
        self, terms: Terms, units: InternalUnits, free: Free, sums: Sequence[tuple[AdjointSum | None, int]]
    ) -> None:
        self._terms, self._units, self._free = terms, units, free
        self._sums = [(each, count) for each, count in sums if each is not None]
        self._count = sums[0][1]

    @property
    def probe(self) -> NDArray[Any]:
        """(K, m, m) array of complex: this rank's share."""
        probe = np.zeros_like(self._terms.positioned.unshifted)
        for each, count in self._sums:
            probe += each.total() / probe.real.dtype.type(count)
        return probe * self._units.amplitude

    @property
    def moves(self) -> NDArray[np.float64]:
        """(n, 3): in the displacements of the rank's positions, and in the logarithm of the amplitude."""
        slopes = np.zeros((self._terms.positioned.count, 3))
        for each, count in self._sums:
            slopes += each.slopes / count
        return slopes * self._units.mean_count

    @property
    def background(self) -> NDArray[np.float64]:
        """(m, m): this rank's share, in the root of the background of the patterns."""
        if not self._free.background:
            return np.zeros((self._terms.positioned.m, self._terms.positioned.m))
        return self._terms.background_sum() * (self._units.amplitude / self._count)


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
        # the link's own second derivative, which needs the gradient in z later
        self._bent = terms.bent and not link.linear
        self._gradient_z = np.zeros_like(self.z) if self._bent else self._product_z
        self._point, self._change, self._result = (fields.halo() for _ in range(3))

    def gradient(
        self, fields: NDArray, gradient: NDArray, free: Free, chosen: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float64], BeamGradient]:
        """Evaluate at owned fields, which become the point of the other passes.

        Parameters
        ----------
        fields : (C, rows, columns) array
            On the owned pixels. The probe is that of the terms.
        gradient : (C, rows, columns) array
            Set to the gradient in the fields.
        free : Free
            Which gradients are asked for besides.
        chosen : (n,) array of bool, optional
            Positions of the rank whose patterns count; default: all.

        Returns
        -------
        losses : (3,) array of float64
            This rank's share of ptychography, fluorescence and the prior of the maps, in internal units.
        beam : BeamGradient
        """
        terms, diffraction, fluorescence = self.terms, self.terms.diffraction, self.terms.fluorescence
        prior = self._prior
        # the point stays in its halo field, as the caller may change the vector
        point, out = self._point, self._result
        self._clear(self._gradient_z)
        losses = np.zeros(3)
        of_patterns, of_maps = self._beam_sums(free)
        exchange = Exchange(fields, point, out, terms.positioned.batch if chosen is None else MANY)
        for event in exchange:
            match event:
                case Arrived(part, at) if diffraction is not None:
                    self.link.forward(part, at, self.z)
                case Positions(first, last) if diffraction is not None:
                    for start, stop in _parts(first, last, chosen):
                        diffraction.gradient(self.z, self._gradient_z, start, stop, of_patterns)
                case Complete() if fluorescence is not None:
                    losses[1] = fluorescence.gradient(self._maps(point), self._maps(out), of_maps)
                    if prior is not None:
                        losses[2] = prior.gradient(self._maps(point), self._maps(out))
                case Leaving(at) if diffraction is not None:
                    self._to_halo(self._gradient_z, at)
        if diffraction is not None:
            each = diffraction.pattern_losses if chosen is None else diffraction.pattern_losses[chosen]
            losses[0] = float(each.sum()) / self._count
        self._collect(exchange, self._gradient_z, gradient)
        return losses, self._beam_gradient(of_patterns, of_maps, free)

    def product(self, fields: NDArray, product: NDArray, free: Free) -> BeamGradient:
        """Apply the Hessian at the point.

        Parameters
        ----------
        fields : (C, rows, columns) array
            Change of the owned fields. That of the beam is the direction of the terms.
        product : (C, rows, columns) array
            Set to the product in the fields.
        free : Free
            What changes besides.

        Returns
        -------
        BeamGradient
            The product in the beam.
        """
        terms, diffraction, fluorescence = self.terms, self.terms.diffraction, self.terms.fluorescence
        prior = self._prior
        point, change, out = self._point, self._change, self._result
        self._clear(self._product_z)
        of_patterns, of_maps = self._beam_sums(free)
        exchange = Exchange(fields, change, out, terms.positioned.batch, keep=self._keep_change)
        for event in exchange:
            match event:
                case Arrived(part, at) if diffraction is not None:
                    self.link.derivative(point.covered, self.z, part, at, self._change_z)
                case Positions(first, last) if diffraction is not None:
                    diffraction.product(self._change_z, self._product_z, first, last, of_patterns)
                case Complete() if fluorescence is not None:
                    fluorescence.product(self._maps(change), self._maps(out), of_maps)
                    if prior is not None:
                        prior.product(self._maps(change), self._maps(out))
                case Leaving(at) if diffraction is not None:
                    self._to_halo(self._product_z, at, change.covered)
        self._collect(exchange, self._product_z, product, fields)
        return self._beam_gradient(of_patterns, of_maps, free)

    def losses_along(self, fields: NDArray, steps: NDArray, free: Free) -> NDArray[np.float64]:
        """Return this rank's share of the loss at the point plus t times a change, for each t in `steps`."""
        terms, diffraction, fluorescence = self.terms, self.terms.diffraction, self.terms.fluorescence
        prior = self._prior
        point, change = self._point, self._change
        patterns, maps = np.zeros((2, len(steps)))
        for event in Exchange(fields, change, None, terms.positioned.batch, keep=self._keep_change):
            match event:
                case Arrived(part, at) if diffraction is not None:
                    self.link.derivative(point.covered, self.z, part, at, self._change_z)
                case Positions(first, last) if diffraction is not None:
                    diffraction.losses_along(self._change_z, steps, patterns, first, last, free.beam)
                case Complete() if fluorescence is not None:
                    maps += fluorescence.losses_along(self._maps(change), steps, free.beam)
                    if prior is not None:
                        maps += prior.losses_along(self._maps(change), steps)
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
        fluorescence.gradient(maps, of_maps, None)
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

    def _beam_sums(self, free: Free) -> tuple[AdjointSum | None, AdjointSum | None]:
        """Return empty sums of what patterns and fluorescence tell of the beam, where it changes."""

        def empty(term: object) -> AdjointSum | None:
            return self.terms.positioned.adjoint(slopes=free.moves) if free.beam and term else None

        if self.terms.diffraction is not None:
            self.terms.diffraction.clear_background_sum()
        return empty(self.terms.diffraction), empty(self.terms.fluorescence)

    def _beam_gradient(
        self, of_patterns: AdjointSum | None, of_maps: AdjointSum | None, free: Free
    ) -> BeamGradient:
        return BeamGradient(self.terms, self._units, free, ((of_patterns, self._count), (of_maps, 1)))

    @property
    def _prior(self) -> MapPrior | None:
        """The prior of the maps where it has any strength."""
        prior = self.terms.prior
        return prior if prior is not None and prior.strengths.any() else None

    def _maps(self, field: HaloField) -> NDArray[Any]:
        """Return the element maps on the covered pixels."""
        return field.covered[self._elements]

    def _clear(self, result: NDArray[Any]) -> None:
        """Zero the arrays to which a gradient or a product is added."""
        result[...] = 0
        if self.terms.fluorescence is not None:  # which adds its part; without it everything is set
            self._result.covered[...] = 0

    @property
    def _keep_change(self) -> bool:
        """Whether a product needs the change of the owned fields beyond the change of z."""
        return self.terms.fluorescence is not None or self._bent

    def _to_halo(self, result: NDArray, at: Window, change: NDArray | None = None) -> None:
        """Transfer what the positions added to a part of the halo to the outgoing fields."""
        add = self.terms.fluorescence is not None  # which has set them; without it they are not cleared
        self._adjoint(result, at, 1.0, self._result.covered, change, add=add)

    def _adjoint(
        self, result: NDArray, at: Window, scale: float, out: NDArray, change: NDArray | None, *, add: bool
    ) -> None:
        """Set or add the adjoint of the link; for a product, its second-order term in the change too."""
        point, z, scale = self._point.covered, self.z, scale / self._count
        self.link.adjoint(point, z, result, at, scale, out, add=add)
        if change is not None and self._bent:
            self.link.second_order(point, z, change, self._gradient_z, at, scale, out)

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


def _parts(first: int, last: int, chosen: NDArray[np.bool_] | None) -> list[tuple[int, int]]:
    """Return the positions first to last - 1 as one part, or each that is chosen as a part of its own."""
    if chosen is None:
        return [(first, last)]
    return [(j, j + 1) for j in (first + np.flatnonzero(chosen[first:last])).tolist()]
