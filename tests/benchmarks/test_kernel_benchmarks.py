"""The benchmarks run, their list fits the kernels, and regressions show as ratios."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "kernels"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("baseline_table", FOLDER / "baseline_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MULTIPLES = {("kernel: dot", 64, "single"): 0.5, ("composed: product", 64, "single"): 1.4}


def test_what_has_grown_is_marked(tables):
    before = {("kernel: dot", 64, "single"): 0.4, ("composed: product", 64, "single"): 1.3}
    lines, grown = tables.compared(MULTIPLES, before, 1.15)
    assert grown == 1
    assert [line.endswith("SLOWER") for line in lines] == [False, True, False]
    few = {("kernel: dot", 64, "single"): 0.03}
    assert tables.compared(few, dict.fromkeys(few, 0.02), 1.15)[1] == 0  # a hundredth of the bound
    assert "1.25" in lines[1] and "1.08" in lines[2]


def test_what_is_new_or_missing_is_said(tables):
    before = {("kernel: gone", 64, "single"): 0.4, ("composed: product", 64, "single"): 1.4}
    lines, grown = tables.compared(MULTIPLES, before, 1.15)
    assert grown == 0
    assert lines[1].endswith("new") and "1.00" in lines[2]
    assert lines[3] == "not timed now, or not everywhere: kernel: gone"


def test_baselines_are_kept(tables, tmp_path):
    path = tmp_path / "baseline.json"
    tables.write(path, MULTIPLES)
    assert tables.read(path) == MULTIPLES
    tables.write(path, {("kernel: dot", 128, "single"): 0.25})  # a part is renewed
    assert tables.read(path) == {**MULTIPLES, ("kernel: dot", 128, "single"): 0.25}
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"baseline\.json: expected multiples that --save wrote"):
        tables.read(path)
    with pytest.raises(ValueError, match=r"absent\.json: cannot be read"):
        tables.read(tmp_path / "absent.json")


def test_tables(tables):
    lines = list(tables.table(MULTIPLES, {"kernel": "the bound", "composed": "the bound", "blur": "others"}))
    assert [line.split() for line in lines if line.startswith("  dot")] == [["dot", "0.500"]]
    assert not any("blur" in line for line in lines)


@pytest.mark.slow
def test_all_kernels_are_timed(tables, tmp_path):
    """Once each; and against a baseline of nothing all are slower."""
    baseline = tmp_path / "baseline.json"
    tables.write(baseline, {("kernel: dot", 64, "double"): 1e-3})
    words = ["-q", "--rounds", "1", "-k", "64 and double", "-p", "no:cacheprovider"]
    # benchmarks are switched off in workers of xdist, of which this process may be one
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(FOLDER), *words, "--compare", str(baseline)],
        cwd=tmp_path,
        env={**env, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    report = done.stdout + done.stderr
    assert done.returncode == 1, report
    assert " failed" not in report and report.count("SLOWER") == 1
    stored = json.loads(tables.BASELINE.read_text())
    for name in stored:
        assert name.split(": ")[1] in report
