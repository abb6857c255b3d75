"""Centre and size of patterns, and pixels that do not count, on frames of which the truth is known."""

import numpy as np
import pytest

from ptyxrf.driver.preparation.beam_centre import beam_centre, fast_size, is_at_corner, window_size
from ptyxrf.driver.preparation.detector_pixels import dead_pixels, hot_pixels, no_counts, saturation_of


def ring(shape, centre, *, radius=12.0):
    """Return the mean pattern of an annular pupil."""
    rows, columns = np.indices(shape)
    distance = np.hypot(rows - centre[0], columns - centre[1])
    soft = 1 / (1 + np.exp((distance - radius) / 0.7)) * (1 - 0.8 * np.exp(-((distance / 4) ** 2)))
    return 1000 * soft


@pytest.mark.parametrize("centre", [(40.0, 50.0), (31.4, 62.7), (55.25, 22.5), (70.0, 90.0)])
@pytest.mark.parametrize("gap", [False, True])
def test_centre_to_a_fraction_of_a_pixel(centre, gap):
    mean = np.random.default_rng(0).poisson(ring((90, 110), centre)).astype(float)
    good = np.ones(mean.shape, bool)
    if gap:  # through the pattern, beside its centre
        good[:, int(centre[1]) + 3 : int(centre[1]) + 6] = False
        good[int(centre[0]) - 7] = False
        mean = np.where(good, mean, 1e9)
    assert np.allclose(beam_centre(mean, good), centre, atol=0.25)


def test_frames_at_the_corner():
    mean = ring((64, 64), (32.0, 32.0))
    assert not is_at_corner(mean)
    assert is_at_corner(np.fft.ifftshift(mean))
    assert not is_at_corner(ring((64, 64), (14.0, 15.0)))


def test_fast_sizes():
    assert [fast_size(n) for n in (2, 11, 44, 97, 101, 130, 256, 263)] == [2, 10, 42, 96, 100, 128, 256, 256]


def test_window_holds_the_counts_and_stays_on_the_frame():
    sums = ring((90, 110), (40, 50), radius=14) * (ring((90, 110), (40, 50), radius=14) > 5)
    good = np.ones(sums.shape, bool)
    size = window_size(sums, good, (40, 50), 1)
    outside = sums.copy()
    outside[40 - size // 2 : 40 + size // 2, 50 - size // 2 : 50 + size // 2] = 0
    assert outside.sum() == 0 and size < 50
    assert window_size(np.ones((90, 110)) * 9, good, (40, 50), 1) == 80
    assert window_size(np.ones((90, 110)) * 9, good, (40, 50), 4) % 4 == 0
    with pytest.raises(ValueError, match="centre"):
        window_size(sums, good, (0, 50), 1)


def test_hot_and_dead_pixels_are_found_and_speckles_are_not():
    rng = np.random.default_rng(0)
    sums = rng.poisson(ring((80, 80), (40, 40)) * 5 + 0.2).astype(float)
    hot, dead = [(40, 45), (41, 45), (3, 4), (70, 20)], [(46, 40), (35, 36)]
    for place in hot:
        sums[place] += 60_000
    for place in dead:
        sums[place] = 0
    good = np.ones(sums.shape, bool)
    found = hot_pixels(sums, good, 1.0)
    assert sorted(map(tuple, np.argwhere(found).tolist())) == sorted(hot)
    found = dead_pixels(sums, good & ~found, 1.0)
    assert sorted(map(tuple, np.argwhere(found).tolist())) == sorted(dead)


def test_a_sharp_focus_is_not_hot():
    rows, columns = np.indices((64, 64)) - 32
    airy = np.sinc(rows / 2.2) ** 2 * np.sinc(columns / 2.2) ** 2 * 1e6
    assert not hot_pixels(airy, np.ones(airy.shape, bool), 1.0).any()


def test_values_that_are_no_counts():
    frames = np.array([[[0, 5, -1, 2**31 - 1]]], np.int32)
    assert no_counts(frames, None).tolist() == [[[False, False, True, True]]]
    assert no_counts(frames, (5,)).tolist() == [[[False, True, False, False]]]
    real = np.array([[[0.5, np.nan, np.inf, 2.0**32 - 1]]])
    assert no_counts(real, None).tolist() == [[[False, True, True, True]]]


def test_saturation_is_a_ceiling_that_moves():
    rng = np.random.default_rng(0)
    frames = rng.poisson(ring((60, 60), (30, 30)) * 3, (20, 60, 60))
    every = np.ones(frames.shape, bool)
    assert saturation_of(frames, every) is None
    assert saturation_of(np.minimum(frames, 3000), every) == 3000
    stuck = frames.copy()
    stuck[:, 5, 5] = 60_000  # a hot pixel is no ceiling
    assert saturation_of(stuck, every) is None
