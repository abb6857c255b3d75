"""Inverse blocks of the fields against dense matrices."""

import numpy as np
import pytest
from block_examples import dense_apply, joint_blocks

from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.kernels.reductions import BLOCK


@pytest.mark.parametrize(("rank", "strengths"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pixels", [1, 37, BLOCK + 3])
def test_blocks_are_inverted(rank, strengths, masked, dtype, pixels):
    rng = np.random.default_rng(pixels)
    blocks = joint_blocks(rng, pixels, dtype, start=5, rank=rank, strengths=strengths)
    source = rng.normal(size=5 + 4 * pixels + 2).astype(dtype)
    free = rng.random(len(source)) < 0.7 if masked else None
    target = np.full_like(source, 9)
    blocks.apply(source, free, target)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    inside = slice(5, 5 + 4 * pixels)
    np.testing.assert_allclose(target[inside], dense_apply(blocks, source, free), tolerance, tolerance)
    assert (target[:5] == 9).all() and (target[-2:] == 9).all()
    if masked:
        assert not target[inside][~free[inside]].any()


def test_channels_may_share_a_diagonal():
    rng = np.random.default_rng(1)
    inverse = rng.uniform(1, 2, (1, 6))
    blocks = InverseBlocks(0, inverse, np.zeros(2, np.int64), np.zeros((1, 2)), np.zeros((1, 6)))
    source, target = rng.normal(size=12), np.empty(12)
    blocks.apply(source, None, target)
    np.testing.assert_allclose(target, source * np.tile(inverse[0], 2), rtol=1e-14)
