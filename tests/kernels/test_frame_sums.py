import naive
import numpy as np
import pytest

from ptyxrf.kernels.frame_sums import frame_sums


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_frame_sums(dtype):
    """Counts up to the largest that the type holds, added to what was seen before."""
    frames = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (5, 7), dtype, endpoint=True)
    totals, sums, highest = np.full(5, np.nan), np.arange(7, dtype=np.uint64), np.full(7, 9, dtype)
    frame_sums(frames, totals, sums, highest)
    expected = naive.frame_sums(frames)
    np.testing.assert_array_equal(totals, expected[0])
    np.testing.assert_array_equal(sums, [k + one for k, one in enumerate(expected[1])])
    np.testing.assert_array_equal(highest, [max(9, one) for one in expected[2]])
