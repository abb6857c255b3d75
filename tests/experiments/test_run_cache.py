"""Results that experiments store: when they are computed, read, recomputed, and refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.experiments import run_cache
from ptyxrf.experiments.paper_cases import PAPER, low_overlap_case, paper_case, paper_objective, vector_of
from ptyxrf.experiments.run_cache import QUICK_STEPS, Cost, RunCache

FEW = {"max_iterations": 2}


@pytest.fixture
def case():
    return paper_case("a small case", n=40, per_side=4, m=16)


@pytest.fixture
def calls(monkeypatch):
    """The keyword arguments of all reconstructions."""
    arguments = []

    def record(scan, **more):
        arguments.append(more)
        return reconstruct(scan, **more)

    monkeypatch.setattr(run_cache, "reconstruct", record)
    return arguments


def stored(folder):
    return sorted((folder / "runs").iterdir())


def quiet(folder, **options):
    return RunCache(folder, quiet=True, **options)


# Reconstructions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["joint", "ptychography", "fluorescence"])
@pytest.mark.parametrize("solver", ["paper_run", "tuned_run"])
def test_reconstructions_are_stored(tmp_path, case, calls, method, solver):
    first = getattr(quiet(tmp_path), solver)(case, method, **FEW)
    second = getattr(quiet(tmp_path), solver)(case, method, **FEW)
    assert len(calls) == len(stored(tmp_path)) == 1
    for name in ("object", "elements", "probe", "predicted_fluorescence", "pattern_misfit"):
        expected, found = getattr(first, name), getattr(second, name)
        if expected is None:
            assert found is None
        else:
            np.testing.assert_array_equal(found, expected, strict=True)
    assert repr(list(second.history)) == repr(list(first.history))  # NaN equals NaN there
    assert (second.reason, second.method) == (first.reason, first.method)
    assert json.dumps(second.settings) == json.dumps(first.settings)


def test_whatever_changes_a_result_changes_its_name(tmp_path, case, calls, monkeypatch):
    cache = quiet(tmp_path)
    runs = [
        lambda: cache.tuned_run(case, "joint", **FEW),
        lambda: cache.tuned_run(case, "ptychography", **FEW),
        lambda: cache.paper_run(case, "joint", **FEW),
        lambda: cache.tuned_run(case, "joint", max_iterations=1),
        lambda: cache.tuned_run(case, "joint", alpha="gradnorm", **FEW),
        lambda: cache.tuned_run(case, "joint", alpha_scale=2.0, **FEW),
        lambda: cache.tuned_run(case, "joint", max_sweeps=5.0, **FEW),
        lambda: cache.tuned_run(case.but(seed=1), "joint", **FEW),
        lambda: cache.tuned_run(case.but(noise=0.1), "joint", **FEW),
        lambda: cache.tuned_run(replace(case, changed={"a": 1}), "joint", **FEW),
        lambda: cache.tuned_run(replace(case, changed={"a": 2}), "joint", **FEW),
        lambda: cache.tuned_run(case, "joint", fluorescence_first=False, **FEW),
    ]
    for run in [*runs, *runs]:
        run()
    assert len(calls) == len(stored(tmp_path)) == len(runs)
    # neither the label nor the weight of a modality that is not used changes the result
    cache.tuned_run(case.but("another label"), "joint", **FEW)
    cache.tuned_run(case, "ptychography", alpha="gradnorm", alpha_scale=3.0, **FEW)
    assert len(calls) == len(runs)
    monkeypatch.setattr(run_cache, "version", lambda name: "77.0")
    cache.tuned_run(case, "ptychography", **FEW)
    assert len(calls) == len(runs) + 1


def test_images_are_identified_by_their_content(tmp_path, calls):
    from matplotlib.image import imsave

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        images = tmp_path / name / "magnitude.png", tmp_path / name / "phase.png"
        for path in images:
            imsave(path, rng.random((40, 40)))
        case = paper_case("images", n=40, per_side=4, m=16, images=images)
        quiet(tmp_path / "out").tuned_run(case, "ptychography", **FEW)
    assert len(calls) == 2


def test_settings_and_starts_of_the_solvers(tmp_path, case, calls):
    """The paper's solver starts from 0.5 and makes a fixed number of steps; the tuned one has first maps."""
    for cache in (quiet(tmp_path), quiet(tmp_path / "quick", quick=True)):
        cache.paper_run(case, "joint", max_iterations=6, inner_limit=3)
        tuned = cache.tuned_run(case, "joint", max_iterations=6)
        assert tuned.settings["fluorescence_first"] is True
    paper, tuned = calls[:2]
    iterations = [call["settings"].max_iterations for call in calls]
    assert iterations == [6, 6, math.ceil(6 * QUICK_STEPS), 6]
    settings = paper["settings"]
    assert (settings.solver, settings.curvature, settings.inner_limit) == ("newton", "full", 3)
    assert (settings.preconditioner, settings.fluorescence_first) == (False, False)
    assert (settings.gradient_tolerance, settings.loss_tolerance, settings.noise_stop) == (0, 0, False)
    assert paper["start"] == {"real_part": 0.5, "imaginary_part": 0.5, "elements": 0.5}
    assert tuned["start"] == {"real_part": 0.5, "imaginary_part": 0.5}
    assert PAPER["max_iterations"] == 100


def test_fresh_recomputes_once(tmp_path, case, calls):
    quiet(tmp_path).tuned_run(case, "joint", **FEW)
    fresh = quiet(tmp_path, fresh=True)
    for _ in range(2):
        fresh.tuned_run(case, "joint", **FEW)
    assert len(calls) == 2
    quiet(tmp_path).tuned_run(case, "joint", **FEW)
    assert len(calls) == 2


# Cost -----------------------------------------------------------------------------------------------------


def test_the_cost_of_a_stored_result_is_that_of_computing_it(tmp_path, case):
    cache = quiet(tmp_path)
    run = cache.tuned_run(case, "joint", **FEW)
    cache.compute("an array", {}, lambda: {"a": np.zeros(2)})
    cache.tuned_run(case, "joint", **FEW)
    assert (cache.cost.runs, cache.cost.sweeps) == (1, run.history[-1].sweeps)
    again = quiet(tmp_path)
    again.tuned_run(case, "joint", **FEW)
    again.compute("an array", {}, lambda: {"a": np.zeros(2)})
    assert again.cost == cache.cost
    again.begin("another experiment")
    assert again.cost == Cost()


# Arrays and the objective ---------------------------------------------------------------------------------


def test_arrays_are_stored(tmp_path):
    computed = []

    def compute():
        computed.append(1)
        return {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3, dtype=np.int8), "c": np.zeros((0, 2))}

    settings = {"x": 1, "y": [1.0, "text"], "z": {"w": np.float64(2)}}
    quiet(tmp_path).compute("title", settings, compute)
    found = quiet(tmp_path).compute("title", dict(reversed(settings.items())), compute)
    assert len(computed) == 1
    for name, values in compute().items():
        np.testing.assert_array_equal(found.pop(name), values, strict=True)
    assert not found
    computed.clear()
    quiet(tmp_path).compute("other title", settings, compute)
    quiet(tmp_path).compute("title", settings | {"x": 2}, compute)
    quiet(tmp_path, fresh=True).compute("title", settings, compute)
    assert len(computed) == len(stored(tmp_path)) == 3


def test_the_objective_of_the_paper(case):
    """At the truth only the noise is left."""
    for noise in (0.03, 0.0):
        noisy = case.but(noise=noise)
        truth = noisy.scan.truth
        for method in ("joint", "ptychography", "fluorescence"):
            objective = paper_objective(noisy, method)
            assert objective.settings.curvature == "full" and objective.initial.dtype == np.float64
            at_truth = objective.at(vector_of(objective, truth["object"], truth["elements"]))
            start = objective.at(objective.initial)
            assert at_truth.value < (0.1 if noise else 1e-20) * start.value


def test_cases_are_those_of_the_paper():
    scan = low_overlap_case(quick=False).scan
    assert (scan.shape, scan.N, scan.m, scan.N_e) == ((62, 62), 16, 16, 1)
    step = np.diff(np.unique(scan.positions[:, 0]))
    assert 1 - step.mean() / 16 == pytest.approx(0.0625, abs=0.03)
    assert not scan.count_scale.any()
    case = paper_case("", n=80, per_side=3, m=32, quick=True, elements=3, attenuation=[0.5, 0.3, 1.2])
    assert case.scan.shape == (40, 40) and case.scan.m == 16
    assert case.start["elements"] * case.scan.attenuation.sum() == pytest.approx(0.5)


# Damaged files --------------------------------------------------------------------------------------------


def damage(path, how):
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"no such thing"}[how])


@pytest.mark.parametrize("how", ["cut", "empty", "text"])
@pytest.mark.parametrize("kind", ["reconstruction", "arrays"])
def test_damaged_files_are_named(tmp_path, case, kind, how):
    """They are computed again only on request."""

    def compute(**options):
        cache = quiet(tmp_path, **options)
        if kind == "reconstruction":
            return cache.tuned_run(case, "joint", **FEW).object
        return cache.compute("title", {}, lambda: {"a": np.random.default_rng(0).random(1000)})["a"]

    first = compute()
    (path,) = stored(tmp_path)
    damage(path, how)
    with pytest.raises(ValueError, match=path.name):
        compute()
    np.testing.assert_array_equal(compute(fresh=True), first)
    np.testing.assert_array_equal(compute(), first)
