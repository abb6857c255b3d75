"""Error bars on several ranks are those of one."""

import numpy as np
import pytest
from scans import joint_scan

from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.uncertainty.expected import expected_errors
from ptyxrf.driver.uncertainty.uncertainty import uncertainty

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize(
    "method, more",
    [
        ("joint", {"fluorescence_prior": 2.0}),
        ("ptychography", {"refine_probe": True, "refine_positions": "each", "refine_intensities": True}),
    ],
)
def test_deviations_and_derived_numbers_are_those_of_one_rank(comm, from_one_rank, method, more):
    scan = joint_scan(m=12, per_side=4)
    settings = {"max_iterations": 3, "sequential_first": False, "precision": "double", **more}
    result = from_one_rank(lambda: reconstruct(scan, method, **settings))
    # a fixed number of steps, as the last bits may decide which is the last
    sampling = {"samples": 2, "tolerance": 0.0, "max_products": 12, "finish_iterations": 0}

    def found(which):
        samples = uncertainty(result, scan, comm=which, **sampling)
        rough = uncertainty(result, scan, comm=which, samples=0, finish_iterations=0)
        power = samples.of(lambda view: (np.abs(view.object) ** 2).sum())
        return samples.arrays, power.deviation, rough.phase

    (arrays, power, rough), (alone, one_power, one_rough) = found(comm), from_one_rank(lambda: found(None))
    assert arrays.keys() == alone.keys() >= {"amplitude", "phase"}
    for name, values in alone.items():
        largest = np.nanmax(values)
        np.testing.assert_allclose(arrays[name], values, rtol=1e-10, atol=1e-10 * largest, err_msg=name)
    assert power == pytest.approx(one_power, rel=1e-9)
    np.testing.assert_allclose(rough, one_rough, rtol=1e-10)


def test_another_number_of_ranks_goes_on_from_the_samples(comm, from_one_rank, folder):
    scan = joint_scan(m=12, per_side=4)
    settings = {"max_iterations": 2, "sequential_first": False, "refine_positions": "each"}
    result = from_one_rank(lambda: reconstruct(scan, "ptychography", precision="double", **settings))
    kept = {"checkpoint": folder / "samples.h5", "resume": True}
    sampling = {"tolerance": 0.0, "max_products": 8, "finish_iterations": 0}
    uncertainty(result, scan, comm=comm, samples=2, **sampling, **kept)
    arrays = from_one_rank(lambda: uncertainty(result, scan, samples=3, **sampling, **kept).arrays)
    through = from_one_rank(lambda: uncertainty(result, scan, samples=3, **sampling).arrays)
    for name, values in through.items():
        np.testing.assert_allclose(arrays[name], values, rtol=1e-8, atol=1e-8 * np.nanmax(values))


def test_expected_errors_are_those_of_one_rank(comm, from_one_rank):
    scan = joint_scan(m=12, per_side=4)
    scan = scan.replace(count_scale=np.ones(scan.N), fluorescence_count_scale=np.ones(scan.N_e))
    settings = {"dwell": 100.0, "samples": 2, "tolerance": 0.0, "max_products": 12}
    here = expected_errors(scan, comm=comm, **settings).table[0].errors
    alone = from_one_rank(lambda: expected_errors(scan, **settings).table[0].errors)
    assert here == pytest.approx(alone, rel=1e-9)
