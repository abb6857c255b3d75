"""``ptyxrf uncertainty``: the result gets its error bars, and other commands show them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptyxrf.driver.analysis.export import export_result
from ptyxrf.driver.command.main import main
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.files.scan_file import write_scan
from ptyxrf.driver.pictures.result_picture import draw_report
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate


@pytest.fixture(scope="module")
def measured():
    scan = simulate("cells", m=8, per_side=4, overlap=0.75, elements=2, photons=50.0, noise="counting")
    result = reconstruct(
        scan,
        "joint",
        sequential_first=False,
        fluorescence_prior=2.0,
        refine_positions="each",
        max_iterations=3,
    )
    return scan, result


@pytest.fixture
def files(measured, tmp_path):
    scan, result = measured
    write_scan(tmp_path / "scan.h5", scan)
    write_result(tmp_path / "scan-result.h5", result, scan)
    return str(tmp_path / "scan-result.h5"), str(tmp_path / "scan.h5")


FEW = ["--samples", "2", "--max-products", "20", "--finish-iterations", "1"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_error_bars_stand_in_the_result_the_report_the_export_and_the_facts(files, measured, capsys):
    path, scan_path = files
    assert main(["uncertainty", path, scan_path, *FEW]) == 0
    printed = capsys.readouterr()
    assert "Standard deviations of the posterior" in printed.out
    assert "sample 2 of 2" in printed.err
    assert not list(Path(path).parent.glob("*.samples.h5"))
    scan, before = measured
    result = read_result(path)
    found = result.uncertainty
    assert np.array_equal(result.object, before.object)
    assert set(found.arrays) == {"amplitude", "phase", "elements", "positions"}
    assert found.samples == 2 and found.sampling_error == 0.5
    assert found.positions.shape == scan.positions.shape
    titles = [axes.get_title(loc="left") for axes in draw_report(result, scan).axes]
    names = ["object: amplitude", "object: phase (rad)", *scan.element_names]
    assert {f"{name}, standard deviation" for name in names} <= set(titles)
    (arrays, positions) = export_result(path, "npz")
    with np.load(arrays) as exported:
        assert np.array_equal(exported["deviation_of_phase"], found.phase, equal_nan=True)
        assert np.array_equal(
            exported[f"deviation_of_{scan.element_names[1]}"], found.elements[1], equal_nan=True
        )
    assert positions.read_text().splitlines()[0].endswith("row_deviation,column_deviation")
    assert main(["info", path]) == 0
    assert "error bars" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_error_bars_come_through_a_file_as_they_are(files, measured, tmp_path):
    path, scan_path = files
    main(["uncertainty", path, scan_path, "--samples", "0", "--quiet", "--no-report", "--out", f"{path}.new"])
    assert read_result(path).uncertainty is None
    first = read_result(f"{path}.new")
    write_result(tmp_path / "again.h5", first, measured[0])
    again = read_result(tmp_path / "again.h5").uncertainty
    assert again.meaning == first.uncertainty.meaning
    for name, values in first.uncertainty.arrays.items():
        assert np.array_equal(values, again.arrays[name], equal_nan=True)


ENDED = """
import os, signal, sys
from ptyxrf.driver.command.main import main
from ptyxrf.driver.uncertainty.sampler import Sampler
plain = Sampler.draw
def draw(self, sample):
    if sample == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return plain(self, sample)
Sampler.draw = draw
sys.exit(main())
"""


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sigterm_keeps_the_samples_and_resume_gives_the_same_numbers(files, tmp_path, capsys):
    path, kept = files[0], tmp_path / "scan-result.samples.h5"
    words = ["uncertainty", *files, *FEW, "--samples", "3", "--no-report"]
    before = Path(path).read_bytes()
    ended = subprocess.run([sys.executable, "-c", ENDED, *words], capture_output=True, text=True)
    assert ended.returncode == 75, ended.stderr
    assert ended.stderr.splitlines()[-1] == "ptyxrf: stopped by SIGTERM; go on with --resume"
    assert kept.exists() and Path(path).read_bytes() == before
    assert main([*words, "--out", f"{path}.through"]) == 0
    capsys.readouterr()
    assert main([*words, "--resume"]) == 0
    progress = capsys.readouterr().err
    assert "sample 3 of 3" in progress and "sample 2 of 3" not in progress
    assert not kept.exists()
    resumed, through = (read_result(one).uncertainty for one in (path, f"{path}.through"))
    assert resumed.facts == through.facts
    for name, values in through.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], values)


def test_bad_input_ends_with_one_line(files, capsys):
    path, scan_path = files
    for words, message in (
        ([path, scan_path, "--samples", "-1"], "--samples: expected an integer"),
        ([path, scan_path, "--out", scan_path], "is an input"),
        ([scan_path, scan_path, "--out", f"{path}.new"], "the file is not a result"),
    ):
        assert main(["uncertainty", *words, "--quiet", "--no-report"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_plan_prints_and_draws_the_errors_to_be_expected(files, tmp_path, capsys):
    scan_path, picture = files[1], tmp_path / "expected.png"
    words = ["plan", scan_path, "--expected", "--samples", "2", "--step", "1,2", "--dwell", "0.5,2"]
    assert main([*words, "--picture", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = "step dwell dose positions counts amplitude phase rad P % S %"
    first = next(number for number, line in enumerate(lines) if line.split() == heads.split())
    assert [line.split()[:2] for line in lines[first + 1 : -1]] == [
        ["1", "0.5"],
        ["1", "2"],
        ["2", "0.5"],
        ["2", "2"],
    ]
    assert lines[-1] == f"picture: {picture}" and picture.read_bytes().startswith(b"\x89PNG")
    assert main([*words, "--json", "--method", "ptychography"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["axes"] == ["step", "dwell"]
    assert [set(one["errors"]) for one in facts["conditions"]] == [{"amplitude", "phase"}] * 4


@pytest.mark.parametrize(
    "words, message",
    [
        (["plan", "SCAN", "--step", "2"], "--step: expected none without --expected"),
        (["plan", "--expected"], "SCAN: expected the file of a simulated scan"),
        (["plan", "SCAN", "--expected", "--step", "0"], "--step: expected a number above 0"),
        (
            ["plan", "SCAN", "--expected", "--dwell", "1", "--dose", "2", "--step", "3"],
            "dose: expected none beside",
        ),
        (["plan", "SCAN", "--expected", "--picture", "SCAN"], "is an input"),
    ],
)
def test_plans_of_errors_that_make_no_sense(files, words, message, capsys):
    assert main([files[1] if word == "SCAN" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
