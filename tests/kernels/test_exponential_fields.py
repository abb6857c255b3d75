"""The exponential of fields, its derivatives and their adjoints against NumPy; numbers at the edge."""

import naive
import numpy as np
import pytest

from ptyxrf.driver.objective.links import CartesianLink, LinearLink
from ptyxrf.driver.objective.refractive_link import RefractiveLink
from ptyxrf.kernels.exponential_fields import (
    HIGHEST,
    LOWEST,
    exponential_change,
    exponential_change_adjoint,
    exponential_curvature,
    exponential_fields,
)
from ptyxrf.parallel.rectangle import Rectangle, Window

PRECISIONS = [np.float32, np.float64]
CORNER, AT, WINDOW = (2, 3), (1, 4), (1, 4, 4, 5)


class Example:
    """Fields of 6 x 9 pixels at CORNER, images of 8 x 11 at AT; the window has 4 x 5 of both."""

    def __init__(self, real):
        rng = np.random.default_rng(2)
        self.real, self.tolerance = real, 1e-13 if real is np.float64 else 3e-6
        self.fields, self.change = rng.standard_normal((2, 3, 6, 9)).astype(real)
        self.k = np.array([1j, -0.3 - 0.8j, 0.0])
        self.parts = self.k.real.astype(real), self.k.imag.astype(real)
        self.z, self.gradient = (
            (rng.standard_normal((8, 11)) + 1j * rng.standard_normal((8, 11))).astype(self.complex)
            for _ in range(2)
        )

    @property
    def complex(self):
        return np.result_type(self.real, np.complex64)

    def combined(self, fields):
        return np.tensordot(self.k, fields[:, 2:6, 3:8].astype(float), axes=1)


def here(image):
    return image[1:5, 4:9]


@pytest.mark.parametrize("real", PRECISIONS)
def test_the_kernels_against_numpy(real):
    example = Example(real)
    fields, change, gradient, k = example.fields, example.change, example.gradient, example.k
    before, z = example.z.copy(), example.z
    exponential_fields(fields, CORNER, *example.parts, WINDOW, z)
    expected = np.exp(example.combined(fields))
    assert naive.relative(here(z), expected) < example.tolerance
    outside = np.ones(z.shape, bool)
    here(outside)[...] = False
    np.testing.assert_array_equal(z[outside], before[outside])

    dz = np.zeros_like(z)
    exponential_change(z, change, CORNER, *example.parts, WINDOW, dz)
    assert naive.relative(here(dz), expected * example.combined(change)) < example.tolerance
    assert not dz[outside].any()

    g = here(gradient)
    of_fields = np.array([(np.conj(one * expected) * g).real for one in k])
    bends = np.array([(np.conj(one * expected * example.combined(change)) * g).real for one in k])
    for add in (False, True):
        out = np.ones_like(fields)
        exponential_change_adjoint(z, gradient, WINDOW, real(3), *example.parts, add, out, CORNER)
        assert naive.relative(out[:, 2:6, 3:8], 3 * of_fields + add) < 10 * example.tolerance
        out[:, 2:6, 3:8] = 1
        assert (out == 1).all()
    exponential_curvature(z, change, gradient, WINDOW, real(2), *example.parts, out, CORNER)
    assert naive.relative(out[:, 2:6, 3:8], 1 + 2 * bends) < 10 * example.tolerance
    out[:, 2:6, 3:8] = 1
    assert (out == 1).all()


def test_change_and_its_adjoint():
    example = Example(np.float64)
    dz, back = np.zeros_like(example.z), np.zeros_like(example.fields)
    exponential_change(example.z, example.change, CORNER, *example.parts, WINDOW, dz)
    exponential_change_adjoint(
        example.z, example.gradient, WINDOW, 1.0, *example.parts, False, back, CORNER
    )  # fmt: skip
    left = naive.real_dot(dz, example.gradient)
    assert left == pytest.approx(float(np.sum(back * example.change)), rel=1e-12)


def exponential(values, factor):
    values = np.asarray(values, np.float64)
    z = np.zeros((1, values.size), complex)
    parts = np.array([factor.real]), np.array([factor.imag])
    exponential_fields(values[None, None], (0, 0), *parts, (0, 0, 1, values.size), z)
    return z[0]


def test_exponentials_of_ordinary_size_are_exact_to_rounding():
    x = np.linspace(-300, 300, 5001)
    np.testing.assert_allclose(exponential(x, 1 + 0j), np.exp(x), rtol=1e-13)
    np.testing.assert_allclose(exponential(x, 1j), np.exp(1j * x), atol=1e-13)
    quarters = np.arange(-9, 10) * np.pi / 4
    np.testing.assert_allclose(exponential(quarters, 1j), np.exp(1j * quarters), atol=1e-15)


def test_numbers_at_the_edge():
    """Beyond the range exp is cut, which keeps the sign; what is not a number stays one that is not."""
    np.testing.assert_allclose(exponential([-1e300, -np.inf], 1 + 0j), np.exp(LOWEST), rtol=1e-12)
    np.testing.assert_allclose(exponential([1e300, np.inf], 1 + 0j), np.exp(HIGHEST), rtol=1e-12)
    assert np.isnan(exponential([np.nan], 1 + 0j)).all()
    assert np.isnan(exponential([np.nan, np.inf], 1j)).all()


@pytest.mark.parametrize(
    ("free", "matrix", "unknowns", "k"),
    [
        ("phase", None, ("phase", "elements"), [1j]),
        ("both", (0.1, 2), ("absorption", "phase", "matrix", "elements"), [-1, 1j, -0.1 - 2j]),
        ("none", (0.1, 2), ("matrix", "elements"), [-0.1 - 2j]),
        ("none", None, ("elements",), []),
    ],
)
def test_the_link(free, matrix, unknowns, k):
    link = RefractiveLink(np.array([0.3, 0.2]), np.array([1.0, 0.0]), free, matrix)
    assert link.unknowns == unknowns
    assert set(link.nonnegative) == {"matrix", "elements"}.intersection(unknowns)
    np.testing.assert_array_equal(link.weights, [*k, -0.3 - 1j, -0.2])
    fields = np.random.default_rng(0).standard_normal((len(link.weights), 4, 5))
    z = np.zeros((4, 5), complex)
    link.forward(fields, Window.same(Rectangle(0, 4, 0, 5)), z)
    np.testing.assert_allclose(z, np.exp(np.tensordot(link.weights, fields, axes=1)), rtol=1e-13)


def specimen_of_phase():
    """Maps and an object with a phase of several radians that exceeds what the maps have."""
    rows, columns = np.mgrid[:30, :40] / 10
    elements = np.stack([np.sin(rows) ** 2, np.cos(columns) ** 2])
    extra = 4 * np.exp(-((rows - 1.5) ** 2) - (columns - 2) ** 2)
    return elements, extra


@pytest.mark.parametrize("free", ["phase", "both"])
def test_a_start_from_an_object(free):
    """The free fields take what the maps leave, unwrapped; with both the object is that of the start."""
    elements, extra = specimen_of_phase()
    link = RefractiveLink(np.array([0.3, 0.1]), np.array([1.0, 0.5]), free)
    z = np.exp(-0.2 * extra + 1j * (0.4 - 2 * extra) - np.tensordot([0.3 + 1j, 0.1 + 0.5j], elements, axes=1))
    start = link.fields_of(z, elements)
    assert tuple(start) == link.unknowns
    np.testing.assert_array_equal(start["elements"], elements)
    turns = (start["phase"] - (0.4 - 2 * extra)) / (2 * np.pi)
    np.testing.assert_allclose(turns, np.rint(turns[0, 0]), atol=1e-12)
    if free == "both":
        np.testing.assert_allclose(start["absorption"], 0.2 * extra, atol=1e-12)
        fields = np.concatenate([np.reshape(start[name], (-1, *z.shape)) for name in start])
        again = np.empty_like(z)
        link.forward(fields, Window.same(Rectangle(0, 30, 0, 40)), again)
        np.testing.assert_allclose(again, z, rtol=1e-12)


def test_a_material_without_fluorescence_takes_what_is_left():
    elements, extra = specimen_of_phase()
    link = RefractiveLink(np.array([0.3, 0.1]), np.array([1.0, 0.5]), "none", (0.1, 1.5))
    z = np.exp(0.7j - (0.1 + 1.5j) * extra - np.tensordot([0.3 + 1j, 0.1 + 0.5j], elements, axes=1))
    start = link.fields_of(z, elements)
    assert tuple(start) == ("matrix", "elements")
    np.testing.assert_allclose(start["matrix"], extra, atol=0.03)
    alone = RefractiveLink(np.array([0.3, 0.1]), np.array([1.0, 0.5]), "none")
    assert list(alone.fields_of(z, elements)) == ["elements"]
    beside = RefractiveLink(np.array([0.3, 0.1]), np.array([1.0, 0.5]), "phase", (0.1, 1.5))
    assert not beside.fields_of(z, elements)["matrix"].any()


def test_starts_of_linear_links():
    elements, extra = specimen_of_phase()
    z = np.exp(-0.1j * extra)
    assert list(LinearLink(np.ones(2)).fields_of(z, elements)) == ["real_part", "elements"]
    np.testing.assert_array_equal(LinearLink(np.ones(2)).fields_of(z, elements)["real_part"], z.real)
    parts = CartesianLink().fields_of(z, elements[:0])
    np.testing.assert_array_equal(parts["real_part"] + 1j * parts["imaginary_part"], z)
