"""Transforms of a few patterns and of real maps against matrices and numpy."""

import naive
import numpy as np
import pytest

from ptyxrf.kernels.aligned import BATCH_BYTES, aligned_zeros, batch_size
from ptyxrf.kernels.fftw.transforms import PatternFourier, good_size, real_plans


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize(("modes", "m"), [(1, 7), (3, 8), (1, 9), (3, 7), (1, 1)])
@pytest.mark.parametrize("in_place", [False, True])
def test_patterns(modes, m, dtype, in_place):
    """Whole batches, partial ones, and rows of a longer array that start where no vector register does."""
    transform = PatternFourier(modes, m, dtype, batch=3)
    rng = np.random.default_rng(m)
    values = naive.random_complex(rng, (7, modes, m, m), dtype)
    F = np.sqrt(m) * naive.dft_matrix(m, naive.signed_order(m))  # without the unitary factor
    for run, matrix in ((transform.forward, F), (transform.backward, F.conj())):
        source = aligned_zeros(values.shape, dtype)
        source[...] = values
        target = source if in_place else aligned_zeros(values.shape, dtype)
        for first, last in ((0, 3), (3, 6), (6, 7)):
            block = source[first:last]
            run(block, block if in_place else target[first:last])
        assert naive.relative(target, matrix @ values @ matrix.T) < 2 * naive.ROUNDING[dtype]
        if not in_place:
            np.testing.assert_array_equal(source, values)


def test_zero_frequency_comes_first():
    transform = PatternFourier(1, 8, np.complex128)
    field = transform.buffer()[:1]
    field[...] = 1
    transform.forward(field, field)
    assert field[0, 0, 0, 0] == pytest.approx(64)
    assert np.abs(field).sum() == pytest.approx(64)


def test_backward_undoes_forward():
    transform = PatternFourier(3, 9, np.complex128)
    values = naive.random_complex(np.random.default_rng(0), (transform.batch, 3, 9, 9))
    field = transform.buffer()
    field[...] = values
    transform.forward(field, field)
    transform.backward(field, field)
    assert naive.relative(field / 81, values) < 1e-14


def test_batches_fit_the_cache():
    assert BATCH_BYTES == 2**18
    assert batch_size(1, 64, np.complex64) == 8  # 32 KiB each
    assert batch_size(3, 64, np.complex64) == 2
    assert batch_size(1, 64, np.complex128) == 4
    assert batch_size(1, 512, np.complex128) == 1  # never none


def test_arrays_begin_on_a_cache_line():
    for size in range(1, 40):
        array = aligned_zeros((size, 3), np.float32)
        assert array.ctypes.data % 64 == 0 and not array.any() and array.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(9, 8), (7, 15)])
def test_real_maps(shape, dtype):
    forward, backward = real_plans(*shape, np.dtype(dtype).str)
    values = np.random.default_rng(0).normal(size=shape)
    forward.input_array[...] = values
    forward.execute()
    assert naive.relative(forward.output_array, np.fft.rfft2(values)) < naive.ROUNDING[dtype]
    backward.execute()  # of the array that the forward one wrote
    assert naive.relative(backward.output_array / values.size, values) < naive.ROUNDING[dtype]


@pytest.mark.parametrize("length", [1, 7, 8, 9, 11, 13, 17, 31, 63, 64, 65, 97, 211, 1025, 1087])
def test_good_sizes(length):
    size = good_size(length)
    assert length <= size <= max(8, 1.25 * length)
    assert length < 64 or size % 8 == 0
    rest = size
    for factor in (2, 3, 5, 7, 11, 13):
        while rest % factor == 0:
            rest //= factor
    assert rest == 1
