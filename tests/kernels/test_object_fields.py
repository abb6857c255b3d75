"""Between fields and object: a naive twin, the adjoint, windows that begin elsewhere, and the links."""

import numpy as np
import pytest

from ptyxrf.driver.objective.links import CartesianLink, LinearLink
from ptyxrf.kernels.object_fields import combine_fields, combine_fields_adjoint
from ptyxrf.parallel.rectangle import Rectangle, Window

PRECISIONS = [np.float32, np.float64]


def make_case(real, seed=0):
    """Three fields of 6 x 9 pixels, an image of 8 x 11, and a window of 4 x 5 of both."""
    rng = np.random.default_rng(seed)
    fields = rng.standard_normal((3, 6, 9)).astype(real)
    z = rng.standard_normal((8, 11)).astype(real) + 1j * rng.standard_normal((8, 11)).astype(real)
    weights = rng.standard_normal(3) + 1j * rng.standard_normal(3)
    weights[0], weights[1] = 1, 1j * weights[1].imag
    return fields, z, weights.real.astype(real), weights.imag.astype(real)


def here(array, corner):
    return array[..., corner[0] : corner[0] + 4, corner[1] : corner[1] + 5]


@pytest.mark.parametrize("real", PRECISIONS)
def test_combination_and_its_adjoint(real):
    fields, z, re, im = make_case(real)
    corner, at, tolerance = (2, 3), (1, 4), 1e-12 if real is np.float64 else 1e-5
    window = (*at, 4, 5)
    before = z.copy()
    combine_fields(fields, corner, re, im, real(0.5), window, z)
    expected = np.tensordot(re + 1j * im, here(fields, corner), axes=1) + 0.5j
    np.testing.assert_allclose(here(z, at), expected, rtol=tolerance, atol=tolerance)
    outside = np.ones(z.shape, bool)
    outside[1:5, 4:9] = False
    np.testing.assert_array_equal(z[outside], before[outside])
    assert z.dtype == before.dtype

    # <A f, g> = <f, A^* g>, with the real part of the complex dot product
    gradient = make_case(real, 1)[1]
    plain = np.zeros_like(z)
    combine_fields(fields, corner, re, im, real(0), window, plain)
    back = np.zeros_like(fields)
    combine_fields_adjoint(gradient, window, real(1), re, im, False, back, corner)
    left = np.vdot(here(plain, at), here(gradient, at)).real
    assert left == pytest.approx(float(np.sum(back * fields)), rel=10 * tolerance)

    naive = 3 * (re[:, None, None] * here(gradient, at).real + im[:, None, None] * here(gradient, at).imag)
    for add in (False, True):
        out = np.ones_like(fields)
        combine_fields_adjoint(gradient, window, real(3), re, im, add, out, corner)
        np.testing.assert_allclose(here(out, corner), naive + add, rtol=tolerance, atol=10 * tolerance)
        assert out.sum() == pytest.approx(
            fields.size - 60 + (naive + add).sum(), rel=100 * tolerance, abs=1e3 * tolerance
        )


@pytest.mark.parametrize("real", PRECISIONS)
def test_links(real):
    fields, z, _, _ = make_case(real)
    attenuation = np.array([0.3, -2.0])
    same = Window.same(Rectangle(1, 5, 2, 7))
    assert same.corner == (1, 2) and same.extent == (1, 2, 4, 5)
    link = LinearLink(attenuation, -1.0)
    inner = fields[:, 1:5, 2:7]
    for method, offset in (("forward", -1.0), ("derivative", 0.0)):
        words = (fields, same, z) if method == "forward" else (fields, z, fields, same, z)
        getattr(link, method)(*words)
        expected = inner[0] + 1j * (np.tensordot(attenuation, inner[1:], axes=1) + offset)
        np.testing.assert_allclose(z[1:5, 2:7], expected, rtol=1e-5, atol=1e-5)
    two = np.ascontiguousarray(fields[:2])
    CartesianLink().forward(two, same, z)
    np.testing.assert_array_equal(z[1:5, 2:7], inner[0] + 1j * inner[1])
    out = np.zeros_like(fields)
    link.adjoint(fields, z, z, same, 2.0, out, add=False)
    parts = [inner[0], *(attenuation[:, None, None] * inner[1])]
    np.testing.assert_allclose(out[:, 1:5, 2:7], 2 * np.array(parts), rtol=1e-5, atol=1e-5)
    link.second_order(fields, z, fields, z, same, 1.0, out)  # a linear link does not
