"""The first iteration where the probe is unknown: sweeps over batches of positions."""

from __future__ import annotations

from dataclasses import replace

from ptyxrf.driver.objective.batch_sweeps import BatchSweeps
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.solver.minimiser import Minimiser
from ptyxrf.driver.solver.state import State


def after_batches(minimiser: Minimiser, objective: Objective, state: State, sweeps: int) -> State:
    """Return the state after an iteration of sweeps over batches, fewer where a budget ends.

    All ranks take part. Where the loss is not lower then, the point stays, and the solver goes on from there.

    Parameters
    ----------
    minimiser : Minimiser
    objective : Objective
        At the point of the state.
    state : State
    sweeps : int
        Most of them.
    """
    batches, vector, done = BatchSweeps(objective), state.vector, 0
    while done < sweeps and (done == 0 or minimiser.reason(state) is None):
        vector, done = batches.sweep(vector), done + 1
    after, note = minimiser.reset(state, vector), f"{done} sweep{'s' * (done > 1)} over batches"
    if not after.value < state.value:  # NaN compares false
        after, note = minimiser.reset(state), f"{note}, rejected"
    return replace(after, number=state.number + 1, inner_steps=done, note=note)
