"""Sweeps over batches against a plain model of their steps."""

import numpy as np
import pytest

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.batch_sweeps import FLOOR, MOMENTUM, RATE, BatchSweeps
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.settings import SolverSettings, Stops

M = 12


def blind_scan(per_side=4, *, fractional=True, modes=1):
    """Return a scan with a mask and exposures that differ, and a probe of wrong phases."""
    scan = simulate(
        "cells", m=M, per_side=per_side, overlap=0.7, seed=2, photons=100.0, modes=modes,
        sampling=None, fractional=fractional, path="random",
    )  # fmt: skip
    rng = np.random.default_rng(1)
    mask = rng.random((M, M)) > 0.1
    wrong = scan.probe * np.exp(0.3j * np.indices((M, M))[0] ** 2 / M)
    return Scan(scan.patterns, scan.positions, wrong, mask=mask, exposure=rng.uniform(0.5, 2, scan.N))


def model_of(scan, **settings):
    return Objective(scan, "ptychography", refine_probe=True, rescale_probe=True, memory="low", **settings)


def test_gradients_of_batches_add_up():
    scan = blind_scan()
    objective = model_of(scan)
    value, gradient = objective.value_and_gradient(objective.initial)
    batch = np.arange(scan.N) % 3
    parts = [objective.value_and_gradient(objective.initial, batch == k) for k in range(3)]
    assert sum(part[0] for part in parts) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(
        sum(part[1] for part in parts), gradient, rtol=0, atol=1e-13 * abs(gradient).max()
    )
    assert objective.work.gradients == 1  # parts are no sweeps of their own


@pytest.mark.parametrize(("fractional", "modes"), [(False, 1), (True, 2)])
def test_a_step(fractional, modes):
    """A scan so small that all positions are one batch."""
    scan = blind_scan(fractional=fractional, modes=modes)
    objective = model_of(scan)
    start = objective.gather(objective.initial)
    gradient = objective.gather(objective.value_and_gradient(objective.initial)[1])
    light, intensity = np.zeros(scan.shape), np.zeros((M, M))
    power = (np.abs(start["probe"]) ** 2).sum(axis=0)
    z = start["real_part"] + 1j * start["imaginary_part"]
    for (row, column), exposure in zip(scan.corners, scan.exposure, strict=True):
        light[row : row + M, column : column + M] += exposure * power / scan.N
        intensity += exposure * np.abs(z[row : row + M, column : column + M]) ** 2 / scan.N
    light += FLOOR * power.max() * scan.exposure.mean() / scan.N
    intensity += FLOOR * intensity.max()
    after = objective.gather(BatchSweeps(objective).sweep(objective.initial))
    for name, diagonal in (("real_part", light), ("imaginary_part", light), ("probe", intensity)):
        expected = start[name] - (1 + MOMENTUM) * RATE * gradient[name] / diagonal
        np.testing.assert_allclose(after[name], expected, rtol=1e-10, atol=1e-10 * abs(expected).max())


def test_what_else_is_unknown_of_the_beam_stays():
    objective = model_of(
        blind_scan(7), refine_positions="both", refine_intensities=True, refine_pattern_background=True
    )
    sweeps, vector = BatchSweeps(objective), objective.initial
    for _ in range(2):
        vector = sweeps.sweep(vector)
    start, after = objective.gather(objective.initial), objective.gather(vector)
    for name in set(start) - {"real_part", "imaginary_part", "probe"}:
        np.testing.assert_array_equal(after[name], start[name])
    assert objective.held == frozenset()
    assert objective.work.gradients == 2


def test_batches_go_further_than_steps_for_all():
    """Four sweeps over batches against four quasi-Newton steps, whose first takes two sweeps more."""
    scan = blind_scan(14)
    objective = model_of(scan)
    solver = QuasiNewton(objective, SolverSettings(inner_limit=4), Stops())
    other = solver.step(solver.start(objective.initial)).value
    sweeps, vector = BatchSweeps(objective), objective.initial
    for _ in range(4):
        vector = sweeps.sweep(vector)
    assert objective.value_and_gradient(vector)[0] < 0.9 * other
