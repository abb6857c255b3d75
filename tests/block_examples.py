"""Inverse blocks of the elements and their dense twin."""

import numpy as np

from ptyxrf.driver.solver.inverse_blocks import InverseBlocks


def dense_apply(blocks, source, free):
    """Invert the matrix of the free channels at each pixel."""
    C, P = len(blocks.which), blocks.inverse.shape[1]
    shape = (C, P)
    end = blocks.start + C * P
    r = source[blocks.start : end].reshape(shape).astype(float)
    kept = np.ones(shape, bool) if free is None else free[blocks.start : end].reshape(shape)
    out = np.zeros(shape)
    for p in range(P):
        where = kept[:, p]
        coupling = blocks.coupling[:, where].astype(float)
        strength = blocks.strength[:, p].astype(float) if coupling.any() else np.zeros(1)
        matrix = (coupling.T * strength) @ coupling
        matrix += np.diag(1 / blocks.inverse[blocks.which, p][where].astype(float))
        out[where, p] = np.linalg.solve(matrix, r[where, p])
    return out.reshape(-1)


def joint_blocks(rng, pixels, dtype, start=0, elements=3, rank=1, strengths=1):
    """Return blocks of an object channel and some elements, as the joint method has them.

    Of rank 1 the channel stands alone; of rank 2 it shares the second part of the object with the elements.
    The two parts have one or two strengths.
    """
    coupling = rng.uniform(-0.3, 2, (rank, 1 + elements))
    coupling[0, 0] = 0
    return InverseBlocks(
        start,
        rng.uniform(0.5, 2, (1 + elements, pixels)).astype(dtype),
        np.arange(1 + elements),
        coupling.astype(dtype),
        rng.uniform(0, 3, (strengths, pixels)).astype(dtype),
    )
