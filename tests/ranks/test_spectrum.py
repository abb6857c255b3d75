"""The eigenvalue distribution of the Hessian on any number of ranks."""

import numpy as np
import pytest
from cases import CASES, make_scan, random_unknowns

from ptyxrf.driver.analysis.spectrum import random_signs, spectrum
from ptyxrf.driver.objective.objective import Objective


@pytest.mark.parametrize("name", ["raster-grid", "random-scan-probe", "snake-positive"])
def test_equal_to_one_rank(comm, name):
    scan, settings = make_scan(name), CASES[name][1]
    one, ours = Objective(scan, **settings), Objective(scan, **settings, comm=comm)
    signs, our_signs = one.gather(random_signs(one, 3, 1)), ours.gather(random_signs(ours, 3, 1))
    for unknown, values in signs.items():
        np.testing.assert_array_equal(our_signs[unknown], values)

    point = random_unknowns(scan, one.unknowns, 1)
    one.value_and_gradient(one.scatter(**point))
    ours.value_and_gradient(ours.scatter(**point))
    # few steps: later ones depend on when rounding lets the process forget what it has found
    expected, found = (spectrum(objective, vectors=2, steps=10, seed=3) for objective in (one, ours))
    assert found.size == expected.size == one.size
    np.testing.assert_allclose(found.nodes, expected.nodes, rtol=1e-9, atol=1e-11 * expected.largest)
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-8)
    ranks = comm.allgather((found.nodes.tolist(), found.weights.tolist()))
    assert all(other == ranks[0] for other in ranks)

    expected, found = (spectrum(objective, vectors=2, steps=60, seed=3) for objective in (one, ours))
    assert found.largest == pytest.approx(expected.largest, rel=1e-10)
    points = expected.largest * np.array([0.01, 0.1, 0.3, 0.6])
    np.testing.assert_allclose(found.cumulative(points), expected.cumulative(points), atol=0.02)


def test_one_reduction_a_step(comm):
    scan = make_scan("random-grid-probe")
    ours = Objective(scan, refine_probe=True, comm=comm)
    ours.value_and_gradient(ours.initial)
    before = ours.ranks.traffic.reductions
    spectrum(ours, vectors=2, steps=5)
    assert ours.ranks.traffic.reductions - before == (10 if comm.Get_size() > 1 else 0)
