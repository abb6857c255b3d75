"""Counts that are kept give the amplitudes of patterns that are kept as amplitudes, bit for bit."""

import numpy as np
import pytest

from ptyxrf.kernels.kept_counts import KEPT, MASKED, KeptCounts

ALL = np.arange(MASKED + 1, dtype=KEPT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("faint", [0.0, 1e-4])
def test_roots_of_all_counts(dtype, faint):
    """Rounded as those of intensities in double precision are, which amplitudes come from otherwise."""
    kept = KeptCounts(ALL.reshape(-1, 8), dtype)
    kept.unit, kept.faint = dtype(1 / np.sqrt(3.7)), dtype(faint)
    expected = np.sqrt(ALL.astype(np.float64)).astype(dtype) * kept.unit
    if faint:
        expected = np.sqrt(expected**2 + kept.faint)
    expected[-1] = -1
    np.testing.assert_array_equal(kept[:], expected.reshape(-1, 8))


def test_sliced_as_an_array():
    kept = KeptCounts(np.array([[[4, 9]], [[MASKED, 16]], [[0, 1]]], KEPT), np.float32)
    whole = np.array([[[2, 3]], [[-1, 4]], [[0, 1]]], np.float32)
    assert (kept.shape, kept.dtype, len(kept)) == (whole.shape, whole.dtype, 3)
    for index in (0, slice(1, 3), slice(0, 0), np.array([2, 0])):
        np.testing.assert_array_equal(kept[index], whole[index])
    np.testing.assert_array_equal(list(kept), whole)
