"""Unwrapped phases of several radians: exact where they are smooth, close with noise and dark pixels."""

import numpy as np
import pytest

from ptyxrf.kernels.phase_unwrapping import unwrapped_phase


def hills(shape=(61, 48), height=9.0):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    bumps = [(20, 15, 9, -1.0), (40, 30, 12, -0.7), (15, 38, 6, 0.4)]
    return sum(
        height * sign * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * s**2))
        for r, c, s, sign in bumps
    )


@pytest.mark.parametrize("constant", [0.0, 2.0, -3.0])
def test_smooth_phases_are_exact_but_for_a_multiple(constant):
    phase = hills() + constant
    found = unwrapped_phase(np.exp(1j * phase) * np.linspace(0.1, 2, 48))
    turns = (found - phase) / (2 * np.pi)
    np.testing.assert_allclose(turns, np.rint(turns[0, 0]), atol=1e-12)
    assert np.ptp(np.angle(np.exp(1j * phase))) > 6  # it was wrapped


def test_phases_of_several_turns():
    rows, columns = np.indices((60, 71))
    phase = 14 * np.exp(-((rows - 30) ** 2 + (columns - 35) ** 2) / 200) + 0.06 * rows - 0.1 * columns
    turns = (unwrapped_phase(np.exp(1j * phase)) - phase) / (2 * np.pi)
    np.testing.assert_allclose(turns, np.rint(turns[0, 0]), atol=1e-9)


def test_phases_within_an_area():
    rng = np.random.default_rng(0)
    rows, columns = np.indices((60, 60)) - 30
    area = np.hypot(rows, columns) < 25
    phase = 0.02 * (rows**2 + columns**2)
    seen = np.where(area, phase, rng.uniform(-np.pi, np.pi, phase.shape))
    assert np.ptp((unwrapped_phase(np.exp(1j * seen), area) - phase)[area]) < 1e-9


def test_phases_within_a_turn_stay():
    z = np.exp(1j * np.random.default_rng(0).uniform(-1, 1, (12, 17)))
    np.testing.assert_allclose(unwrapped_phase(z), np.angle(z), atol=1e-14)
    np.testing.assert_array_equal(unwrapped_phase(np.ones((3, 1), complex)), 0)


def test_noise_and_dark_pixels_count_less():
    phase = hills()
    rng = np.random.default_rng(1)
    lit = np.zeros(phase.shape, bool)
    lit[6:-6, 6:-6] = True
    z = np.exp(1j * (phase + 0.2 * rng.standard_normal(phase.shape)))
    z[~lit] = np.exp(2j * np.pi * rng.random(np.count_nonzero(~lit)))
    found = unwrapped_phase(z, lit.astype(float))
    turns = np.rint((found - phase) / (2 * np.pi))
    assert np.ptp(turns[lit]) == 0
    np.testing.assert_allclose(np.exp(1j * found), z / abs(z), atol=1e-12)


def test_without_weights_that_are_not_zero():
    z = np.exp(1j * hills())
    np.testing.assert_array_equal(unwrapped_phase(z, np.zeros(z.shape)), unwrapped_phase(z))
