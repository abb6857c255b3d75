"""Sizes at which vectors, batches and windows end early: both engines compute the same, within all bounds."""

import naive
import numpy as np
import pytest

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.objective import Objective

#: Pattern size, and what the object has beside it: nothing, one row of positions, a prime.
SIZES = [(1, (0, 12)), (2, (0, 0)), (3, (0, 8)), (5, (2, 6)), (7, (0, 0)), (11, (6, 0)), (13, (0, 4))]


def scan_of(m, beside, fraction):
    rng = np.random.default_rng(m)
    shape = (m + beside[0], m + beside[1])
    ends = np.array(beside)
    positions = np.array([(0, 0), ends, ends // 2], float)
    positions += fraction * rng.random(positions.shape) * (ends > 0)
    positions = np.minimum(positions, ends)
    patterns = rng.uniform(0, 2, (3, m, m))
    return Scan(
        patterns,
        positions,
        naive.random_complex(rng, (2, m, m)),
        shape=shape,
        count_scale=1,
        fluorescence=rng.uniform(0, 60, (2, 3)),
        attenuation=[0.7, -0.3],
    )


@pytest.mark.parametrize("fraction", [False, True], ids=["whole", "fractions"])
@pytest.mark.parametrize(("m", "beside"), SIZES)
def test_both_engines(m, beside, fraction):
    scan = scan_of(m, beside, fraction)
    rng = np.random.default_rng(0)
    found = []
    for engine in ("auto", "library"):
        objective = Objective(scan, refine_probe=True, engine=engine)
        if not found:
            x, d = (rng.standard_normal(objective.size) for _ in range(2))
        point = objective.at(x)
        found.append((point.value, point.gradient, point.hessian @ d))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(other).max())


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (1, 1)])
def test_windows_larger_than_the_object_are_refused(shape):
    with pytest.raises(ValueError, match="positions: expected every 5 x 5 window inside the"):
        Scan(np.ones((1, 5, 5)), [[0, 0]], np.ones((5, 5)), shape=shape)
