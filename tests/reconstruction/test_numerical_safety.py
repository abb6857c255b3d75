"""A number that is not finite, wherever it comes from, is rejected and said; it never reaches the result."""

import dataclasses

import numpy as np
import pytest
from scans import joint_scan

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.reconstruct import reconstruct

BAD = [np.nan, np.inf]


def value(result, bad):
    return bad, result[1]


def gradient(result, bad):
    result[1][7] = bad
    return result


def product(result, bad):
    result[0][5] = bad
    return result[0], (bad, bad, bad)


def product_alone(result, bad):
    """The dots of a step stay finite: what is bad shows a step later."""
    result[0][5] = bad
    return result


def entry(result, bad):
    result[3] = bad
    return result


def losses(result, bad):
    result[2:] = bad
    return result


def all_sums(result, bad):
    return np.full_like(result, bad)


def inverse(result, bad):
    first = result[0]
    spoilt = first.inverse.copy()
    spoilt[0, 2] = bad
    return [dataclasses.replace(first, inverse=spoilt), *result[1:]]


#: What goes wrong: the method of the objective, and how its result is spoilt.
FAULTS = {
    "value": ("value_and_gradient", value),
    "gradient": ("value_and_gradient", gradient),
    "product": ("product_with_dots", product),
    "product alone": ("product_with_dots", product_alone),
    "preconditioned": ("precondition", entry),
    "losses along": ("losses_along", losses),
    "sums": ("sum", all_sums),
    "inverse": ("inverse_blocks", inverse),
}
SHARED = ("value", "gradient", "losses along")
CALLS = [(solver, name) for solver in ("quasi-newton", "newton") for name in SHARED]
CALLS += [("newton", name) for name in ("product", "product alone", "preconditioned")]
CALLS += [("quasi-newton", name) for name in ("sums", "inverse")]


def spoil(monkeypatch, name, bad, when):
    """Spoil the calls of a method for which `when` (of their number, from 1) is true; return their count."""
    method, how = FAULTS[name]
    original, count = getattr(Objective, method), {"calls": 0, "spoilt": 0}

    def spoilt(self, *arguments):
        result = original(self, *arguments)
        count["calls"] += 1
        if not when(count["calls"]):
            return result
        count["spoilt"] += 1
        return how(result, bad)

    monkeypatch.setattr(Objective, method, spoilt)
    return count


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile before a test counts calls."""
    for refine_probe in (False, True):
        run("newton", refine_probe=refine_probe, max_iterations=0)


def run(solver, **more):
    settings = {"max_iterations": 6, "loss_tolerance": 0, "noise_stop": False, "fluorescence_first": False}
    settings["fluorescence_prior"] = "none"  # whose strength takes fits of their own
    return reconstruct(joint_scan(12, 4), solver=solver, **settings | more)


def assert_finite(result):
    for name in ("object", "elements", "probe", "pattern_misfit", "predicted_fluorescence"):
        assert np.isfinite(getattr(result, name)).all(), name
    for record in result.history:
        numbers = (record.loss, record.ptychography_loss, record.fluorescence_loss, record.gradient_norm)
        assert np.isfinite(numbers).all() and np.isfinite(record.step)
    losses = [record.loss for record in result.history]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(("solver", "name"), CALLS)
def test_now_and_then(monkeypatch, solver, name, bad):
    """Every fifth call: the reconstruction goes on around it, and says so."""
    # the losses along a line are asked for in the first step of a descent, and hardly again
    turn = 1 if name == "losses along" else 0
    count = spoil(monkeypatch, name, bad, lambda call: call % 5 == turn)
    result = run(solver)
    assert_finite(result)
    assert count["spoilt"] > 0
    assert result.loss < 0.1 * result.history[0].loss
    if name in ("value", "gradient"):
        said = [record.note for record in result.history if "not finite: " in record.note]
        assert said and all("rejected" in note for note in said)


@pytest.mark.parametrize(
    ("solver", "name"),
    [
        ("quasi-newton", "value"),
        ("quasi-newton", "gradient"),
        ("newton", "value"),
        ("newton", "gradient"),
        ("newton", "preconditioned"),
    ],
)
def test_from_some_call_on(monkeypatch, solver, name):
    """The last good point is the result, and the reason says what happened."""
    count = spoil(monkeypatch, name, np.nan, lambda call: call > 25)
    result = run(solver, max_iterations=30)
    assert_finite(result)
    assert count["calls"] > 25
    assert result.reason is Reason.NON_FINITE
    assert len(result.history) > 1


@pytest.mark.parametrize("name", ["value", "gradient"])
def test_a_freed_unknown_whose_gradient_is_not_finite(monkeypatch, name):
    """The probe is freed before iteration 3: evaluating with it gives nothing finite."""
    method, how = FAULTS[name]
    original = getattr(Objective, method)

    def spoilt(self, *arguments):
        result = original(self, *arguments)
        return how(result, np.nan) if self.with_probe else result

    monkeypatch.setattr(Objective, method, spoilt)
    result = run("quasi-newton", refine_probe=True, probe_from_iteration=2)
    assert_finite(result)
    assert result.reason is Reason.NON_FINITE and result.history[-1].iteration == 2


def test_a_start_that_is_not_finite_is_bad_input(monkeypatch):
    spoil(monkeypatch, "value", np.nan, lambda call: True)
    with pytest.raises(ValueError, match="a finite loss and gradient, got a loss of nan at the start"):
        run("quasi-newton")


def test_a_first_step_that_is_not_finite_is_no_bad_input(monkeypatch):
    """The start itself was good."""
    spoil(monkeypatch, "value", np.nan, lambda call: call > 1)
    result = run("quasi-newton")
    assert result.reason is Reason.NON_FINITE and len(result.history) == 1
    assert_finite(result)
