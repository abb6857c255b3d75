"""Which unknowns are held in the first iterations, and when they are freed."""

from __future__ import annotations

import numpy as np

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.solver.state import State

#: Iterations of the joint method for which first maps are held while the rest of the object adapts to them:
#: about forty sweeps.
HELD_ITERATIONS = {"quasi-newton": 4, "newton": 8}
#: Largest fraction of the budget of sweeps for which they are held.
HELD_BUDGET = 0.25

#: Iterations for which the background is held: the first objects scatter light everywhere, in its place.
BACKGROUND_FROM = 10

#: Iterations between two looks at positions that are stuck.
SEARCH_EVERY = 3


class Schedule:
    """Holds probe and positions until their iterations have come, and first maps for some iterations.

    They are freed earlier if the rest of the problem has converged, and stay free.

    Parameters
    ----------
    settings : Settings
        Resolved; `fluorescence_first` says whether the start has maps of the fluorescence alone.
    held : frozenset of str, optional
        What is held throughout, and nothing else: for a stage that goes on from others. Default: by the
        settings.
    """

    def __init__(self, settings: Settings, held: frozenset[str] | None = None) -> None:
        self._throughout = held
        self._refine_probe, self._probe_from = settings.refine_probe, settings.probe_from_iteration
        self._refine_positions = settings.refine_positions != "none"
        self._refine_background = settings.refine_pattern_background
        self._positions_from = settings.positions_from_iteration
        self._hold_maps, self._held_iterations = settings.fluorescence_first, HELD_ITERATIONS[settings.solver]
        self._most_sweeps = HELD_BUDGET * (np.inf if settings.max_sweeps is None else settings.max_sweeps)
        self._most_iterations = settings.max_iterations

    def begin(self, objective: Objective) -> None:
        """Hold what is held at the start."""
        objective.held = self._held(0, objective.sweeps)

    def frees(self, objective: Objective, state: State) -> bool:
        """Free what is due before the next iteration; return whether the problem has changed."""
        if not state.finite or state.number >= self._most_iterations:
            return False
        if self._throughout is not None:
            return False
        settled = state.settled is not None
        held = frozenset() if settled else self._held(state.number + 1, objective.sweeps)
        changed = not objective.held <= held
        if changed:
            objective.held = objective.held & held
        return changed

    def searches(self, state: State) -> bool:
        """Return whether places are to be found for positions that are stuck."""
        if self._throughout is not None and not self._throughout.isdisjoint(("displacement", "distortion")):
            return False
        return state.number > self._positions_from and state.number % SEARCH_EVERY == 0

    def _held(self, number: int, sweeps: float) -> frozenset[str]:
        """Return the unknowns that an iteration holds."""
        if self._throughout is not None:
            return self._throughout
        probe = self._refine_probe and self._probe_from > 0 and number <= self._probe_from
        maps = self._hold_maps and number <= self._held_iterations and sweeps <= self._most_sweeps
        # maps of a wrong probe would hold back a probe that moves
        maps = maps and (probe or not self._refine_probe)
        places = self._refine_positions and self._positions_from > 0 and number <= self._positions_from
        holds = {"probe": probe, "elements": maps, "displacement": places, "distortion": places}
        holds["background_amplitude"] = self._refine_background and number <= BACKGROUND_FROM
        return frozenset(name for name, held in holds.items() if held)
