"""Any number of ranks computes what one rank computes."""

import numpy as np
import pytest
from cases import CASES, make_scan, random_unknowns, relative

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.accuracy import ErrorMeter, measure_errors
from ptyxrf.driver.reconstruction.discrepancy import noise_level
from ptyxrf.parallel.reduction import Ranks


def gathered_alike(ours, reference, mine, theirs):
    """Compare a vector of the shared objective with one of the objective of a single rank."""
    whole, expected = ours.gather(mine), reference.gather(theirs)
    assert whole.keys() == expected.keys()
    for name in whole:
        assert relative(whole[name], expected[name]) < 1e-12, name


@pytest.mark.parametrize("name", CASES)
def test_equal_to_one_rank(comm, name):
    scan, settings = make_scan(name), CASES[name][1]
    one = Objective(scan, **settings)
    ours = Objective(scan, **settings, comm=comm)
    point, direction, other = (random_unknowns(scan, one.unknowns, seed) for seed in (1, 2, 3))
    np.testing.assert_allclose(ours.alpha, one.alpha, rtol=1e-12)
    counted = random_unknowns(scan, one.unknowns, 4)
    one.weigh(one.scatter(**counted))
    ours.weigh(ours.scatter(**counted))
    strengths = np.linspace(1, 2, scan.N_e) / (1 + np.sum(one.alpha))
    one.weights.regularise(strengths)
    ours.weights.regularise(strengths)
    assert ours.mean_count == pytest.approx(one.mean_count, rel=1e-13)
    if one.data.patterns is not None:
        assert ours.data.patterns.whole == one.data.patterns.whole

    value, gradient = one.value_and_gradient(one.scatter(**point))
    our_value, our_gradient = ours.value_and_gradient(ours.scatter(**point))
    assert our_value == pytest.approx(value, rel=1e-12)
    gathered_alike(ours, one, our_gradient, gradient)

    d, our_d = one.scatter(**direction), ours.scatter(**direction)
    residual, our_residual = one.scatter(**other), ours.scatter(**other)
    product, dots = one.product_with_dots(d, residual)
    our_product, our_dots = ours.product_with_dots(our_d, our_residual)
    gathered_alike(ours, one, our_product, product)
    np.testing.assert_allclose(our_dots, dots, rtol=1e-12)
    assert ours.dot(our_d, our_residual) == pytest.approx(one.dot(d, residual), rel=1e-12)
    steps = [-0.3, 0.1, 0.7]
    np.testing.assert_allclose(ours.losses_along(our_d, steps), one.losses_along(d, steps), rtol=1e-12)
    gathered_alike(ours, one, ours.precondition(our_gradient), one.precondition(gradient))
    assert ours.work == one.work


@pytest.mark.parametrize(
    "name", ["raster-grid", "random-scan-probe", "random-scan-positions", "random-grid-positions"]
)
def test_symmetric_and_a_derivative(comm, name):
    """The product is symmetric, and what the gradient changes by, without a look at one rank."""
    scan, settings = make_scan(name), CASES[name][1] | {"curvature": "full"}
    ours = Objective(scan, **settings, comm=comm)
    u, v, w = (ours.scatter(**random_unknowns(scan, ours.unknowns, seed)) for seed in (1, 2, 3))
    ours.value_and_gradient(u)
    left, right = ours.dot(ours.hessian_product(v), w), ours.dot(ours.hessian_product(w), v)
    assert left == pytest.approx(right, rel=1e-11)
    product = ours.hessian_product(v)
    errors = []
    for t in (1e-4, 5e-5):
        change = (ours.value_and_gradient(u + t * v)[1] - ours.value_and_gradient(u - t * v)[1]) / (2 * t)
        errors.append(np.sqrt(ours.dot(change - product, change - product)))
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize("name", ["random-grid-probe", "random-scan-positions"])
def test_scatter_and_gather(comm, name):
    scan, settings = make_scan(name), CASES[name][1]
    ours = Objective(scan, **settings, comm=comm)
    arrays = random_unknowns(scan, ours.unknowns, 4)
    vector = ours.scatter(**arrays)
    back = ours.gather(vector)
    for name, values in arrays.items():
        np.testing.assert_array_equal(back[name], values)
    # what is replicated is there on every rank and counts once
    square = sum(float(np.sum(np.abs(values) ** 2)) for values in arrays.values())
    assert ours.dot(vector, vector) == pytest.approx(square, rel=1e-12)
    assert comm.allreduce(ours.tile.owned.size) == scan.shape[0] * scan.shape[1]


def test_one_reduction_and_two_exchanges_a_product(comm):
    """A step of conjugate gradients: the halo out and back, and one Allreduce, with the probe refined too."""
    scan = make_scan("random-grid-probe")
    ours = Objective(scan, refine_probe=True, comm=comm)
    vector = ours.initial
    ours.value_and_gradient(vector)
    ours.precondition(vector)
    traffic = ours.ranks.traffic
    before = traffic.reductions, traffic.messages
    ours.product_with_dots(vector, vector)
    ours.precondition(vector)
    assert traffic.reductions - before[0] == (1 if comm.Get_size() > 1 else 0)
    neighbours = len(ours.tile.sources) + len(ours.tile.destinations)
    assert traffic.messages - before[1] == neighbours


@pytest.mark.parametrize("name", ["raster-grid", "random-scan-probe", "three-positions"])
def test_noise_level_and_errors(comm, name):
    scan, settings = make_scan(name), CASES[name][1]
    one, ours = Objective(scan, **settings), Objective(scan, **settings, comm=comm)
    level, our_level = noise_level(one), noise_level(ours)
    assert (level is None) == (our_level is None)
    if level is not None:
        assert our_level.ptychography == pytest.approx(level.ptychography, rel=1e-12)
        assert our_level.fluorescence == pytest.approx(level.fluorescence, rel=1e-12)

    arrays = random_unknowns(scan, one.unknowns, 1)
    vector, ours_vector = one.scatter(**arrays), ours.scatter(**arrays)
    expected = measure_errors(one.complex_object(vector), one.elements_of(vector), scan)
    meter = ErrorMeter(scan, ours.tile, Ranks(comm))
    errors = meter.measure(ours.complex_object(ours_vector), ours.elements_of(ours_vector))
    assert errors.keys() == expected.keys()
    for key, value in expected.items():
        assert errors[key] == pytest.approx(value, rel=1e-11), key


def test_unknown_probes_have_no_aligned_error_in_tiles(comm):
    """A shift and a ramp are found on the whole object only: on several ranks the error is left out."""
    scan = make_scan("random-scan-probe")
    ours = Objective(scan, refine_probe=True, comm=comm)
    meter = ErrorMeter(scan, ours.tile, Ranks(comm), blind=True)
    errors = meter.measure(ours.complex_object(ours.initial), ours.elements_of(ours.initial))
    assert ("mse_aligned" in errors) == (comm.Get_size() == 1)
    assert errors["mse"] > 0


@pytest.mark.parametrize("name", ["raster-grid", "random-scan-probe"])
def test_lost_counts_and_given_variances(comm, name):
    """A lost count may lie on one rank; its weights, and those that a restored objective takes, agree."""
    scan, settings = make_scan(name), CASES[name][1] | {"alpha": "statistical"}
    maps = np.array(scan.fluorescence, dtype=float)
    maps.reshape(scan.N_e, -1)[-1, 3] = np.nan
    variance = np.random.default_rng(3).uniform(1, 2, maps.shape)
    lossy = scan.replace(fluorescence=maps, fluorescence_variance=variance)
    one, ours = Objective(lossy, **settings), Objective(lossy, **settings, comm=comm)
    there, point = (random_unknowns(scan, one.unknowns, seed) for seed in (1, 2))
    one.weigh(one.scatter(**there))
    ours.weigh(ours.scatter(**there))
    restored = Objective(lossy, **settings, comm=comm)
    restored.weights.restore(ours.memory())
    assert (one.memory()["relative_weights"].reshape(scan.N_e, -1)[-1, 3]) == 0
    value, gradient = one.value_and_gradient(one.scatter(**point))
    for each in (ours, restored):
        our_value, our_gradient = each.value_and_gradient(each.scatter(**point))
        assert our_value == pytest.approx(value, rel=1e-12)
        gathered_alike(each, one, our_gradient, gradient)
