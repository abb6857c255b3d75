import numpy as np

from ptyxrf.kernels.normal_numbers import LARGEST, normal_numbers, stream_key


def test_numbers_are_normal_and_independent_of_neighbours_and_of_other_streams():
    drawn = np.stack([normal_numbers(stream_key(3, s), np.arange(200_000)) for s in range(2)])
    error = 5 / np.sqrt(drawn.shape[1])
    moments = np.stack([(drawn**p).mean(axis=1) for p in (1, 2, 3, 4)])
    np.testing.assert_allclose(moments, [[0, 0], [1, 1], [0, 0], [3, 3]], atol=10 * error)
    pairs = [drawn[0] * drawn[1], drawn[0, 1:] * drawn[0, :-1], drawn[0, 100:] * drawn[0, :-100]]
    assert all(abs(pair.mean()) < error for pair in pairs)
    assert np.abs(drawn).max() < LARGEST


def test_a_number_depends_on_its_place_alone():
    key = stream_key(1, 2, 3)
    places = np.array([[5, 2**40], [0, 7]])
    assert np.array_equal(normal_numbers(key, places)[1], normal_numbers(key, places[1]))
    assert not np.array_equal(normal_numbers(stream_key(1, 3, 2), places), normal_numbers(key, places))
