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
    assert objective.weights.vector is None


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
