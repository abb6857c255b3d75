"""The passes of a quasi-Newton step against NumPy: coupled elements, and a part that all ranks have."""

import numpy as np
import pytest
from block_examples import dense_apply, joint_blocks

from ptyxrf.driver.solver.bfgs_pairs import Pairs, Passes
from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.driver.solver.settings import SolverSettings
from ptyxrf.kernels.reductions import BLOCK

TAIL = 10
PAIRS = SolverSettings().pairs


class SharedProblem:
    """As much of a problem as the passes ask for; the other ranks hold `others` times what this one has."""

    def __init__(self, blocks, others):
        self.blocks, self.others = blocks, others

    def inverse_blocks(self):
        return self.blocks

    def sum(self, values):
        return values * (1 + self.others)

    def dot(self, left, right):
        cut = len(left) - TAIL
        return float((1 + self.others) * (left[:cut] @ right[:cut]) + left[cut:] @ right[cut:])


def case(dtype, masked, pixels=BLOCK + 37, others=0):
    rng = np.random.default_rng(3)
    fields = joint_blocks(rng, pixels, dtype)
    size = 4 * pixels + TAIL
    tail = InverseBlocks.diagonal(size - TAIL, rng.uniform(1, 2, TAIL).astype(dtype), replicated=True)
    pairs = Pairs(PAIRS, size, dtype)
    passes = Passes(
        SharedProblem([fields, tail], others), pairs, slice(pixels, 4 * pixels if masked else pixels)
    )
    free = rng.random(size) < 0.8 if masked else None

    def new():
        return rng.normal(size=size).astype(dtype)

    return passes, pairs, new, free, size


def weighted(passes, left, right):
    return passes.problem.dot(left.astype(float), right.astype(float))


def inverse_times(passes, vector, free):
    out = np.zeros(len(vector))
    for part in passes.problem.blocks:
        end = part.start + len(part.which) * part.inverse.shape[1]
        out[part.start : end] = dense_apply(part, vector, free)
    return out


@pytest.mark.parametrize("others", [0, 1.5])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_learned(dtype, masked, others):
    passes, pairs, new, free, size = case(dtype, masked, others=others)
    pairs.steps[:], pairs.changes[:] = [new() for _ in range(PAIRS)], [new() for _ in range(PAIRS)]
    vector, before, gradient, gradient_before = (new() for _ in range(4))
    other_rows = [row for row in range(PAIRS) if row != 2]
    kept = pairs.steps[other_rows].copy(), pairs.changes[other_rows].copy()
    learned = passes.learn(2, vector, before, gradient, gradient_before, free)
    s, y = vector - before, gradient - gradient_before
    np.testing.assert_array_equal(pairs.steps[2], s)
    np.testing.assert_array_equal(pairs.changes[2], y)
    np.testing.assert_array_equal(pairs.steps[other_rows], kept[0])
    np.testing.assert_array_equal(pairs.changes[other_rows], kept[1])
    residual = -gradient if free is None else -gradient * free
    scale = np.sqrt(size) * (1 + others) * (1e-5 if dtype == np.float32 else 1e-13)
    for i in range(PAIRS):
        assert learned.along[i] == pytest.approx(weighted(passes, pairs.steps[i], residual), abs=10 * scale)
        assert learned.across[i] == pytest.approx(weighted(passes, pairs.steps[i], y), abs=10 * scale)
    found = learned.step_step, learned.change_change, learned.change_inverse_change, learned.residual_residual
    conditioned = inverse_times(passes, y, None)
    for value, (left, right) in zip(
        found, ((s, s), (y, y), (y, conditioned), (residual, residual)), strict=True
    ):
        assert value == pytest.approx(
            weighted(passes, left, right), rel=1e-5 if dtype == np.float32 else 1e-12
        )


@pytest.mark.parametrize("others", [0, 1.5])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("count", [1, 3, PAIRS + 2])
def test_the_direction_is_that_of_both_loops(count, masked, others):
    """Step by step as in Nocedal's two loops, with the mask before and after, then cut at the bounds."""
    passes, pairs, new, free, size = case(np.float64, masked, pixels=41, others=others)
    history = []
    vector, gradient = np.abs(new()), new()
    for _ in range(count):
        before, gradient_before = vector, gradient
        step = 0.1 * new()
        vector = before + step
        gradient = gradient_before + 2.5 * step + 0.01 * new()  # nearly a multiple: positive curvature
        row = pairs.room()
        learned = passes.learn(row, vector, before, gradient, gradient_before, free)
        pairs.keep(row, learned.across, learned.across[row] / learned.change_inverse_change)
        history.append((vector - before, gradient - gradient_before))
    vector = np.abs(vector)
    pairs.along = learned.along
    move = passes.move(vector, gradient, free)
    mask = np.ones(size) if free is None else free

    rest, factors = -gradient * mask, []
    for s, y in reversed(history[-PAIRS:]):
        rho = 1 / weighted(passes, s, y)
        # the loop runs on vectors that are masked at its end: products with steps are those of the residual
        factors.append(rho * weighted(passes, s, rest))
        rest = rest - factors[-1] * y
    direction = pairs.scale * inverse_times(passes, rest * mask, free)
    for (s, y), a in zip(history[-PAIRS:], reversed(factors), strict=True):
        b = weighted(passes, y, direction) / weighted(passes, s, y)
        direction = direction + (a - b) * s
    direction *= mask
    bounded = slice(41, 4 * 41) if masked else slice(0, 0)
    direction[bounded] = np.maximum(direction[bounded], -vector[bounded])
    np.testing.assert_allclose(move.direction, direction, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(move.vector, vector + direction, rtol=1e-9, atol=1e-10)
    assert move.vector[bounded].min(initial=0) >= 0
    assert move.slope == pytest.approx(weighted(passes, gradient, direction), rel=1e-9)
