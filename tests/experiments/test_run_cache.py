"""What a study keeps, under which names, and what becomes of kept files that are damaged."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ptyxrf.__main__ import main
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.experiments import mismatch
from ptyxrf.experiments import paper_cases as setting
from ptyxrf.experiments import run_cache as study
from ptyxrf.experiments.paper_cases import paper_case
from ptyxrf.experiments.run_cache import QUICK_STEPS, Cost, Study, point

FEW = {"max_iterations": 2}


@pytest.fixture
def case():
    return paper_case("a small case", n=40, per_side=4, m=16)


@pytest.fixture
def asked(monkeypatch):
    """A list of the settings of all reconstructions that are made."""
    settings = []

    def remember(scan, method, **more):
        settings.append({"method": method, **more})
        return reconstruct(scan, method, **more)

    monkeypatch.setattr(study, "reconstruct", remember)
    return settings


def kept(folder):
    return sorted(path.name for path in (folder / "runs").iterdir())


def same(first, second):
    for name in ("object", "elements", "probe", "predicted_fluorescence", "pattern_misfit"):
        one, other = getattr(first, name), getattr(second, name)
        if one is None or other is None:
            assert one is other
            continue
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert repr(first.history) == repr(second.history)  # NaN is equal to NaN there
    assert (first.reason, first.method) == (second.reason, second.method)
    assert json.dumps(first.settings) == json.dumps(second.settings)


# Reconstructions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["joint", "ptychography", "fluorescence"])
@pytest.mark.parametrize("solver", ["paper", "tuned"])
def test_runs_are_kept_and_read_back(tmp_path, case, asked, method, solver):
    first = getattr(Study(tmp_path, quiet=True), solver)(case, method, **FEW)
    assert len(asked) == 1 and len(kept(tmp_path)) == 1
    again = Study(tmp_path, quiet=True)
    second = getattr(again, solver)(case, method, **FEW)
    third = getattr(again, solver)(case, method, **FEW)
    assert len(asked) == 1 and len(kept(tmp_path)) == 1
    same(first, second)
    same(first, third)
    assert not list(tmp_path.rglob("*.part"))


def test_different_runs_have_different_names(tmp_path, case, asked):
    """Whatever changes a result changes the name; what does not reach a method does not."""
    ours = Study(tmp_path, quiet=True)
    calls = [
        lambda: ours.tuned(case, "joint", **FEW),
        lambda: ours.tuned(case, "ptychography", **FEW),
        lambda: ours.tuned(case, "fluorescence", **FEW),
        lambda: ours.paper(case, "joint", **FEW),
        lambda: ours.tuned(case, "joint", max_iterations=1),
        lambda: ours.tuned(case, "joint", alpha="gradnorm", **FEW),
        lambda: ours.tuned(case, "joint", alpha_scale=2.0, **FEW),
        lambda: ours.tuned(case, "joint", max_sweeps=5.0, **FEW),
        lambda: ours.tuned(case.but(seed=1), "joint", **FEW),
        lambda: ours.tuned(case.but(noise=0.1), "joint", **FEW),
        lambda: ours.tuned(case.but(elements=2), "joint", **FEW),
        lambda: ours.tuned(replace(case, changed={"a": 1}), "joint", **FEW),
        lambda: ours.tuned(replace(case, changed={"a": 2}), "joint", **FEW),
        lambda: ours.tuned(case, "joint", fluorescence_first=False, **FEW),
    ]
    for number, call in enumerate(calls, 1):
        call()
        assert len(kept(tmp_path)) == len(asked) == number
    for call in calls:
        call()
    assert len(asked) == len(calls)
    # a label is for the eye; the weight of the fluorescence does not reach a single method
    ours.tuned(case.but("another label"), "joint", **FEW)
    ours.tuned(case, "ptychography", alpha="gradnorm", alpha_scale=3.0, **FEW)
    assert len(asked) == len(calls)


def test_names_hold_the_version(tmp_path, case, asked, monkeypatch):
    Study(tmp_path, quiet=True).tuned(case, "ptychography", **FEW)
    monkeypatch.setattr(study, "version", lambda name: "77.0")
    Study(tmp_path, quiet=True).tuned(case, "ptychography", **FEW)
    assert len(asked) == len(kept(tmp_path)) == 2


def test_images_of_the_same_name_in_two_folders(tmp_path, asked):
    """Another object is another case, whatever its file is called."""
    from matplotlib.image import imsave

    rng = np.random.default_rng(0)
    ours, found = Study(tmp_path / "out", quiet=True), []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        images = tmp_path / name / "magnitude.png", tmp_path / name / "phase.png"
        for path in images:
            imsave(path, rng.random((40, 40)))
        case = paper_case("images", n=40, per_side=4, m=16, images=images)
        found.append(ours.tuned(case, "ptychography", **FEW).object)
    assert len(asked) == 2
    assert not np.array_equal(*found)


def test_steps_and_starts(tmp_path, case, asked):
    """The paper's solver makes its steps from 0.5; the tuned one starts from the first maps."""
    full, quick = Study(tmp_path, quiet=True), Study(tmp_path / "quick", quick=True, quiet=True)
    for one in (full, quick):
        one.paper(case, "joint", max_iterations=6, inner_limit=3)
        one.tuned(case, "joint", max_iterations=6)
    paper, tuned, quick_paper, quick_tuned = asked
    assert paper["max_iterations"] == tuned["max_iterations"] == quick_tuned["max_iterations"] == 6
    assert quick_paper["max_iterations"] == math.ceil(6 * QUICK_STEPS)
    assert paper["solver"] == "paper" and paper["precision"] == "double" and paper["inner_limit"] == 3
    assert {key: paper[key] for key in ("gradient_tolerance", "loss_tolerance", "noise_stop")} == {
        "gradient_tolerance": 0.0,
        "loss_tolerance": 0.0,
        "noise_stop": False,
    }
    assert paper["start"] == {"real_part": 0.5, "imaginary_part": 0.5, "elements": 0.5}
    assert tuned["start"] == {"real_part": 0.5, "imaginary_part": 0.5}
    # and its number of steps is all that it needs, whatever the loss does
    assert setting.PAPER["max_iterations"] == 100


def test_the_tuned_solver_has_first_maps(tmp_path, case):
    ours = Study(tmp_path, quiet=True)
    assert ours.tuned(case, "joint", **FEW).settings["fluorescence_first"] is True
    assert ours.paper(case, "joint", **FEW).settings["fluorescence_first"] is False


def test_fresh_computes_again_but_once(tmp_path, case, asked):
    first = Study(tmp_path, quiet=True).tuned(case, "joint", **FEW)
    fresh = Study(tmp_path, quiet=True, fresh=True)
    second, third = (fresh.tuned(case, "joint", **FEW) for _ in range(2))
    assert len(asked) == 2
    np.testing.assert_array_equal(first.object, second.object)
    same(second, third)
    Study(tmp_path, quiet=True).tuned(case, "joint", **FEW)
    assert len(asked) == 2


@pytest.mark.parametrize("quiet", [False, True])
def test_progress(tmp_path, case, capsys, quiet):
    """A line for each computation, none for what is read."""
    ours = Study(tmp_path, quiet=quiet)
    ours.begin("noise")
    for _ in range(2):
        ours.tuned(case, "joint", **FEW)
        ours.compute("an array", {}, lambda: {"a": np.zeros(2)})
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    if quiet:
        assert lines == []
        return
    assert len(lines) == 2
    assert lines[0].startswith(
        "noise: n = 40, a small case, joint, tuned solver, alpha statistical x 1: 2 iterations"
    )
    assert "mse" in lines[0] and lines[1].startswith("noise: an array: ")


def test_an_interrupted_run_leaves_nothing(tmp_path, case, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "reconstruct", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Study(tmp_path, quiet=True).tuned(case, "joint", **FEW)
    assert kept(tmp_path) == []

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Study(tmp_path, quiet=True).compute("t", {}, lambda: {"a": np.zeros(2)})
    assert kept(tmp_path) == []


# Cost -----------------------------------------------------------------------------------------------------


def test_costs_are_counted_once():
    cost = Cost()
    cost.add("a", 1.0, 10.0)
    cost.add("a", 1.0, 10.0)
    cost.add("b", 2.0, 20.0)
    cost.add("c", 4.0, 0.0, runs=0)
    assert (cost.seconds, cost.sweeps, cost.runs) == (7.0, 30.0, 2)
    assert Cost().counted is not Cost().counted


def test_what_is_kept_costs_what_it_took(tmp_path, case):
    ours = Study(tmp_path, quiet=True)
    ours.begin("first")
    run = ours.tuned(case, "joint", **FEW)
    ours.tuned(case, "joint", **FEW)
    ours.compute("an array", {}, lambda: {"a": np.zeros(2)})
    ours.compute("an array", {}, lambda: {"a": np.zeros(2)})
    cost = ours.cost
    assert (cost.runs, cost.sweeps) == (1, run.history[-1].sweeps)
    assert cost.seconds >= run.history[-1].seconds
    ours.begin("second")
    assert (ours.cost.runs, ours.cost.sweeps, ours.cost.seconds) == (0, 0.0, 0.0)
    ours.tuned(case, "joint", **FEW)
    again = Study(tmp_path, quiet=True)
    again.tuned(case, "joint", **FEW)
    assert again.cost.sweeps == ours.cost.sweeps == cost.sweeps
    assert again.cost.seconds == ours.cost.seconds == run.history[-1].seconds


# Arrays ---------------------------------------------------------------------------------------------------


def test_arrays_are_kept(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3, dtype=np.int8), "c": np.zeros((0, 2))}

    settings = {"x": 1, "y": [1.0, "text"], "z": {"w": np.float64(2)}}
    first = Study(tmp_path, quiet=True).compute("title", settings, compute)
    ours = Study(tmp_path, quiet=True)
    second = ours.compute("title", dict(reversed(settings.items())), compute)
    third = ours.compute("title", settings, compute, together=True)
    assert len(calls) == 1
    for found in (first, second, third):
        assert set(found) == {"a", "b", "c"}
        for name, values in compute().items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)
    calls.clear()
    ours.compute("other title", settings, compute)
    ours.compute("title", settings | {"x": 2}, compute)
    ours.compute("title", {}, compute)
    assert len(calls) == 3 and len(kept(tmp_path)) == 4
    Study(tmp_path, quiet=True, fresh=True).compute("title", {}, compute)
    assert len(calls) == 4


def test_an_error_of_a_computation_is_kept_nowhere(tmp_path):
    ours = Study(tmp_path, quiet=True)
    with pytest.raises(ZeroDivisionError):
        ours.compute("title", {}, lambda: {"a": np.array(1 / 0)})
    assert kept(tmp_path) == [] and ours.cost.seconds == 0
    assert ours.compute("title", {}, lambda: {"a": np.ones(1)})["a"] == 1


def test_objective_and_point(case, tmp_path):
    """The paper's objective at the truth: noise alone is left, and nothing without it."""
    ours = Study(tmp_path, quiet=True)
    for noise in (0.03, 0.0):
        one = case.but(noise=noise)
        for method in ("joint", "ptychography", "fluorescence"):
            objective = ours.objective(one, method)
            assert objective.settings.curvature == "full" and objective.initial.dtype == np.float64
            truth = one.scan.truth
            at = point(objective, truth["object"], truth["elements"])
            value, _ = objective.value_and_gradient(at)
            start, _ = objective.value_and_gradient(objective.initial)
            assert value < (0.1 if noise else 1e-20) * start
            fields = objective.gather(at)
            for name, expected in {
                "real_part": truth["object"].real,
                "imaginary_part": truth["object"].imag,
                "elements": truth["elements"],
            }.items():
                if name in fields:
                    np.testing.assert_array_equal(fields[name], expected)


# Damaged files --------------------------------------------------------------------------------------------

DAMAGES = ("cut", "empty", "text")


def spoil(path, how):
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"no such thing"}[how])


def error_of(function):
    """Return kind and text of what a function raises; what it held is gone when this returns."""
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_runs_are_named(tmp_path, case, asked, how):
    """They are not computed again behind one's back: --fresh, or deleting them, does that."""
    ours = Study(tmp_path, quiet=True)
    first = ours.tuned(case, "joint", **FEW)
    (path,) = (tmp_path / "runs").iterdir()
    spoil(path, how)
    with pytest.raises(ValueError, match=path.name):
        Study(tmp_path, quiet=True).tuned(case, "joint", **FEW)
    assert len(asked) == 1
    path.unlink()
    again = Study(tmp_path, quiet=True).tuned(case, "joint", **FEW)
    np.testing.assert_array_equal(first.object, again.object)
    spoil(path, how)
    Study(tmp_path, quiet=True, fresh=True).tuned(case, "joint", **FEW)
    Study(tmp_path, quiet=True).tuned(case, "joint", **FEW)
    assert len(asked) == 3


def arrays(folder, **more):
    def compute():
        return {"a": np.random.default_rng(0).random(1000)}

    return Study(folder, quiet=True, **more).compute("title", {}, compute)["a"]


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_arrays_are_named(tmp_path, how):
    arrays(tmp_path)
    (path,) = (tmp_path / "runs").iterdir()
    spoil(path, how)
    error = error_of(lambda: arrays(tmp_path))
    assert error.startswith("ValueError: ") and path.name in error


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_arrays_are_computed_afresh(tmp_path, how):
    first = arrays(tmp_path)
    (path,) = (tmp_path / "runs").iterdir()
    spoil(path, how)
    np.testing.assert_array_equal(arrays(tmp_path, fresh=True), first)
    np.testing.assert_array_equal(arrays(tmp_path), first)


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", ["h5", "npz"])
def test_the_command_says_so_in_one_line(tmp_path, capsys, monkeypatch, kind, how):
    monkeypatch.setattr(mismatch, "SENSITIVITY", (1.0,))
    monkeypatch.setattr(mismatch, "UNSEEN", ())
    name = {"h5": "mismatch", "npz": "perturbation"}[kind]
    words = ["paper", name, "--quick", "--out", str(tmp_path), "--quiet"]
    assert main(words) == 0
    before = (tmp_path / f"{name}.json").read_bytes()
    capsys.readouterr()
    path = min((tmp_path / "runs").glob(f"*.{kind}"))
    spoil(path, how)
    status = []
    error = error_of(lambda: status.append(main(words)))
    assert (error, status) == ("", [2])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.startswith("ptyxrf: error: ")
    assert path.name in captured.err
    assert (tmp_path / f"{name}.json").read_bytes() == before


def test_the_documented_command_exists(capsys):
    """The package's docstring names a command that lists the experiments."""
    import ptyxrf.experiments
    from ptyxrf.__main__ import main

    assert "``ptyxrf paper NAME``" in ptyxrf.experiments.__doc__
    with pytest.raises(SystemExit) as ended:
        main(["paper", "--help"])
    assert ended.value.code == 0 and "spectrum" in capsys.readouterr().out
