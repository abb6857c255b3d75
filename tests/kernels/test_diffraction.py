"""The ptychographic term of a rank against the naive model: batches, low memory, a free probe."""

import naive
import numpy as np
import pytest

from ptyxrf.kernels.implementation import diffraction_term, positioned_probe

COUNT = 5
#: Engines; "expanded" is vector code that shifts the probe by an expansion, without the curvature "full".
#: Sizes below, at and above the width of a vector, whole multiples of it or not; 11 is for the library only.
CASES = [
    (modes, m, fractional, curvature, dtype, engine, *detector)
    for modes, m, fractional, curvature, engine, *detector in (
        (1, 8, True, "full", "vector", "amplitude", "refined"),
        (3, 7, False, "positive", "vector", "poisson", "refined"),
        (1, 20, False, "gauss-newton", "vector", "poisson", "none"),
        (3, 16, True, "full", "vector", "poisson", "given"),
        (3, 11, True, "full", "library", "amplitude", "refined"),
        (1, 7, False, "positive", "library", "poisson", "refined"),
        (3, 8, False, "full", "library", "poisson", "none"),
        (1, 7, True, "full", "library"),
        (3, 8, False, "full", "library"),
        (1, 11, False, "positive", "library"),
        (3, 7, True, "gauss-newton", "library"),
        (1, 8, True, "full", "vector"),
        (3, 7, True, "gauss-newton", "vector"),
        (1, 16, False, "positive", "vector"),
        (3, 20, False, "full", "vector"),
        (1, 36, True, "full", "vector"),
        (1, 2, False, "full", "vector"),
        (3, 7, True, "gauss-newton", "expanded"),
        (1, 18, True, "positive", "expanded", "poisson", "refined"),
    )
    for dtype in (np.complex64, np.complex128)
]


class Case:
    """Five patterns; the rows and columns of the tile are odd; one pattern comes from a dark patch."""

    def __init__(self, modes, m, fractional, curvature, dtype, engine, loss="amplitude", background="none"):
        rng = np.random.default_rng(m + modes)
        real = np.zeros(0, dtype).real.dtype
        self.shape = (2 * m + 1, m + 4)
        corners = np.array([[0, 0], [m + 1, 4], [1, 2], [1, 2], [0, 3]], np.int64)
        fractions = rng.random((COUNT, 2)) if fractional else np.zeros((COUNT, 2))
        self.z, self.dz = (naive.random_complex(rng, self.shape, dtype) for _ in range(2))
        self.z[m + 1 :] = 0  # the second position sees nothing: |psi| = 0
        self.P, self.dP = (naive.random_complex(rng, (modes, m, m), dtype) for _ in range(2))
        self.exposure = rng.uniform(0.5, 2, COUNT)
        patterns = rng.uniform(0, 3 * modes * m, (COUNT, m, m))
        good = rng.random((COUNT, m, m)) > 0.15
        amplitudes = np.where(good, np.sqrt(patterns), -1.0)
        self.amplitudes = np.fft.ifftshift(amplitudes, axes=(1, 2)).astype(real)
        self.model = naive.Model(
            patterns, corners + fractions, self.P.astype(complex), self.shape, mask=good,
            exposure=self.exposure, method="ptychography", curvature=curvature, loss=loss,
            faint=naive.FAINT if loss == "poisson" else 0.0,  # the term takes the unit of its data as it is
        )  # fmt: skip
        self.loss, self.background, roots = loss, background, np.zeros((2, m, m))
        if background != "none":
            roots[0] = rng.uniform(0, 2, (m, m))
            roots[0, 0, 0] = 0  # no intensity at all where the object is dark
            self.model.known = self.model.faint + rng.uniform(0, 1, (m, m)) * (rng.random((m, m)) > 0.3)
            self.model.known[0, 0] = self.model.faint
        if background == "refined":
            roots[1] = rng.uniform(-1, 1, (m, m))
        self.root, self.droot = roots.astype(real)
        self.corners, self.fractions, self.curvature = corners, fractions, curvature
        self.dtype, self.real, self.modes, self.m = dtype, real, modes, m
        self.expand, self.engine = engine == "expanded", "vector" if engine == "expanded" else engine
        self.tolerance = 10 * naive.ROUNDING[dtype]

    def term(self, *, keep=True):
        positioned = positioned_probe(
            self.fractions, self.modes, self.m, self.dtype, self.engine,
            batch=COUNT if self.expand else 2, expand=self.expand,
        )  # fmt: skip
        positioned.set(self.P)
        positioned.set_direction(self.dP)
        term = diffraction_term(
            self.amplitudes.copy(), self.corners, self.exposure, positioned, self.curvature, keep,
            self.engine, self.loss, self.background,
        )  # fmt: skip
        if self.background != "none":
            term.set_known_background(np.fft.ifftshift(self.model.known - self.model.faint))
            term.set_background(np.fft.ifftshift(self.root))
            term.set_background_direction(np.fft.ifftshift(self.droot))
        return term, positioned

    def expected(self, with_probe):
        """Loss, gradient and product of the sum without 1/N; complex, in z and in the probe."""
        u = self.point(0.0, with_probe)
        du = {"real_part": self.dz.real, "imaginary_part": self.dz.imag}
        if with_probe:
            du["probe"] = self.dP.astype(complex)
        du = {name: np.asarray(a, complex if name == "probe" else float) for name, a in du.items()}
        du["background_amplitude"] = self.droot.astype(float)
        parts = self.model.gradient(u), self.model.product(u, du)
        self.in_root = [COUNT * p["background_amplitude"] for p in parts]
        fields = [COUNT * (p["real_part"] + 1j * p["imaginary_part"]) for p in parts]
        probes = [COUNT * p["probe"] if with_probe else None for p in parts]
        return COUNT * self.model.value(u), fields, probes

    def point(self, t, with_probe):
        z = self.z.astype(complex) + t * self.dz
        u = {"real_part": z.real, "imaginary_part": z.imag}
        u["background_amplitude"] = self.root.astype(float) + t * self.droot.astype(float)
        if with_probe:
            u["probe"] = self.P.astype(complex) + t * self.dP
        return u


@pytest.fixture(
    params=CASES,
    ids=lambda c: "-".join(
        (f"K{c[0]}-m{c[1]}", "fraction" if c[2] else "whole", c[3], c[4].__name__, *c[5:])
    ),
)
def case(request):
    return Case(*request.param)


def gradient_of(term, z, out, with_probe, batches=None):
    """Add the gradient of all positions, batch by batch; return their loss and the probe's part."""
    probe_sum = term.probe.adjoint() if with_probe else None
    for first, last in batches or term.probe.batches():
        term.gradient(z, out, first, last, probe_sum)
    return term.pattern_losses.sum(), probe_sum and probe_sum.total().copy()


def product_of(term, dz, out, with_probe, batches=None):
    """Add the product of all positions, batch by batch; return the probe's part."""
    probe_sum = term.probe.adjoint() if with_probe else None
    for first, last in batches or term.probe.batches():
        term.product(dz, out, first, last, probe_sum)
    return probe_sum and probe_sum.total().copy()


def losses_on_line(term, dz, steps, with_probe):
    losses = np.zeros(len(steps))
    for first, last in term.probe.batches():
        term.losses_along(dz, steps, losses, first, last, with_probe)
    return losses


@pytest.mark.parametrize("with_probe", [False, True])
@pytest.mark.parametrize("keep", [True, False], ids=["cached", "low"])
def test_against_the_model(case, keep, with_probe):
    term, _ = case.term(keep=keep)
    loss, (gradient_z, product_z), (gradient_p, product_p) = case.expected(with_probe)
    for _ in range(2):  # a second evaluation does not remember the first
        tile = np.ones(case.shape, case.dtype)
        term.clear_background_sum()
        found, in_probe = gradient_of(term, case.z, tile, with_probe)
        if case.background == "refined":
            in_root = np.fft.fftshift(term.background_sum())
            assert naive.relative(in_root, case.in_root[0]) < case.tolerance
        assert found == pytest.approx(loss, rel=case.tolerance)
        assert naive.relative(tile - 1, gradient_z) < case.tolerance
        if with_probe:
            assert naive.relative(in_probe, gradient_p) < case.tolerance
        tile = np.ones(case.shape, case.dtype)
        term.clear_background_sum()
        in_probe = product_of(term, case.dz, tile, with_probe)
        if case.background == "refined":
            in_root = np.fft.fftshift(term.background_sum())
            assert naive.relative(in_root, case.in_root[1]) < case.tolerance
        assert naive.relative(tile - 1, product_z) < case.tolerance
        if with_probe:
            assert naive.relative(in_probe, product_p) < case.tolerance
    misfit = [
        naive.pattern_loss(
            case.model.far_field(j, case.model.exit_waves(j, case.z.astype(complex), case.P.astype(complex))),
            *case.model.measured(j, case.point(0.0, False)),
        )
        for j in range(COUNT)
    ]
    assert naive.relative(term.pattern_losses, misfit) < case.tolerance


@pytest.mark.parametrize("with_probe", [False, True])
@pytest.mark.parametrize("keep", [True, False], ids=["cached", "low"])
def test_losses_along(case, keep, with_probe):
    term, _ = case.term(keep=keep)
    gradient_of(term, case.z, np.zeros(case.shape, case.dtype), with_probe)
    steps = np.array([0.0, 0.4, 1.0, -1.3])
    expected = [COUNT * case.model.value(case.point(t, with_probe)) for t in steps]
    assert naive.relative(losses_on_line(term, case.dz, steps, with_probe), expected) < case.tolerance


@pytest.mark.parametrize("with_probe", [False, True])
def test_low_memory_equals_cached(case, with_probe):
    results = []
    for keep in (True, False):
        term, _ = case.term(keep=keep)
        gradient, product = np.zeros((2, *case.shape), case.dtype)
        loss, *in_probe = gradient_of(term, case.z, gradient, with_probe)
        in_probe.append(product_of(term, case.dz, product, with_probe))
        along = losses_on_line(term, case.dz, np.array([0.7]), with_probe)
        results.append((loss, gradient, product, along, *(in_probe if with_probe else ())))
    for cached, low in zip(*results, strict=True):
        np.testing.assert_allclose(low, cached, rtol=0, atol=0.1 * case.tolerance * np.abs(cached).max())


def test_in_given_batches(case):
    """Positions may be taken in batches of any size, as between two tests of an exchange."""
    term, _ = case.term()
    whole, parts = np.zeros((2, *case.shape), case.dtype)
    loss, probe = gradient_of(term, case.z, whole, True)
    batches = [(first, first + 1) for first in range(term.count)]
    split, in_parts = gradient_of(term, case.z, parts, True, batches)
    assert split == pytest.approx(loss, rel=case.tolerance)
    assert naive.relative(parts, whole) < case.tolerance
    assert naive.relative(in_parts, probe) < case.tolerance
    whole[...], parts[...] = 0, 0
    probe = product_of(term, case.dz, whole, True)
    in_parts = product_of(term, case.dz, parts, True, batches)
    assert naive.relative(parts, whole) < case.tolerance
    assert naive.relative(in_parts, probe) < case.tolerance


def test_products_are_symmetric(case):
    rng = np.random.default_rng(9)
    case.droot[...] = 0
    term, _ = case.term()
    gradient_of(term, case.z, np.zeros(case.shape, case.dtype), False)
    left, right = case.dz, naive.random_complex(rng, case.shape, case.dtype)
    products = []
    for direction in (left, right):
        product = np.zeros(case.shape, case.dtype)
        product_of(term, direction, product, False)
        products.append(product)
    difference = np.vdot(products[0], right).real - np.vdot(products[1], left).real
    bound = 1e-12 if case.real == np.float64 else 1e-5
    assert abs(difference) <= bound * np.linalg.norm(products[0]) * np.linalg.norm(right)


@pytest.mark.parametrize("keep", [True, False], ids=["cached", "low"])
def test_intensities_against_the_model(case, keep):
    term, _ = case.term(keep=keep)
    found = np.concatenate([term.intensities(case.z, *batch) for batch in term.probe.batches()])
    found = term.in_order(found)
    of_beam = case.model.intensities(case.z, case.P.astype(complex))
    root = case.root.astype(float) if case.background != "none" else 0.0
    expected = np.fft.ifftshift(of_beam + case.model.known + root**2, axes=(1, 2))
    assert np.abs(found - expected).max() < case.tolerance * expected.max()
