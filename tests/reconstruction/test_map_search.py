"""The strength of the prior of each map, found from its own counts."""

import naive
import numpy as np
import pytest

from ptyxrf import Objective, reconstruct
from ptyxrf.driver.reconstruction.map_evidence import degrees_of_freedom, measure_evidence, random_signs
from ptyxrf.driver.reconstruction.map_search import LEAST, TRIALS, least_risk
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton

STRENGTHS = np.array([3.0, 0.5])


def example(sampling="scan", counts=200.0, **changes):
    """Two maps of 48 x 48 pixels, in counts of some hundred at their brightest."""
    settings = {"m": 16, "per_side": 6, "overlap": 0.6, "elements": 2, "seed": 3}
    scan = simulate("cells", sampling=sampling, **settings)
    rng = np.random.default_rng(5)
    maps = np.asarray(scan.fluorescence)
    sensitivity = np.array([1.0, 0.1]) * counts / maps[0].max()
    expected = maps * sensitivity.reshape(-1, *[1] * (maps.ndim - 1)) / scan.sensitivity[0]
    return scan.replace(
        fluorescence=rng.poisson(expected).astype(float),
        sensitivity=sensitivity,
        count_scale=None,
        fluorescence_count_scale=1.0,
        truth={"elements": scan.truth["elements"]},
        **changes,
    )


def fitted(scan, strengths=STRENGTHS):
    objective = Objective(scan, "fluorescence", fluorescence_prior=tuple(strengths))
    newton = TruncatedNewton(
        objective, SolverSettings(solver="newton", nonnegative=False), Stops(loss_tolerance=1e-12)
    )
    state = newton.start(objective.initial)
    while newton.reason(state) is None:
        state = newton.step(state)
    return objective, state


def dense(objective):
    """The matrix of each element's expected counts, and of its sums of squared differences."""
    pixels, shape = objective.size // 2, objective.scan.shape
    columns, differences = [], []
    for pixel in range(pixels):
        one = np.zeros((2, pixels))
        one[:, pixel] = 1
        counts = objective.predicted_fluorescence(one.reshape(-1)) - objective.scan.background[:, None]
        columns.append(counts)
        differences.append(naive.prior_gradient(one[:1].reshape(1, *shape), [1.0]).reshape(-1))
    return np.moveaxis(columns, 0, 2), np.array(differences)


def test_evidence_is_that_of_dense_matrices(monkeypatch):
    """Misfit and roughness to rounding; degrees of freedom to the noise of the trace."""
    from ptyxrf.driver.reconstruction import map_evidence

    monkeypatch.setattr(map_evidence, "PROBES", 40)
    monkeypatch.setattr(map_evidence, "SETTLED", 1e-4)
    scan = example()
    objective, state = fitted(scan)
    evidence = measure_evidence(objective, state)
    matrices, differences = dense(objective)
    means = scan.fluorescence.mean(axis=1)
    maps = objective.elements_of(state.vector).reshape(2, -1)
    for e, matrix in enumerate(matrices):
        normal = matrix.T @ matrix / means[e]
        freedom = np.trace(np.linalg.solve(normal + STRENGTHS[e] * differences, normal))
        residual = matrix @ maps[e] - scan.fluorescence[e]
        assert evidence.misfit[e] == pytest.approx(residual @ residual / means[e], rel=1e-9)
        assert evidence.roughness[e] == pytest.approx(maps[e] @ differences @ maps[e], rel=1e-9)
        assert evidence.freedom[e] == pytest.approx(freedom, rel=4 / np.sqrt(20 * freedom))
        # the minimum, where the prior balances the data
        force = matrix.T @ residual / means[e] + STRENGTHS[e] * differences @ maps[e]
        assert np.abs(force).max() < 1e-3 * np.abs(matrix.T @ residual / means[e]).max()
    assert (evidence.samples == scan.N).all()
    np.testing.assert_allclose(evidence.risk, evidence.misfit - scan.N + 2 * evidence.freedom, rtol=1e-12)


def test_signs_do_not_repeat():
    objective = Objective(example(), "fluorescence")
    first, second = random_signs(objective, 0), random_signs(objective, 1)
    assert set(np.unique(first)) == {-1.0, 1.0}
    for one, other in ((first, second), (first[0], first[1])):
        assert abs(np.mean(one * other)) < 4 / np.sqrt(one.size)


def test_freedom_within_bounds():
    """No free variable, no degree of freedom; with all free it is that without bounds."""
    objective, _ = fitted(example())
    everything = degrees_of_freedom(objective, np.ones(objective.size, bool))
    np.testing.assert_allclose(everything, degrees_of_freedom(objective, None), rtol=1e-12)
    assert (degrees_of_freedom(objective, np.zeros(objective.size, bool)) == 0).all()
    assert (everything > 1).all() and (everything < objective.scan.N).all()


def test_least_risk():
    """The vertex of a parabola; within limits where it lies outside, or where there is none."""
    logs = np.log(TRIALS)
    vertex = np.log(0.2)
    inside, left, right = (logs - vertex) ** 2, (logs + 20) ** 2, (logs - 5) ** 2
    found = least_risk(np.stack([inside, left, right, -inside], axis=1))
    np.testing.assert_allclose(found[:3], [0.2, LEAST, 1.0], rtol=1e-9)
    assert found[3] in TRIALS


@pytest.mark.parametrize("sampling", ["scan", "grid"])
def test_sharper_than_one_stop_for_all(sampling):
    """The maps come nearer to the truth than those of uniform weights stopped at the noise."""
    scan = example(sampling)
    ours = reconstruct(scan, "fluorescence")
    stopped = reconstruct(scan, "fluorescence", fluorescence_prior="none")

    def errors(result):
        truth = scan.truth["elements"]
        return np.array([naive.relative(w, t) for w, t in zip(result.elements, truth, strict=True)])

    assert (errors(ours) < errors(stopped)).all(), (errors(ours), errors(stopped))
    used = np.array(ours.settings["prior_used"])
    assert used.shape == (2,) and (used > 0).all()
    assert ours.history[-1].prior_loss > 0 and stopped.history[-1].prior_loss == 0


def test_scale_of_fitted_areas_is_estimated():
    """Areas that are no counts and have no count scale: their variance is estimated from the misfit."""
    scan = example("grid", counts=400.0)
    areas = scan.replace(
        fluorescence=scan.fluorescence * np.array([0.37, 5.1])[:, None, None],
        sensitivity=scan.sensitivity * [0.37, 5.1],
        fluorescence_count_scale=None,
    )
    result = reconstruct(areas, "fluorescence")
    found = np.array(result.settings["fluorescence_count_scale_used"])
    np.testing.assert_allclose(found, [0.37, 5.1], rtol=0.3)
    counted = reconstruct(scan, "fluorescence")
    for one, other in zip(result.elements, counted.elements, strict=True):
        assert naive.relative(one, other) < 0.3


def test_the_unit_of_the_counts_does_not_matter():
    """Counts in another unit, with the count scale that tells it: the same strengths and maps."""
    scan = example()
    other = scan.replace(
        fluorescence=scan.fluorescence * 1e9,
        sensitivity=scan.sensitivity * 1e9,
        fluorescence_count_scale=1e9,
    )
    one, two = (reconstruct(each, "fluorescence", precision="double") for each in (scan, other))
    np.testing.assert_allclose(two.settings["prior_used"], one.settings["prior_used"], rtol=0.02)
    assert naive.relative(two.elements, one.elements) < 1e-3


def test_a_time_budget_ends_the_search(monkeypatch):
    """Without any time no evidence is measured; the strengths are those of the beginning."""
    from ptyxrf.driver.reconstruction import map_search

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(map_search, "measure_evidence", never)
    result = reconstruct(example(), "fluorescence", max_seconds=0.0)
    assert len(result.history) == 1 and result.reason.name == "SECONDS"
    assert (np.array(result.settings["prior_used"]) > 0).all()
    with pytest.raises(AssertionError):
        reconstruct(example(), "fluorescence")
