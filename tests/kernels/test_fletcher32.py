import naive
import numpy as np
import pytest

from ptyxrf.kernels.fletcher32 import WORDS, fletcher32


@pytest.mark.parametrize("size", [0, 1, 2, 3, 2 * WORDS - 1, 2 * WORDS, 2 * WORDS + 1, 5001])
@pytest.mark.parametrize("top", [0, 255])
def test_sizes(size, top):
    """Zeros and the largest bytes, whose sums are multiples of 65535, and any others."""
    some = np.random.default_rng(size).integers(0, top, size, np.uint8, endpoint=True)
    for data in (some, np.full(size, top, np.uint8)):
        assert int(fletcher32(data)) == naive.fletcher32(data.tobytes())
