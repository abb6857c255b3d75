"""Sweeps over batches are the same on any number of ranks."""

import numpy as np
from cases import make_scan, relative

from ptyxrf.driver.objective.batch_sweeps import BatchSweeps
from ptyxrf.driver.objective.objective import Objective


def swept(scan, comm=None):
    objective = Objective(scan, "ptychography", refine_probe=True, memory="low", comm=comm)
    sweeps, vector = BatchSweeps(objective), objective.initial
    for _ in range(2):
        vector = sweeps.sweep(vector)
    chosen = np.arange(scan.N)[objective.tile.positions] % 2 == 0
    value, gradient = objective.value_and_gradient(objective.initial, chosen)
    return objective.gather(vector), value, objective.gather(gradient)


def test_sweeps_and_gradients_of_batches(comm):
    """Two modes at positions with fractions; a rank may have no position of a batch."""
    scan = make_scan("random-grid-probe")
    expected, ours = swept(scan), swept(scan, comm)
    assert abs(ours[1] - expected[1]) <= 1e-12 * expected[1]
    for name in expected[0]:
        assert relative(ours[2][name], expected[2][name]) < 1e-12, name
        assert relative(ours[0][name], expected[0][name]) < 1e-10, name
        assert relative(ours[0][name], 0 * expected[0][name] + 1) > 1e-3, name
