"""The amplitude kernels against their formulas: masked pixels, dark pixels, several modes."""

import naive
import numpy as np
import pytest

from ptyxrf.kernels.amplitude_residual import (
    DARK,
    DARK_SINGLE,
    amplitude_hessian,
    amplitude_losses_along,
    amplitude_residual,
)
from ptyxrf.kernels.words import CURVATURES

CASES = [
    (modes, m, dtype) for modes, m in ((1, 7), (3, 8), (1, 9)) for dtype in (np.complex64, np.complex128)
]
DARK_PIXEL, MASKED_DARK_PIXEL, NO_COUNTS = (0, 2, 3), (1, 0, 1), (1, 4, 4)


@pytest.fixture(params=CASES, ids=lambda c: f"K{c[0]}-m{c[1]}-{c[2].__name__}")
def case(request):
    modes, m, dtype = request.param
    rng = np.random.default_rng(10 * m + modes)
    shape = (3, modes, m, m)
    real = np.zeros(0, dtype).real.dtype
    psi, dpsi, bend = (naive.random_complex(rng, shape, dtype) for _ in range(3))
    b = rng.uniform(0, 4, (3, m, m)).astype(real)  # on either side of |psi|
    good = rng.random((3, m, m)) > 0.2
    for j, i, col in (DARK_PIXEL, MASKED_DARK_PIXEL):
        psi[j, :, i, col] = 0
    good[DARK_PIXEL], good[MASKED_DARK_PIXEL], good[NO_COUNTS] = True, False, True
    b[NO_COUNTS] = 0
    return {
        "psi": psi,
        "dpsi": dpsi,
        "bend": bend,
        "b": b,
        "good": good,
        "amplitudes": np.where(good, b, -1).astype(real),
        "real": real,
        "tolerance": 2 * naive.ROUNDING[dtype],
    }


def by_pattern(function, case, *extra):
    return np.array(
        [function(*parts) for parts in zip(case["psi"], case["b"], case["good"], *extra, strict=True)]
    )


def test_residual(case):
    fields, losses = np.full_like(case["psi"], np.nan), np.full(3, np.nan)
    amplitude_residual(case["psi"], case["amplitudes"], fields, losses)
    assert naive.relative(fields, by_pattern(naive.amplitude_gradient, case)) < case["tolerance"]
    assert naive.relative(losses, by_pattern(naive.amplitude_loss, case)) < case["tolerance"]
    j, i, col = DARK_PIXEL
    assert not fields[j, :, i, col].any()
    masked = ~np.broadcast_to(case["good"][:, None], fields.shape)
    assert not fields[masked].any()


@pytest.mark.parametrize("curvature", ["full", "gauss-newton", "positive"])
def test_hessian(case, curvature):
    low, high = (case["real"].type(bound) for bound in CURVATURES[curvature])
    fields = case["dpsi"].copy()
    amplitude_hessian(case["psi"], case["amplitudes"], low, high, fields)
    expected = np.array(
        [
            naive.amplitude_hessian(psi, b, good, dpsi, curvature)
            for psi, b, good, dpsi in zip(case["psi"], case["b"], case["good"], case["dpsi"], strict=True)
        ]
    )
    assert naive.relative(fields, expected) < case["tolerance"]
    j, i, col = DARK_PIXEL
    np.testing.assert_array_equal(fields[j, :, i, col], case["dpsi"][j, :, i, col])


def test_hessian_is_the_derivative_of_the_residual(case):
    h, sides = (1e-5 if case["real"] == np.float64 else 3e-3), []
    case["psi"][np.abs(case["psi"]) < 1] = 1  # far from dark pixels, where there is no derivative
    for sign in (1, -1):
        fields = np.empty_like(case["psi"])
        moved = (case["psi"] + sign * h * case["dpsi"]).astype(case["psi"].dtype)
        amplitude_residual(moved, case["amplitudes"], fields, np.zeros(3))
        sides.append(fields)
    product = case["dpsi"].copy()
    low, high = (case["real"].type(bound) for bound in CURVATURES["full"])
    amplitude_hessian(case["psi"], case["amplitudes"], low, high, product)
    assert naive.relative((sides[0] - sides[1]) / (2 * h), product) < (1e-7 if h < 1e-3 else 1e-3)


@pytest.mark.parametrize("curvature", ["gauss-newton", "positive"])
def test_held_curvature_is_positive_semidefinite(case, curvature):
    low, high = (case["real"].type(bound) for bound in CURVATURES[curvature])
    fields = case["dpsi"].copy()
    amplitude_hessian(case["psi"], case["amplitudes"], low, high, fields)
    curvatures = (fields.conj() * case["dpsi"]).real.sum(axis=1)
    assert curvatures.min() >= -10 * case["tolerance"]


@pytest.mark.parametrize("bent", [False, True])
def test_losses_along(case, bent):
    steps = np.array([0.0, 0.3, 1.0, -2.0], case["real"])
    second = case["bend"] if bent else case["bend"][:0]
    losses = np.full(4, 7.0)  # added to, not overwritten
    amplitude_losses_along(case["psi"], case["dpsi"], second, case["amplitudes"], steps, losses)
    expected = []
    for t in steps.astype(float):
        moved = case["psi"] + t * case["dpsi"] + (t * t * case["bend"] if bent else 0)
        parts = zip(moved.astype(complex), case["b"], case["good"], strict=True)
        expected.append(7.0 + sum(naive.amplitude_loss(*part) for part in parts))
    assert naive.relative(losses, expected) < 3 * case["tolerance"]


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("modes", [1, 3])
def test_not_a_number_is_not_lost(dtype, modes):
    """A damaged far field shows in the loss and in the gradient, not in one of them only."""
    psi = np.ones((2, modes, 7, 7), dtype)
    psi[1, -1, 3, 4] = np.nan
    amplitudes = np.full((2, 7, 7), 0.5, psi.real.dtype)
    fields, losses = np.zeros_like(psi), np.zeros(2)
    amplitude_residual(psi, amplitudes, fields, losses)
    assert np.isfinite(losses[0])
    assert np.isnan(fields[1, :, 3, 4]).all()
    assert np.isnan(losses[1])
    along = np.zeros(2)
    amplitude_losses_along(psi, psi.copy(), psi[:0], amplitudes, np.array([0, 1], psi.real.dtype), along)
    assert np.isnan(along).all()


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("modes", [1, 3])
@pytest.mark.parametrize("size", [1e-14, 1e-13, 1e-7])
def test_faint_pixels_stay_finite(dtype, modes, size):
    """With the full curvature c is large there, not infinite."""
    rng = np.random.default_rng(3)
    psi = size * naive.random_complex(rng, (1, modes, 7, 7))
    dpsi = naive.random_complex(rng, psi.shape)
    b, good = np.ones((7, 7)), np.ones((7, 7), bool)
    fields = dpsi.astype(dtype)
    real = fields.real.dtype
    low, high = (real.type(bound) for bound in CURVATURES["full"])
    amplitude_hessian(psi.astype(dtype), np.ones((1, 7, 7), real), low, high, fields)
    expected = naive.amplitude_hessian(psi[0], b, good, dpsi[0], "full")
    assert naive.relative(fields[0], expected) < 10 * naive.ROUNDING[dtype]


def test_thresholds_of_dark_pixels_are_representable():
    """Each implementation divides by what it makes of its threshold: the root, or its cube."""
    for dtype in (np.float32, np.float64):
        assert np.isfinite(1 / np.sqrt(dtype(DARK))) and dtype(DARK) > 0
    assert np.isfinite(1 / np.sqrt(np.float32(DARK_SINGLE)) ** 3)
    assert np.isfinite(1 / np.sqrt(np.float64(DARK)) ** 3)
    with np.errstate(over="ignore"):  # why single precision has a threshold of its own there
        assert np.isinf(1 / np.sqrt(np.float32(DARK)) ** 3)
