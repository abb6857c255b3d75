"""Short reconstructions that rank hypotheses about a scan."""

import numpy as np

from ptyxrf.driver.reconstruction.trials import middle_positions, part_of, ranked
from ptyxrf.driver.simulation.simulate import simulate


def test_middle_positions():
    rows, columns = np.indices((9, 9))
    positions = np.stack([rows.ravel(), columns.ravel()], axis=1) * 2.0
    chosen = middle_positions(positions, 9)
    assert len(chosen) == 9
    assert np.abs(positions[chosen] - 8).max() == 2
    assert len(middle_positions(positions, 1000)) == 81


def test_a_part_of_a_scan_is_a_scan():
    scan = simulate(m=16, per_side=5, step=3.0, sampling=None, fractional=True, jitter=0.2)
    mask = np.ones((scan.N, 16, 16), dtype=bool)
    mask[:, 3, 3] = False
    chosen = middle_positions(scan.positions, 6)
    part = part_of(scan.replace(mask=mask), chosen)
    np.testing.assert_array_equal(part.patterns, scan.patterns[chosen])
    np.testing.assert_allclose(part.fractions, scan.fractions[chosen], atol=1e-12)
    assert part.corners.min() == 0 and part.mask.shape == (6, 16, 16)


def test_the_lowest_loss_stands_first():
    losses = {"a": 2.0, "b": np.inf, "c": 1.0, "d": 2.0}
    assert ranked(list(losses), losses.get) == [("c", 1.0), ("a", 2.0), ("d", 2.0), ("b", np.inf)]
