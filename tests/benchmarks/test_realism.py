"""The benchmark on scans of an independent model: its cases, its table, its runs and its messages."""

import sys
from pathlib import Path

import numpy as np
import pytest

import ptyxrf

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "realism"


@pytest.fixture(scope="module", autouse=True)
def realism_on_path():
    """Let the scripts be imported as they import each other; another benchmark has a compare.py, too."""
    path, modules = list(sys.path), dict(sys.modules)
    for script in FOLDER.glob("*.py"):
        sys.modules.pop(script.stem, None)
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path[:] = path
    for script in (*FOLDER.glob("*.py"), *FOLDER.with_name("peers").glob("*.py")):
        sys.modules.pop(script.stem, None)
        if script.stem in modules:
            sys.modules[script.stem] = modules[script.stem]


@pytest.fixture
def shared_folder(realism_on_path):
    from shared import folder

    try:
        return folder()
    except ValueError as error:
        pytest.skip(str(error))


def record(case, **measures):
    return {"case": case, "seed": 1, "specimen": 3, **measures}


def cells(text, case):
    """Return the row of a case by the heads of the columns."""
    heads, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    assert all(len(row) == len(heads) for row in rows)
    return dict(zip(heads, next(row for row in rows if row[0].split(" ")[0] == case), strict=True))


def test_settings_of_the_cases_are_those_of_a_reconstruction():
    from cases import CASES

    for case in CASES.values():
        ptyxrf.Settings(**case.settings)


def test_cases_refer_to_what_there_is():
    from cases import CASES, JOINT, MAPS, MEASURED, MEASURES, METHODS, PTYCHOGRAPHY, SOURCES

    assert len(CASES) == len(PTYCHOGRAPHY) + len(MEASURED) + len(JOINT)
    for case in CASES.values():
        assert case.source in SOURCES
        assert case.method in METHODS
        assert case.joint == (case in JOINT)
        for goal in case.goals:
            assert goal.measure in MEASURES
            assert case.joint or goal.measure not in MAPS
            assert not goal.of or goal.of in CASES


def test_table_has_medians_and_marks_what_misses_its_goal():
    from table import table

    runs = [record("base", object=error, seconds=1.0, sweeps=99.5) for error in (0.061, 0.9, 0.05)]
    runs += [record("mask", object=0.0641, seconds=2.0, sweeps=80.0)]
    text = table(runs)
    base, mask = cells(text, "base"), cells(text, "mask")
    assert (base["object"], base["runs"], base["goal"]) == ("0.061", "3", "object ≤ 0.062: met")
    assert (base["loss"], base["sweeps"]) == ("–", "99.5")
    assert mask["goal"] == "object ≤ 0.064: **missed**"
    assert "heavy map" not in base


def test_goals_beside_other_cases_are_strict_and_open_without_them():
    from table import table

    plain = record("photons3e3-amplitude", object=0.3)
    goal = "object < 1 x that of photons3e3-amplitude"
    for error, word in ((0.29, "met"), (0.3, "**missed**"), (np.nan, "**missed**")):
        assert (
            cells(table([plain, record("photons3e3", object=error)]), "photons3e3")["goal"]
            == f"{goal}: {word}"
        )
    assert cells(table([record("photons3e3", object=0.1)]), "photons3e3")["goal"] == f"{goal}: open"


def test_maps_have_columns_where_a_case_has_them():
    from table import table

    text = table([record("sequential-base", object=0.06, heavy=0.5, medium=0.6, trace=0.7)])
    assert cells(text, "sequential-base")["heavy map"] == "0.5"


def test_chosen_cases_bring_those_that_their_goals_refer_to():
    from compare import chosen

    assert [case.name for case in chosen(["guess0"], joint=False)] == ["base", "guess0"]
    assert all(case.joint for case in chosen([], joint=True))
    assert not any(case.joint for case in chosen([], joint=False))
    assert {"pos1", "joint-base"} <= {case.name for case in chosen(["pos1"], joint=True)}


def test_an_absent_shared_folder_is_one_sentence(tmp_path, monkeypatch, capsys):
    import compare

    monkeypatch.setenv("PTYXRF_SHARED", str(tmp_path))
    with pytest.raises(SystemExit) as stop:
        compare.main(["base"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"found no simulate.py and score.py in {tmp_path / 'realism'}: set PTYXRF_SHARED" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["magic"], "CASES: expected some of base, weak"),
        (["--set", "pairs"], "--set: expected NAME=VALUE, got 'pairs'"),
        (["--set", "pairs=0"], "--set pairs: expected"),
        (["--set", "magic=1"], "--set: expected a setting of ptyxrf.reconstruct"),
        (["--jobs", "0"], "--jobs: expected a number of processes above 0, got 0"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys):
    import compare

    with pytest.raises(SystemExit) as stop:
        compare.main(words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("known", [True, False])
def test_the_probe_that_the_user_gives(realism_on_path, known):
    from cases import Case
    from scans import scan_of

    data = {"patterns": np.ones((2, 4, 4)), "nominal": np.zeros((2, 2)), "shape": (6, 6)}
    data |= {"guess": np.ones((4, 4)), "probes": np.full((1, 4, 4), 2j)}
    scan = scan_of(Case("some", known_probe=known), data)
    np.testing.assert_array_equal(scan.probe, np.full((1, 4, 4), 2j if known else 1))


def test_a_small_run_is_scored_drawn_and_its_scan_kept(shared_folder, tmp_path, monkeypatch):
    from cases import CASES, Case
    from run_case import Job, run

    small = Case("small", options={"per": 5}, settings={"refine_probe": True, "modes": 2}, mask=True)
    monkeypatch.setitem(CASES, "small", small)
    job = Job("small", 1, 3, {"max_iterations": 2}, tmp_path / "scans", tmp_path / "pictures" / "small.png")
    made = run(job)
    assert made["positions"] == made["positions_affine"] == 0
    assert 0 < made["object_affine"] < 1.2
    assert made["sweeps"] > 2
    assert job.picture.read_bytes()[:4] == b"\x89PNG"
    (kept,) = (tmp_path / "scans").iterdir()
    written = kept.stat().st_mtime_ns
    assert run(job)["object"] == pytest.approx(made["object"], rel=1e-6)
    assert kept.stat().st_mtime_ns == written
