"""The comparison with other packages: its data, its measure, its report, and its runner of ptyxrf."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ptyxrf.driver.reconstruction.illumination import illuminated_area

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "peers"


@pytest.fixture(scope="module", autouse=True)
def peers_on_path():
    """Let the scripts of the comparison be imported as they import each other."""
    before = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path[:] = before


@pytest.fixture(scope="module")
def tiny(peers_on_path):
    from problems import known

    return known("cells", n=48, per_side=5, m=16, border=8)


def record(method="theirs", package="other", scale=1.0, problem="known", floor=0.0):
    """Return a made-up run: the error falls tenfold every 10 iterations, to a floor."""
    rows = [
        {
            "iteration": k,
            "steps": k,
            "seconds": scale * k / 10,
            "wall_seconds": scale * k / 10,
            "pairs": 3.0 * k,
            "loss": 1000 * 10 ** (-k / 10),
            "gradient": 10 ** (-k / 20),
            "mse": max(floor, 10 ** (-k / 10)),
        }
        for k in range(41)
    ]
    return {"problem": problem, "method": method, "package": package, "version": "1", "rows": rows}


def test_data_are_reproducible_and_as_described(tiny):
    from problems import known

    again = known("cells", n=48, per_side=5, m=16, border=8)
    np.testing.assert_array_equal(tiny.patterns, again.patterns)
    np.testing.assert_array_equal(tiny.truth, again.truth)
    assert tiny.patterns.shape == (25, 16, 16)
    assert tiny.patterns.dtype == np.float32
    assert tiny.patterns.mean() == pytest.approx(1000, rel=0.01)
    assert np.array_equal(tiny.patterns, np.round(tiny.patterns))
    assert np.angle(tiny.truth).max() == pytest.approx(1)
    assert np.angle(tiny.truth).min() == pytest.approx(0, abs=1e-12)
    assert np.abs(tiny.truth).min() >= 0.3 - 1e-12


def test_judge_finds_the_truth_at_the_noise_and_the_start_far_from_it(tiny):
    from problems import Judge

    judge = Judge(tiny)
    turned = judge.measure(tiny.truth * np.exp(2.1j), tiny.probe)
    start = judge.measure(np.ones(tiny.shape), tiny.probe)
    assert turned["mse"] < 1e-20
    # the noise of counting: variance 1/4 of each amplitude, a little more where counts are few
    assert 16 * 16 / 8 / 1000 < turned["loss"] < 1.3 * 16 * 16 / 8 / 1000
    assert start["gradient"] == pytest.approx(1)
    assert start["loss"] > 20 * turned["loss"]
    assert turned["gradient"] < 0.1


def test_error_measure_removes_what_the_data_cannot_tell(tiny):
    from problems import aligned_mse

    inside = illuminated_area(tiny.scan())
    rng = np.random.default_rng(1)
    truth = tiny.truth + 0.2 * (rng.standard_normal(tiny.shape) + 1j * rng.standard_normal(tiny.shape))
    rows, columns = np.indices(truth.shape)
    ramp = np.exp(2j * np.pi * (0.7 * rows - 1.3 * columns) / truth.shape[0])
    assert aligned_mse(1j * truth, truth, inside) < 1e-20
    assert aligned_mse(2 * truth, truth, inside) > 0.1
    assert aligned_mse(1.5 * ramp * truth, truth, inside, blind=True) < 1e-4
    wrong = truth + 0.1
    expected = np.abs(wrong * np.exp(1j * np.angle(np.vdot(wrong[inside], truth[inside]))) - truth)[inside]
    assert aligned_mse(wrong, truth, inside) == pytest.approx((expected**2).mean())


def test_crossing_is_exact_between_sparse_rows(peers_on_path):
    from report import crossing

    every = record()
    sparse = record()
    sparse["rows"] = sparse["rows"][::7]
    for level in (1e-2, 3e-3, 1e-3):
        assert crossing(sparse, level).iteration == crossing(every, level).iteration
        assert crossing(sparse, level).seconds == pytest.approx(crossing(every, level).seconds)
        assert crossing(sparse, level).pairs == pytest.approx(crossing(every, level).pairs)
    assert crossing(record(floor=2e-3), 1e-3) is None
    assert crossing(every, 2.0).iteration == 0


def test_table_ratios_and_picture(tmp_path, peers_on_path):
    from report import draw, ratios, table

    slow = record("slow one", scale=10, floor=5e-4)
    records = [record("ptyxrf", "ptyxrf"), slow, record("ptyxrf", "ptyxrf", problem="star")]
    text = table(records)
    lines = text.splitlines()
    assert lines[0] == "## known"
    assert "## star" in lines
    widths = {line.count("|") for line in lines[2 : lines.index("## star") - 1]}
    assert len(widths) == 1
    assert "30 (90)" in text  # the slow one at an MSE of 1e-3
    assert any(line.startswith("| slow one |") and line.endswith("| – | – | – | – |") for line in lines)
    found = ratios(records)
    assert len(found) == 3
    assert all("10 times ptyxrf's (FFT pairs: 1 times)" in line for line in found)
    draw(records, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_ratio_says_when_ptyxrf_did_not_get_there(peers_on_path):
    from report import ratios

    assert "ptyxrf did not reach it" in ratios([record("ptyxrf", "ptyxrf", floor=0.1), record()])[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_runner_of_ptyxrf_on_a_tiny_problem(tiny, peers_on_path, threads):
    from compare import run
    from methods import METHODS, Method
    from problems import Judge

    assert METHODS[0].package == "ptyxrf"
    method = Method("ptyxrf", "ptyxrf", 15, {"known": {}})
    made = run(tiny, Judge(tiny), method, Path(sys.executable), 60.0, threads)
    rows = made["rows"]
    assert [row["iteration"] for row in rows[:5]] == [0, 1, 2, 3, 4]
    assert rows[-1]["iteration"] == 15
    assert rows[0]["mse"] > 5 * rows[-1]["mse"]
    assert rows[0]["loss"] > 50 * rows[-1]["loss"]
    assert rows[0]["pairs"] == pytest.approx(1)  # the gradient at the start
    for key in ("seconds", "pairs"):
        assert all(np.diff([row[key] for row in rows]) > 0)


@pytest.mark.slow
def test_missing_environments_are_skipped_and_runs_are_kept(tiny, tmp_path, monkeypatch, capsys):
    import compare

    monkeypatch.setattr(compare, "known", lambda kind: tiny)
    words = ["--out", str(tmp_path), "--specimen", "cells", "--max-seconds", "0.2"]
    assert compare.main(words) == 0
    said = capsys.readouterr().out
    assert "known, pty-chi ePIE: skipped, no environment for ptychi" in said
    assert "known, ptyxrf: running" in said
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "results.md", "results.json", "results.png"}
    kept = json.loads((tmp_path / "results.json").read_text())
    assert compare.main(words) == 0
    assert "running" not in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text()) == kept
    assert compare.main([*words, "--fresh", "--only", "ptyxrf"]) == 0
    assert "known, ptyxrf: running" in capsys.readouterr().out


def test_a_runner_that_fails_is_reported_with_its_last_line(tiny, tmp_path, monkeypatch, capsys):
    import compare

    monkeypatch.setattr(compare, "known", lambda kind: tiny)
    words = ["--out", str(tmp_path), "--specimen", "cells", "--max-seconds", "0.1", "--only", "ePIE"]
    # this interpreter has no pty-chi
    assert compare.main([*words, "--python", f"ptychi={sys.executable}"]) == 1
    assert "known, pty-chi ePIE: failed: ModuleNotFoundError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--python", "nothing=/bin/sh"], "--python: expected PACKAGE=PATH"),
        (["--python", "ptychi=/no/such/python"], "--python: expected an interpreter, got '/no/such/python'"),
        (["--environments", "/no/such/folder"], "--environments: expected a folder, got '/no/such/folder'"),
        (["--star", "/no/such/file"], "--star: expected a file, got '/no/such/file'"),
        (["--star", __file__], "--star: expected the Siemens star as .npz"),
        (["--only", "magic"], "--only: expected part of a name among ptyxrf"),
        (["--max-seconds", "0"], "--max-seconds: expected a number above 0, got 0.0"),
    ],
)
def test_bad_input_is_one_line(words, message, tmp_path, capsys):
    import compare

    with pytest.raises(SystemExit) as stop:
        compare.main(["--out", str(tmp_path), "--specimen", "cells", *words])
    assert stop.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert message in last


def test_environments_of_unknown_packages_are_refused(tmp_path, capsys, monkeypatch, peers_on_path):
    import environments

    monkeypatch.setattr(sys, "argv", ["environments.py", str(tmp_path), "ptypy"])
    with pytest.raises(SystemExit):
        environments.main()
    assert "PACKAGE: expected some of ptychi, cdtools, xptycho, got 'ptypy'" in capsys.readouterr().err
