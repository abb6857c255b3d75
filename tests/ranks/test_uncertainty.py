"""Error bars on several ranks are those of one."""

import numpy as np
import pytest
from scans import joint_scan

from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.uncertainty.uncertainty import uncertainty

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize(
    "method, more",
    [
        ("joint", {"fluorescence_prior": 2.0}),
        ("ptychography", {"refine_probe": True, "refine_positions": "each", "refine_intensities": True}),
    ],
)
def test_deviations_and_derived_numbers_are_those_of_one_rank(comm, method, more):
    scan = joint_scan(m=12, per_side=4)
    result = reconstruct(scan, method, max_iterations=3, sequential_first=False, precision="double", **more)
    # a fixed number of steps, as the last bits may decide which is the last
    sampling = {"samples": 2, "tolerance": 0.0, "max_products": 12, "finish_iterations": 0}
    here = uncertainty(result, scan, comm=comm, **sampling)
    alone = uncertainty(result, scan, **sampling)
    assert here.arrays.keys() == alone.arrays.keys() >= {"amplitude", "phase"}
    for name, values in alone.arrays.items():
        largest = np.nanmax(values)
        np.testing.assert_allclose(here.arrays[name], values, rtol=1e-10, atol=1e-10 * largest, err_msg=name)

    def power(view):
        return (np.abs(view.object) ** 2).sum()

    assert here.of(power).deviation == pytest.approx(alone.of(power).deviation, rel=1e-9)
    rough, alone = (uncertainty(result, scan, comm=c, samples=0, finish_iterations=0) for c in (comm, None))
    np.testing.assert_allclose(rough.phase, alone.phase, rtol=1e-10)
