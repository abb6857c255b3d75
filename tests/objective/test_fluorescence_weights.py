"""The weights of single samples of the fluorescence: of maximum likelihood at the counts of the model."""

import naive
import numpy as np
import pytest
from objective_cases import DEFAULTS, make_scan, random_point

from ptyxrf import Objective
from ptyxrf.driver.objective.fluorescence_noise import LEAST_COUNT

CASE = DEFAULTS | {"N_e": 3, "missing": True, "background": True, "exposure": True, "fraction": True}


def counted_scan(sampling, **changes):
    return make_scan(CASE | {"sampling": sampling}).replace(
        count_scale=1.0, fluorescence_count_scale=[2.0, 1.0, 0.5], **changes
    )


@pytest.mark.parametrize("method", ["joint", "fluorescence"])
@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_weights_of_the_model(sampling, method):
    """alpha_e,i is alpha_e times the mean variance over that of the expected count, floored."""
    scan = counted_scan(sampling)
    objective = Objective(scan, method)
    there = random_point(objective, np.random.default_rng(1))
    there["elements"] = np.abs(there["elements"])
    there["elements"][0, :4] = 0
    measured = scan.measured.astype(float)
    model = naive.model_of(scan, alpha=measured, method=method)
    counts = model.counts(there | {"probe": scan.probe}).reshape(3, -1)
    means = np.nan_to_num(np.abs(scan.fluorescence).reshape(3, -1).mean(axis=1), nan=1.0)
    floor = np.maximum(scan.background, LEAST_COUNT * means)
    assert (counts[[0, 2]] < floor[[0, 2], None]).any() or scan.background.all()
    relative = means[:, None] / np.maximum(counts, floor[:, None])
    vector = objective.scatter(**there)
    alpha = objective.alpha
    objective.weigh(vector)
    np.testing.assert_array_equal(objective.alpha, alpha)
    variance = objective.fluorescence_variance(vector).reshape(3, -1)
    np.testing.assert_allclose(
        relative * variance, (means * [2.0, 1.0, 0.5])[:, None] + 0 * relative, rtol=1e-12
    )

    model = naive.model_of(scan, alpha=alpha, relative=relative, method=method)
    here = random_point(objective, np.random.default_rng(2))
    value, gradient = objective.value_and_gradient(objective.scatter(**here))
    assert value == pytest.approx(model.value(here), rel=1e-11)
    expected = model.gradient(here)
    for name, part in objective.gather(gradient).items():
        assert naive.relative(part, expected[name]) < 1e-11


@pytest.mark.parametrize("changes", [{"alpha": 0.3}, {"alpha": "gradnorm"}, {"noiseless": True}])
def test_uniform_weights(changes):
    """Numbers, the weights of the paper and data without noise know no weights of samples."""
    scan = counted_scan("scan")
    if changes.pop("noiseless", False):
        scan = scan.replace(count_scale=0.0, fluorescence_count_scale=0.0)
    objective = Objective(scan, **changes)
    vector = objective.scatter(**random_point(objective, np.random.default_rng(1)))
    before = objective.value_and_gradient(vector)
    objective.weigh(vector)
    after = objective.value_and_gradient(vector)
    assert after[0] == before[0]
    np.testing.assert_array_equal(after[1], before[1])
    assert objective.weights.uniform and "relative_weights" not in objective.memory()


def test_preconditioner_follows_the_weights():
    """The diagonal is that of an objective which never had other weights."""
    scan = counted_scan("scan")
    one, other = Objective(scan, "fluorescence"), Objective(scan, "fluorescence")
    vector = one.scatter(elements=np.abs(random_point(one, np.random.default_rng(1))["elements"]))
    _, gradient = one.value_and_gradient(vector)
    before = one.precondition(gradient)
    for objective in (one, other):
        objective.weigh(vector)
        objective.value_and_gradient(vector)
    np.testing.assert_array_equal(one.precondition(gradient), other.precondition(gradient))
    assert naive.relative(one.precondition(gradient), before) > 1e-3


@pytest.mark.parametrize("method", ["joint", "fluorescence"])
@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_prior(sampling, method):
    """A strength of one over the variance of differences, beside the negative log likelihood."""
    scan = counted_scan(sampling)
    strengths = [0.3, 5.0, 2.0]
    objective = Objective(scan, method, curvature="full", fluorescence_prior=strengths)
    means = np.nan_to_num(np.abs(scan.fluorescence).reshape(3, -1).mean(axis=1), nan=1.0)
    unit = objective.alpha * means * [2.0, 1.0, 0.5] / 3  # loss over negative log likelihood
    model = naive.model_of(scan, alpha=objective.alpha, strengths=unit * strengths, method=method)
    u, du = (random_point(objective, np.random.default_rng(seed)) for seed in (1, 2))
    value, gradient = objective.value_and_gradient(objective.scatter(**u))
    assert value == pytest.approx(model.value(u), rel=1e-11)
    prior = naive.prior_loss(u["elements"], unit * strengths)
    assert objective.losses.prior == pytest.approx(prior, rel=1e-12)
    direction = objective.scatter(**du)
    for vector, expected in (
        (gradient, model.gradient(u)),
        (objective.hessian_product(direction), model.product(u, du)),
    ):
        for name, part in objective.gather(vector).items():
            assert naive.relative(part, expected[name]) < 1e-11
    steps = [0.0, 0.5, -1.0]
    line = [model.value({name: u[name] + t * du[name] for name in u}) for t in steps]
    np.testing.assert_allclose(objective.losses_along(direction, steps), line, rtol=1e-11)


def test_prior_is_checked():
    scan = counted_scan("scan")
    with pytest.raises(ValueError, match="fluorescence_prior: expected a number or 3 numbers, got 2"):
        Objective(scan, fluorescence_prior=[1.0, 2.0])
    with pytest.raises(ValueError, match="fluorescence_prior: expected one of"):
        Objective(scan, fluorescence_prior="strong")


def lossy_scan(sampling, missing=((0, 3), (2, 1), (2, 4))):
    """The scan with some lost counts, and which counts are there."""
    scan = counted_scan(sampling)
    maps = np.array(scan.fluorescence, dtype=float)
    flat = maps.reshape(3, -1)
    for place in missing:
        flat[place] = np.nan
    return scan.replace(fluorescence=maps), ~np.isnan(flat)


@pytest.mark.parametrize("method", ["joint", "fluorescence"])
@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_lost_counts_have_no_weight(sampling, method):
    """Neither in uniform weights nor in those of the model; all other counts keep theirs."""
    scan, there = lossy_scan(sampling)
    whole = counted_scan(sampling)
    objective = Objective(scan, method, alpha=[0.3, 0.0, 0.7])
    model = naive.model_of(
        whole, alpha=objective.alpha, relative=there.astype(float), method=method, curvature="positive"
    )
    u, du = (random_point(objective, np.random.default_rng(seed)) for seed in (1, 2))
    value, gradient = objective.value_and_gradient(objective.scatter(**u))
    assert value == pytest.approx(model.value(u), rel=1e-11)
    product = objective.hessian_product(objective.scatter(**du))
    for vector, expected in ((gradient, model.gradient(u)), (product, model.product(u, du))):
        for name, part in objective.gather(vector).items():
            assert naive.relative(part, expected[name]) < 1e-11

    flat = whole.fluorescence.reshape(3, -1)
    means = [flat[e][there[e]].mean() for e in (0, 2)]
    np.testing.assert_allclose(objective.data.counts.mean_modulus[[0, 2]], means, rtol=1e-12)
    weighed = Objective(scan, method)
    weighed.weigh(weighed.scatter(**u))
    variance = weighed.fluorescence_variance(weighed.scatter(**u)).reshape(3, -1)
    np.testing.assert_array_equal(np.isfinite(variance)[[0, 2]], there[[0, 2]])
    assert (weighed.memory()["relative_weights"].reshape(3, -1)[~there & scan.measured[:, None]] == 0).all()


@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_variances_of_the_scan(sampling):
    """They take the place of those of counts; NaN is no weight."""
    scan = counted_scan(sampling)
    variance = np.random.default_rng(4).uniform(1, 5, scan.fluorescence.shape)
    variance.reshape(3, -1)[0, 2] = np.nan
    given = scan.replace(fluorescence_variance=variance)
    objective = Objective(given)
    vector = objective.scatter(**random_point(objective, np.random.default_rng(1)))
    objective.weigh(vector)
    expected = np.where(np.isnan(variance), np.inf, variance)
    np.testing.assert_array_equal(objective.fluorescence_variance(vector), expected)
    # alpha_e,i = (N_e / N) sigma_b^2 / variance
    flat = expected.reshape(3, -1)
    weights = objective.alpha[:, None] * objective.memory()["relative_weights"].reshape(3, -1)
    np.testing.assert_allclose(weights[[0, 2]], (3 / scan.N / 4 / flat)[[0, 2]], rtol=1e-12)
    assert weights[0, 2] == 0
    assert objective.weights.noise.known


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf])
def test_variances_are_checked(value):
    scan = counted_scan("scan")
    variance = np.ones(scan.fluorescence.shape)
    variance[1, 1] = value
    with pytest.raises(ValueError, match=r"^fluorescence_variance: expected positive numbers"):
        scan.replace(fluorescence_variance=variance)
    with pytest.raises(ValueError, match=r"^fluorescence_variance: expected shape \(3, 5\)"):
        scan.replace(fluorescence_variance=variance[:2])
