"""After each iteration: a record, the callback, the stop at the noise level, a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.history import IterationRecord, Losses, Reason
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.accuracy import ErrorMeter
from ptyxrf.driver.reconstruction.checkpoint import Checkpoints, RunState
from ptyxrf.driver.reconstruction.discrepancy import noise_level
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.solver.state import State
from ptyxrf.parallel.startup import agreed


class View:
    """An early look at a reconstruction, as callbacks get it; arrays are computed when they are asked for.

    On several ranks they are those of the pixels that the rank owns.

    Attributes
    ----------
    number : int
        Number of the iteration.
    stage : str
        The method that it belongs to.
    tile : Tile
        What this rank owns.
    """

    def __init__(self, objective: Objective, state: State) -> None:
        self._objective, self._vector = objective, state.vector
        self.number, self.stage, self.tile = state.number, objective.method, objective.tile

    @property
    def object(self) -> NDArray[Any]:
        """The (rows, columns) object z."""
        return self._objective.complex_object(self._vector)

    @property
    def elements(self) -> NDArray[Any]:
        """The (N_e, rows, columns) element maps; N_e = 0 for ptychography alone."""
        return self._objective.elements_of(self._vector).copy()

    @property
    def probe(self) -> NDArray[Any]:
        """The (K, m, m) probe."""
        return self._objective.probe_of(self._vector)


#: Given the record of an iteration and a view of it; a true answer stops the reconstruction.
Callback = Callable[[IterationRecord, View], Any]


class Reporter:
    """Keeps the history of a run, and decides whether it continues.

    Parameters
    ----------
    objective : Objective
    unit : float
        Factor from the objective's fluorescence loss to the units of the data.
    run : RunState
        State of the run.
    settings : Settings
    callback : callable or None
    checkpoints : Checkpoints or None
    first_note : str
        Added to the note of the start.
    throughout : frozenset of str
        Unknowns that are held in all iterations.

    Attributes
    ----------
    history : History
    earlier : float
        Seconds before the solver began.
    """

    def __init__(
        self,
        objective: Objective,
        unit: float,
        run: RunState,
        settings: Settings,
        callback: Callback | None,
        checkpoints: Checkpoints | None,
        first_note: str,
        throughout: frozenset[str] = frozenset(),
    ) -> None:
        self._objective, self._unit, self._throughout = objective, unit, throughout
        self._level = noise_level(objective) if settings.noise_stop else None
        scan, blind = objective.scan, settings.refine_probe
        self._meter = ErrorMeter(scan, objective.tile, objective.ranks, blind=blind) if scan.truth else None
        self._callback, self._checkpoints, self._first_note = callback, checkpoints, first_note
        self.history, self.earlier, self._before = run.history, run.earlier, run.before

    def report(self, state: State) -> Reason | None:
        """Record an iteration; return a reason to stop after it, or None."""
        objective = self._objective
        record = self._record(state)
        self.history.append(record)
        callback, view = self._callback, View(objective, state)
        # an error of a callback on one rank is that of all
        wanted = callback is not None and agreed(objective.ranks.comm, lambda: bool(callback(record, view)))
        if objective.any(wanted):
            return Reason.CALLBACK
        if objective.any(self._fits_noise(objective.losses)):
            return Reason.NOISE
        if state.finite and self._checkpoints is not None:
            self._checkpoints.consider(state, RunState(self.history, self._before, self.earlier))
        return None

    def _fits_noise(self, losses: Losses) -> bool:
        held = bool(self._objective.held - self._throughout)
        fits = self._level is not None and not held and self._level.reached(losses, self._before)
        self._before = None if held else losses
        return fits

    def _record(self, state: State) -> IterationRecord:
        objective, unit = self._objective, self._unit
        errors = {}
        if self._meter is not None:
            z, elements = objective.complex_object(state.vector), objective.elements_of(state.vector)
            errors = self._meter.measure(z, elements)
        return IterationRecord(
            iteration=state.number,
            loss=unit * state.value,
            ptychography_loss=objective.losses.ptychography,
            fluorescence_loss=unit * objective.losses.fluorescence,
            prior_loss=unit * objective.losses.prior,
            gradient_norm=unit * state.norm,
            inner_steps=state.inner_steps,
            products=objective.work.products,
            gradients=objective.work.gradients,
            sweeps=objective.work.sweeps,
            step=state.step,
            seconds=self.earlier + state.seconds,
            note=state.note + (self._first_note if state.number == 0 else ""),
            errors=errors,
            stage=objective.method,
        )


def check_start(record: IterationRecord, precision: str) -> None:
    """Refuse a start without a finite loss and gradient.

    Raises
    ------
    ValueError
        With the loss.
    """
    if not np.isfinite([record.loss, record.gradient_norm]).all():
        raise ValueError(
            f"scan: expected data, start and weights with a finite loss and gradient, got a loss of "
            f"{record.loss} at the start (in {precision} precision)"
        )
