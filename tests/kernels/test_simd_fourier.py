"""2-D DFTs in vector code against numpy's, for every size that they take up to 64 and larger ones."""

import naive
import numpy as np
import pytest

from ptyxrf.kernels.aligned import aligned_empty
from ptyxrf.kernels.implementation import resolve_engine
from ptyxrf.kernels.simd import fourier as vector_fourier
from ptyxrf.kernels.simd.fourier import (
    VectorPlan,
    backward_field,
    can_transform,
    factorise,
    forward_field,
    frequency_order,
    merge_field,
    split_field,
)

SMOOTH = [m for m in range(2, 65) if factorise(m)]
SIZES = [*SMOOTH, 81, 96, 100, 105, 112, 125, 128, 144, 192, 210, 256, 343, 384]
DTYPES = [np.complex64, np.complex128]

compiled = pytest.mark.skipif(not can_transform(8), reason="vector code is there only when compiled")


def test_which_sizes_have_small_factors():
    rest = [m for m in range(2, 65) if m not in SMOOTH]
    assert all(
        any(m % p == 0 for p in (11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61)) for m in rest
    )
    assert len(SMOOTH) + len(rest) == 63 and factorise(1) is None
    for m in SIZES:
        assert np.prod(factorise(m)) == m and set(factorise(m)) <= {2, 3, 4, 5, 7, 8}
    with pytest.raises(ValueError, match=r"m: expected .* got 22"):
        VectorPlan.of(22, np.complex64)


@pytest.mark.parametrize("m", SIZES)
def test_frequency_order(m):
    assert sorted(frequency_order(factorise(m))) == list(range(m))


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", SIZES)
def test_transforms(m, dtype):
    """Three transforms in a row in the same room: nothing of one is left in the next."""
    rng = np.random.default_rng(m)
    plan = VectorPlan.of(m, dtype)
    room, fields = plan.fields(1), plan.of_fields(1)
    tolerance = 3 * naive.ROUNDING[dtype]
    for _ in range(3):
        source = naive.random_complex(rng, (m, m), dtype)
        expected = np.fft.fft2(source.astype(complex))
        split_field(fields, source.reshape(-1), 0, room, 0)
        forward_field(fields, room, 0)
        planes = room.reshape(plan.chunks, 2, plan.padded + 1, plan.lanes)[:, :, :m]
        assert naive.relative(plan.from_far(planes[:, 0] + 1j * planes[:, 1]), expected) < tolerance
        backward_field(fields, room, 0)
        back = np.full((m, m), np.nan, dtype)
        merge_field(fields, room, 0, back.reshape(-1), 0)
        assert naive.relative(back, m**2 * source) < tolerance


@pytest.mark.parametrize("m", [2, 7, 15, 16, 36])
def test_far_layout(m):
    plan = VectorPlan.of(m, np.float32)
    patterns = np.random.default_rng(m).random((2, 3, m, m)).astype(np.float32)
    far = plan.to_far(patterns, fill=-1)
    assert far.shape == (2, 3, *plan.far_shape())
    assert (far >= 0).sum() == patterns.size
    np.testing.assert_array_equal(plan.from_far(far), patterns)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [2, 7, 16, 18])
def test_nothing_beyond_a_field_is_touched(m, dtype):
    """What lies before and after an m x m field is neither read nor written."""
    plan = VectorPlan.of(m, dtype)
    room, fields = plan.fields(1), plan.of_fields(1)
    guarded = np.full(m * m + 80, np.nan, dtype)
    guarded[40:-40] = 1
    split_field(fields, guarded, 40, room, 0)
    assert np.isfinite(room).all() and room.sum() == m * m
    guarded[40:-40] = np.nan
    merge_field(fields, room, 0, guarded, 40)
    assert (guarded[40:-40] == 1).all()
    assert np.isnan(guarded[:40]).all() and np.isnan(guarded[-40:]).all()


def test_aligned():
    for size in (1, 7, 100):
        array = aligned_empty((size, 3), np.float32)
        assert array.ctypes.data % 64 == 0 and array.shape == (size, 3) and array.flags.c_contiguous


def test_engines(monkeypatch):
    monkeypatch.setattr(vector_fourier.config, "DISABLE_JIT", 0)
    assert [resolve_engine("auto", m) for m in (64, 22, 105)] == ["vector", "library", "vector"]
    assert resolve_engine("library", 64) == "library" and resolve_engine("vector", 64) == "vector"
    with pytest.raises(ValueError, match="engine: expected one of auto, vector, library, got 'fast'"):
        resolve_engine("fast", 64)
    with pytest.raises(ValueError, match=r"engine: .*26 x 26"):
        resolve_engine("vector", 26)
    monkeypatch.setattr(vector_fourier.config, "DISABLE_JIT", 1)
    assert resolve_engine("auto", 64) == "library"
    with pytest.raises(ValueError, match="engine: "):
        resolve_engine("vector", 64)
