"""Stochastic Lanczos quadrature on matrices that are known, and on a scan against its dense Hessian."""

from types import SimpleNamespace

import numpy as np
import pytest

from ptyxrf import Spectrum, dense_hessian, simulate, spectrum
from ptyxrf.driver.analysis.spectrum import lanczos, random_signs
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.parallel.rectangle import Rectangle


class Fake:
    """A symmetric matrix as the Hessian of an objective of one field on a column of pixels."""

    def __init__(self, matrix, dtype=np.float64):
        self.matrix = np.asarray(matrix)  # or its diagonal
        self.real, self.size = np.dtype(dtype), len(self.matrix)
        self.tile = SimpleNamespace(grid=(self.size, 1), owned=Rectangle(0, self.size, 0, 1))
        self.with_probe, self.work, self.products = False, SimpleNamespace(gradients=1), 0

    @property
    def fields(self):
        return SimpleNamespace(view=lambda vector: vector.reshape(1, self.size, 1))

    def product_with_dots(self, direction, residual):
        assert direction.dtype == self.real
        self.products += 1
        matrix = self.matrix
        product = (matrix * direction if matrix.ndim == 1 else matrix @ direction).astype(self.real)
        left, right = direction.astype(np.float64), residual.astype(np.float64)
        return product, (right @ left, product.astype(np.float64) @ left, right @ right)


def rotated(values, seed=0):
    """A full matrix with given eigenvalues."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))
    return (q * values) @ q.T


# ---------------------------------------------------------------- known matrices


def test_exact_for_few_eigenvalues():
    """Three eigenvalues of a diagonal matrix are found in three steps, with their exact multiplicities."""
    fake = Fake(np.repeat([-1.0, 2.0, 5.0], [10, 30, 60]))
    found = spectrum(fake, vectors=3, steps=12)
    assert (found.size, found.nodes.shape, found.weights.shape) == (100, (3, 12), (3, 12))
    assert fake.products == 3 * 4  # the fourth finds that nothing is left
    np.testing.assert_allclose(found.nodes[:, :3], [[-1.0, 2.0, 5.0]] * 3, rtol=1e-13)
    np.testing.assert_allclose(found.weights[:, :3], [[0.1, 0.3, 0.6]] * 3, rtol=1e-12)
    np.testing.assert_array_equal(found.weights[:, 3:], 0)
    np.testing.assert_array_equal(found.nodes[:, 3:], found.nodes[:, 2:3].repeat(9, axis=1))
    assert (found.smallest, found.largest) == pytest.approx((-1, 5))
    mean, error = found.fraction_above(3.0)
    assert mean == pytest.approx(0.6) and error == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(
        found.cumulative([[-2.0, 0.0], [3.0, 9.0]]), [[0, 0.1], [0.4, 1.0]], atol=1e-12
    )


def test_moments_are_those_of_the_matrix():
    """A Gauss quadrature of S nodes is exact to the power 2 S - 1, vector by vector."""
    values = np.random.default_rng(1).normal(size=60)
    fake = Fake(rotated(values))
    steps = 6
    found = spectrum(fake, vectors=4, steps=steps, seed=3)
    for index in range(4):
        v = random_signs(fake, 3, index)
        for power in range(2 * steps):
            moment = v @ np.linalg.matrix_power(fake.matrix, power) @ v / 60
            quadrature = found.weights[index] @ found.nodes[index] ** power
            assert quadrature == pytest.approx(moment, rel=1e-10, abs=1e-12)


def test_as_many_steps_as_unknowns():
    """All eigenvalues come out, and no more steps are made than there are unknowns."""
    values = np.sort(np.random.default_rng(1).uniform(1, 2, 12))
    fake = Fake(rotated(values))
    found = spectrum(fake, vectors=2, steps=50)
    assert fake.products == 24
    np.testing.assert_allclose(found.nodes[:, :12], [values] * 2, rtol=1e-10)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ghosts_share_the_weight_of_their_eigenvalue(dtype):
    """The process runs on long after it has found the outer eigenvalues, and finds them again.

    A vector of signs has the same weight on each entry of a diagonal matrix: nothing is left to chance.
    """
    inner = np.linspace(0.0, 1.0, 1996)
    values = np.concatenate([inner, [10.0, 30.0, 100.0, 300.0]])
    fake = Fake(values, dtype)
    found = spectrum(fake, vectors=3, steps=120)
    copies = np.abs(found.nodes - 300.0) < 300 * 10 * np.finfo(dtype).eps
    assert (copies.sum(axis=1) > 2).all()  # ghosts there are
    for value in values[-4:]:
        near = np.abs(found.nodes - value) < 1e-3 * value
        np.testing.assert_allclose(np.where(near, found.weights, 0).sum(axis=1), 1 / 2000, rtol=1e-3)
    points = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(found.cumulative(points), points * 1996 / 2000, atol=0.02)
    assert found.fraction_above(2.0)[0] == pytest.approx(4 / 2000, rel=1e-3)
    assert found.largest == pytest.approx(300, rel=float(10 * np.finfo(dtype).eps))


def test_ghosts_of_a_full_matrix():
    """Against exact distributions of the same vectors: rounding leaves them alone."""
    values = np.concatenate([np.random.default_rng(2).uniform(0, 1, 290), np.geomspace(5, 1e4, 10)])
    fake = Fake(rotated(values))
    found = spectrum(fake, vectors=4, steps=250)
    eigenvalues, states = np.linalg.eigh(fake.matrix)
    shares = np.array([(states.T @ random_signs(fake, 0, index)) ** 2 / 300 for index in range(4)])
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9, 2.0, 20.0, 500.0):
        exact = shares[:, eigenvalues > threshold].sum(axis=1)
        # the two nodes beside the threshold bound the error of a Gauss quadrature
        right = (found.nodes <= threshold).sum(axis=1)
        pairs = [weights[k - 1 : k + 1].max() for weights, k in zip(found.weights, right, strict=True)]
        bound = 1e-9 + (np.array(pairs) if threshold < 1 else 0)
        above = np.where(found.nodes > threshold, found.weights, 0).sum(axis=1)
        assert (np.abs(above - exact) <= bound).all()
        mean, error = found.fraction_above(threshold)
        assert mean == pytest.approx(above.mean()) and error == pytest.approx(above.std(ddof=1) / 2)


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_unit_does_not_matter(dtype, factor):
    values = np.linspace(-0.2, 1, 500)
    one = spectrum(Fake(values, dtype), vectors=2, steps=20)
    other = spectrum(Fake(factor * values, dtype), vectors=2, steps=20)
    rounding = 1e-10 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(other.nodes, factor * one.nodes, rtol=rounding, atol=factor * rounding)
    np.testing.assert_allclose(other.weights, one.weights, rtol=30 * rounding)


def test_a_matrix_of_zeros_and_one_step():
    found = spectrum(Fake(np.zeros(20)), vectors=2, steps=5)
    np.testing.assert_array_equal(found.nodes, 0)
    np.testing.assert_array_equal(found.weights, [[1, 0, 0, 0, 0]] * 2)
    assert found.fraction_above(0)[0] == 0 and found.cumulative([0.0]) == pytest.approx([1.0])
    fake = Fake(rotated(np.arange(1.0, 31)))
    found = spectrum(fake, vectors=1, steps=1, seed=4)
    v = random_signs(fake, 4, 0)
    np.testing.assert_allclose(found.nodes, v @ fake.matrix @ v / 30, rtol=1e-13)
    mean, error = found.fraction_above(0.0)
    assert mean == 1.0 and np.isnan(error)


def test_lanczos_diagonalises():
    fake = Fake(rotated(np.geomspace(1, 50, 40)))
    start = random_signs(fake, 0, 0)
    diagonal, off_diagonal = lanczos(fake, start.copy(), 5)
    basis, _ = np.linalg.qr(np.array([np.linalg.matrix_power(fake.matrix, k) @ start for k in range(5)]).T)
    expected = basis.T @ fake.matrix @ basis
    np.testing.assert_allclose(np.diag(expected), diagonal, rtol=1e-8)
    np.testing.assert_allclose(np.abs(np.diag(expected, 1)), off_diagonal, rtol=1e-8)


def test_density():
    found = spectrum(Fake(np.repeat([0.0, 4.0], [30, 10])), vectors=2, steps=5)
    points, width = np.linspace(-3, 7, 1001), 0.3
    density = found.density(points, width)
    gauss = [np.exp(-0.5 * ((points - x) / width) ** 2) / (np.sqrt(2 * np.pi) * width) for x in (0, 4)]
    np.testing.assert_allclose(density, 0.75 * gauss[0] + 0.25 * gauss[1], atol=1e-12)
    assert np.trapezoid(density, points) == pytest.approx(1, rel=1e-6)
    assert found.density(points.reshape(7, -1), width).shape == (7, 143)


# ---------------------------------------------------------------- random vectors


def test_signs():
    """As many of each sign, and no relation between neighbours, vectors or seeds."""
    fake = Fake(np.ones(20000))
    drawn = [random_signs(fake, seed, index) for seed in (0, 1, 2**64 - 1) for index in range(4)]
    for i, one in enumerate(drawn):
        assert set(np.unique(one)) == {-1.0, 1.0}
        for lag in (1, 2, 64):
            assert abs(one[lag:] @ one[:-lag]) < 5 * np.sqrt(20000)
        assert abs(one.sum()) < 5 * np.sqrt(20000)
        for other in drawn[:i]:
            assert abs(one @ other) < 5 * np.sqrt(20000)
    np.testing.assert_array_equal(random_signs(fake, 1, 2), drawn[6])


def test_seeds():
    fake = Fake(rotated(np.arange(1.0, 41)))
    first, again, other = (spectrum(fake, vectors=3, steps=8, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.nodes, again.nodes)
    np.testing.assert_array_equal(first.weights, again.weights)
    assert (first.nodes != other.nodes).any()
    assert (first.nodes[0] != first.nodes[1]).any()
    # more vectors begin with the same ones
    np.testing.assert_array_equal(spectrum(fake, vectors=5, steps=8, seed=5).nodes[:3], first.nodes)


def test_progress():
    told = []
    spectrum(Fake(np.arange(30.0)), vectors=2, steps=3, progress=lambda *counts: told.append(counts))
    assert told == [(done, 6) for done in range(1, 7)]
    told.clear()
    spectrum(Fake(np.ones(30)), vectors=2, steps=3, progress=lambda *counts: told.append(counts))
    assert told[-1] == (6, 6)


# ---------------------------------------------------------------- scans


def small_scan(**options):
    settings = {"n": 20, "m": 10, "per_side": 4, "photons": 100.0, "elements": 1, "seed": 3}
    return simulate("cells", **settings | options)


@pytest.mark.parametrize(
    ("method", "curvature", "sampling", "precision"),
    [
        ("joint", "positive", "grid", "double"),
        ("joint", "full", "scan", "single"),
        ("ptychography", "gauss-newton", None, "double"),
        ("fluorescence", "full", "grid", "single"),
    ],
)
def test_against_the_dense_hessian(method, curvature, sampling, precision):
    scan = small_scan(sampling=sampling)
    objective = Objective(scan, method, curvature=curvature, precision=precision)
    z = scan.truth["object"]
    near = {"real_part": z.real, "imaginary_part": z.imag, "elements": scan.truth.get("elements")}
    point = objective.scatter(**{name: near[name] for name in objective.unknowns})
    matrix = dense_hessian(objective, point)
    values = np.linalg.eigvalsh(matrix)
    objective.value_and_gradient(point)
    found = spectrum(objective, vectors=20, steps=60)
    assert found.size == objective.size
    assert found.largest == pytest.approx(values[-1], rel=1e-5)
    assert values[0] - 1e-5 * values[-1] <= found.smallest
    thresholds = values[-1] * np.array([0.1, 0.2, 0.3, 0.5, 0.7])
    exact = np.searchsorted(values, thresholds, side="right") / len(values)
    np.testing.assert_allclose(found.cumulative(thresholds), exact, atol=0.02)
    for threshold, below in zip(thresholds, exact, strict=True):
        mean, error = found.fraction_above(threshold)
        assert mean == pytest.approx(1 - below, abs=0.02)
        assert error < 0.01
    # the trace, to which each vector gives an unbiased guess
    trace = (found.weights * found.nodes).sum(axis=1).mean() * found.size
    assert trace == pytest.approx(np.trace(matrix), abs=0.05 * np.abs(values).sum())


def test_with_an_unknown_probe():
    """The probe's unknowns take part, unless it is held."""
    objective = Objective(small_scan(), refine_probe=True)
    objective.value_and_gradient(objective.initial)
    found = spectrum(objective, vectors=6, steps=60)
    matrix = np.array([objective.hessian_product(unit) for unit in np.eye(objective.size)])
    values = np.linalg.eigvalsh(matrix)
    assert found.size == len(values) == 2 * 400 + 2 * 100
    assert found.largest == pytest.approx(values[-1], rel=1e-6)
    mean, error = found.fraction_above(0.01 * values[-1])
    assert mean == pytest.approx((values > 0.01 * values[-1]).mean(), abs=0.01 + 3 * error)

    objective.held = frozenset({"probe"})
    objective.value_and_gradient(objective.initial)
    held = spectrum(objective, vectors=2, steps=10)
    known = Objective(small_scan())
    known.value_and_gradient(known.initial)
    expected = spectrum(known, vectors=2, steps=10)
    assert held.size == expected.size == 2 * 400
    np.testing.assert_allclose(held.nodes, expected.nodes, rtol=1e-8, atol=1e-10 * expected.largest)


# ---------------------------------------------------------------- invalid arguments


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"vectors": 0}, r"^vectors: expected an integer of at least 1, got 0"),
        ({"vectors": 2.0}, r"^vectors: expected an integer of at least 1, got 2.0"),
        ({"steps": 0}, r"^steps: expected an integer of at least 1"),
        ({"steps": True}, r"^steps: expected an integer of at least 1"),
        ({"seed": -1}, r"^seed: expected an integer of at least 0"),
        ({"seed": 2**64}, r"^seed: expected an integer below 2\^64"),
        ({"progress": "yes"}, r"^progress: expected a callable, got str"),
    ],
)
def test_refused(words, message):
    with pytest.raises(ValueError, match=message):
        spectrum(Fake(np.ones(5)), **words)


def test_a_point_is_needed():
    objective = Objective(small_scan())
    with pytest.raises(ValueError, match=r"^objective: expected one whose value_and_gradient was called"):
        spectrum(objective)


def test_products_have_to_be_finite():
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^objective: expected finite Hessian products"):
            spectrum(Fake(np.array([1.0, value, 2.0])[:2].repeat(1)))


def test_wrong_questions():
    found = Spectrum(np.array([[0.0, 1.0]]), np.array([[0.25, 0.75]]), 7)
    for wrong in (np.nan, np.inf, "low", None):
        with pytest.raises(ValueError, match=r"^threshold: expected a finite number"):
            found.fraction_above(wrong)
    with pytest.raises(ValueError, match=r"^points: expected numbers, got NaN"):
        found.cumulative([0.0, np.nan])
    with pytest.raises(ValueError, match=r"^points: expected real numbers"):
        found.density(["a"], 1.0)
    for wrong in (0.0, -1.0, np.nan, None):
        with pytest.raises(ValueError, match=r"^width: expected a finite positive number"):
            found.density([0.0], wrong)
    np.testing.assert_array_equal(found.cumulative([-np.inf, 0.0, 0.5, np.inf]), [0, 0.25, 0.25, 1])
