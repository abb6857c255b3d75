"""The beam at each position and the background, as far as they are unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.object_and_probe import ProbeModes
from ptyxrf.driver.objective.passes import BeamGradient, Free
from ptyxrf.driver.objective.pattern_background import PatternBackground
from ptyxrf.driver.objective.scan_positions import Displacement, Distortion, LogAmplitude
from ptyxrf.driver.objective.terms import Terms
from ptyxrf.driver.objective.unknown_kinds import Unknown

#: Pixels by which a position may be off the middle of its corner's pixel before all corners follow.
FAR = 1.0

#: A position is stuck whose loss is so many times the median.
STUCK = 1.5

#: Pixels around the recorded place of a stuck position that are searched.
SEARCHED = 10


class Beam:
    """What a vector says of the probe at each position, and of the background of the patterns.

    Parameters
    ----------
    terms : Terms
        Gets probe and positions.
    initial_probe : (K, m, m) array
        In use where the probe is no unknown.
    kinds : sequence of Unknown
        Those of `ProbeModes`, `Displacement`, `Distortion`, `LogAmplitude` and `PatternBackground` that are
        unknown.
    z : (rows, columns) array of complex
        The object on the covered pixels, as it is at the point last evaluated.
    margin : int
        Pixels by which the corner of a patch may leave that of the scan.

    Attributes
    ----------
    z : (rows, columns) array of complex
    pinned : bool
        Whether the scale of the probe is held beside an object that is fitted.
    """

    def __init__(
        self, terms: Terms, initial_probe: NDArray[Any], kinds: list[Unknown], z: NDArray[Any], margin: int
    ) -> None:
        self._terms, self._initial_probe, self.z, self._margin = terms, initial_probe, z, margin
        self.kinds, self.pinned = kinds, False

        def only(kind: type[Any]) -> Any:
            return next((one for one in kinds if isinstance(one, kind)), None)

        self._probe: ProbeModes | None = only(ProbeModes)
        self._displacement: Displacement | None = only(Displacement)
        self._distortion: Distortion | None = only(Distortion)
        self._log_amplitude: LogAmplitude | None = only(LogAmplitude)
        self._background: PatternBackground | None = only(PatternBackground)
        self._fixed = not any((self._displacement, self._distortion, self._log_amplitude))

    def free(self, held: frozenset[str]) -> Free:
        """Return which of its unknowns move where some are held."""
        names = {name for kind in self.kinds for name in kind.names} - held
        moves = bool(names - {"probe", "background_amplitude"})
        return Free("probe" in names, moves, "background_amplitude" in names)

    def probe(self, vector: NDArray) -> NDArray[Any]:
        """Return the (K, m, m) probe, in the units of the data; a view where it is an unknown."""
        return self._initial_probe if self._probe is None else self._probe.held_in_scale(vector)

    def change_of_probe(self, direction: NDArray) -> NDArray[Any]:
        """Return the change of the (K, m, m) probe along a direction; 0 where it is no unknown."""
        if self._probe is None:
            return np.zeros_like(self._initial_probe)
        return self._probe.projected(self._probe.view(direction))

    def pin(self, vector: NDArray) -> None:
        """Hold the scale of the probe at that of a vector.

        What absorbs belongs to maps then: neither may a slope of the intensities be one of the object.
        """
        self.pinned = True
        if self._probe is not None:
            self._probe.pin(self._probe.view(vector).copy())
        if self._log_amplitude is not None:
            self._log_amplitude.keep_slopes()

    def moves(self, vector: NDArray) -> NDArray[np.float64]:
        """Return how far the rank's positions are from those of the scan, and the logarithm of the amplitude.

        All ranks take part; they get (n, 3) numbers.
        """
        moves = np.zeros_like(self._terms.moves)
        if self._displacement is not None:
            moves[:, :2] += self._displacement.projected(self._displacement.view(vector))
        if self._distortion is not None:
            moves[:, :2] += self._distortion.displacements(self._distortion.view(vector))
        if self._log_amplitude is not None:
            moves[:, 2:] = self._log_amplitude.projected(self._log_amplitude.view(vector))
        return moves

    def positions(self, vector: NDArray) -> NDArray[np.float64]:
        """Return the (N, 2) scan positions, in pixels, on every rank."""
        return self._terms.data.scan.positions + self._whole_moves(vector)[:, :2]

    def intensities(self, vector: NDArray) -> NDArray[np.float64]:
        """Return the (N,) intensities, relative like the exposure, on every rank."""
        exposure = self._terms.data.scan.exposure
        intensities = exposure * np.exp(2 * self._whole_moves(vector)[:, 2])
        return intensities * (exposure.mean() / intensities.mean())

    def _whole_moves(self, vector: NDArray) -> NDArray[np.float64]:
        data = self._terms.data
        whole = np.zeros((data.scan.N, 3))
        whole[data.tile.positions] = self.moves(vector)
        return data.ranks.sum(whole)

    def initial_background(self) -> NDArray[np.float64] | float:
        """Return the root of the background at the start; 0 where it is no unknown."""
        return 0.0 if self._background is None else self._background.initial()

    def background(self, vector: NDArray) -> NDArray[np.float64] | None:
        """Return the background of the patterns (m, m) in counts, or None where it is no unknown."""
        if self._background is None:
            return None
        return self._background.view(vector).astype(np.float64) ** 2 + self._terms.known_background()

    def place(self, vector: NDArray) -> None:
        """Give the terms probe, positions, intensities and background of a vector."""
        if self._background is not None:
            self._terms.set_background(self._background.view(vector))
        self._terms.set_beam(self.probe(vector), None if self._fixed else self.moves(vector))

    def aim(self, direction: NDArray, free: Free) -> None:
        """Give the terms the change of these that a direction says."""
        if self._background is not None:
            self._terms.set_background_direction(self._background.view(direction) * free.background)
        change = self.change_of_probe(direction) if free.probe else np.zeros_like(self._initial_probe)
        self._terms.set_direction(change, self.moves(direction) if free.moves else None)

    def complete(self, vector: NDArray, gradient: BeamGradient) -> None:
        """Set the parts of a gradient or a product that belong to these unknowns; all ranks take part."""
        if self._probe is not None:
            self._probe.view(vector)[...] = self._probe.projected(gradient.probe)
        moves = np.zeros((0, 3)) if self._fixed else gradient.moves
        if self._displacement is not None:
            self._displacement.view(vector)[...] = self._displacement.projected(moves[:, :2])
        if self._distortion is not None:
            self._distortion.view(vector)[...] = self._distortion.adjoint(moves[:, :2])
        if self._log_amplitude is not None:
            self._log_amplitude.view(vector)[...] = self._log_amplitude.projected(moves[:, 2:])
        if self._background is not None:
            self._background.view(vector)[...] = gradient.background

    # ---------------------------------------------------------------- corners

    def followed(self, vector: NDArray, *, search: bool) -> NDArray[Any] | None:
        """Let the patches follow the positions of the point last evaluated.

        The shift of the probe is circular: what leaves its window comes in at the other edge. The corners of
        patches follow as far as the margin and the object reach.

        Parameters
        ----------
        vector : array
            That point.
        search : bool
            Look for a better place for positions that are stuck, too.

        Returns
        -------
        array or None
            The vector to go on from, where it or the objective has changed.
        """
        if self._displacement is None and self._distortion is None:
            return None
        found = self._searched(vector) if search else None
        terms, moved = self._terms, vector if found is None else found
        places = terms.start + self.moves(moved)[:, :2]
        far = np.abs(places - terms.corners - 0.5).max(initial=0.0) > FAR
        corners = self._within(np.floor(places), terms.data.corners)
        # either may hold on one rank and not on the other
        flags = terms.data.ranks.largest(float(far), float(not np.array_equal(corners, terms.corners)))
        if not all(flags):
            return found
        terms.place_corners(corners)
        return moved

    def _within(self, corners: NDArray[Any], scanned: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return corners (n, 2) on the tile, within the object and the margin around those of the scan."""
        tile = self._terms.data.tile
        first = -np.array([tile.covered.row_start, tile.covered.column_start])
        last = first + tile.grid - self._terms.data.scan.m
        return np.clip(np.clip(corners, scanned - self._margin, scanned + self._margin), first, last).astype(
            np.int64
        )

    def _searched(self, vector: NDArray) -> NDArray[Any] | None:
        """Return a vector with a better place for each position that is stuck, or None where there is none.

        The loss of a pattern has minima some pixels from its place. A position whose loss is far above the
        median of all tries the whole pixels around the place that the scan has for it.
        """
        terms, displacement, diffraction = self._terms, self._displacement, self._terms.diffraction
        if displacement is None or diffraction is None:
            return None
        losses = np.zeros(terms.data.scan.N)
        losses[terms.data.tile.positions] = diffraction.pattern_losses
        limit = STUCK * float(np.median(terms.data.ranks.sum(losses)))
        steps = np.zeros((len(diffraction.pattern_losses), 2), np.int64)
        for j in np.flatnonzero(diffraction.pattern_losses > limit):
            steps[j] = self._best_step(int(j))
        if not terms.data.ranks.any(bool(steps.any())):
            return None
        moved = vector.copy()
        displacement.view(moved)[...] += steps
        return moved

    def _best_step(self, j: int) -> NDArray[np.int64]:
        """Return the whole pixels (2,) by which the loss of a pattern is least, for the present object."""
        terms, diffraction = self._terms, self._terms.diffraction
        assert diffraction is not None
        here, z, scratch = terms.corners[j].copy(), self.z, np.zeros_like(self.z)
        best, least = here, float(diffraction.pattern_losses[j])
        grid = np.arange(-SEARCHED, SEARCHED + 1)
        around = terms.data.corners[j] + np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
        for corner in np.unique(self._within(around, terms.data.corners[j]), axis=0):
            terms.corners[j] = corner
            diffraction.gradient(z, scratch, j, j + 1, None)
            if diffraction.pattern_losses[j] < least:
                best, least = corner, float(diffraction.pattern_losses[j])
        terms.corners[j] = here
        diffraction.gradient(z, scratch, j, j + 1, None)  # the term remembers the point again
        return best - here

    def memory(self) -> dict[str, NDArray[Any]]:
        """Return the (N, 2) steps of the corners from those of the scan, the same on every rank."""
        if self._fixed:
            return {}
        data = self._terms.data
        steps = np.zeros((data.scan.N, 2))
        steps[data.tile.positions] = self._terms.corners - data.corners
        return {"corner_steps": data.ranks.sum(steps).astype(np.int64)}

    def restore(self, memory: dict[str, NDArray[Any]]) -> None:
        """Take what `memory` has returned in an earlier run."""
        if "corner_steps" in memory:
            data = self._terms.data
            self._terms.place_corners(data.corners + memory["corner_steps"][data.tile.positions])
