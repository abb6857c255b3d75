"""The command ``ptyxrf paper``: reduced versions of all experiments, interruptions, and wrong arguments."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread, imsave
from mpi_launch import MPIEXEC, ONE_THREAD, mpiexec

import ptyxrf.experiments
from ptyxrf.__main__ import main
from ptyxrf.driver.files.result_file import read_result
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.experiments import catalogue, mismatch, page, run_cache
from ptyxrf.experiments.conditions import CONVENTIONS
from ptyxrf.experiments.probe_shapes import PROBES

SCANS = (
    *("overlap 83 %", "overlap 20 %", "noise 0 %", "noise 10 %", "noise 10 % in both"),
    *("size 314", "size 650", "images 19", "images 5"),
)
#: Verdicts in the reduced versions. Claims are left out if rounding errors, for example on another number of
#: ranks, could change their verdict there; test_claims.py tests the criteria of all claims.
HOLD = {
    *(f"{scan}: {what}" for scan in SCANS for what in ("mse", "same loss", "imaginary", "semi-convergence")),
    *(f"{scan}: goal" for scan in (*SCANS, "elements") if scan not in ("overlap 20 %", "images 5")),
    *(f"elements: {what}" for what in ("real part", "map of P", "map of S", "map of K")),
    *(f"sequential: {what}, {count}" for what in ("object", "maps") for count in (1, 3)),
    *(f"mismatch: sensitivity {percent} % too high" for percent in (0, 2, 10)),
    *(f"perturbation: slope, {method}" for method in ("ptychography", "joint")),
    *("mismatch: 5 % of y from an unseen element", "landscape: sharp", "probe: periphery", "rank: higher"),
    "spectrum: sampled",
    *(f"perturbation: faster, {probe}, printed" for probe in PROBES),
    *(f"landscape: sharp, {probe}, printed" for probe in PROBES),
    *(f"spectrum: apart, {probe}, printed" for probe in PROBES),
    *(f"rank: higher, {probe}, {dft}" for probe in PROBES for dft in CONVENTIONS),
    *(f"spectrum: spread, {probe}, {dft}" for probe in ("gaussian:1", "disc:1") for dft in CONVENTIONS),
}
DO_NOT_HOLD = {
    *("mismatch: 20 % of y from an unseen element", "mismatch: sensitivity 30 % too high"),
    "perturbation: faster",
    *(
        f"spectrum: {what}, {where}"
        for what in ("gap", "near zero", "spread")
        for where in ("reconstruction", "truth")
    ),
    *(f"spectrum: near zero, {probe}, unitary" for probe in PROBES),
    *(f"landscape: smooth, {probe}, {dft}" for probe in PROBES[:3] for dft in CONVENTIONS),
    *(f"spectrum: spread, gaussian:0.375, {dft}" for dft in CONVENTIONS),
}


def paper(*words):
    return main(["paper", *map(str, words)])


def record_of(folder, name):
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


def timeless(record):
    """Return a record without the seconds that the experiment took."""
    return record | {"cost": {key: record["cost"][key] for key in ("reconstructions", "sweeps")}}


def listing(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.fixture
def calls(monkeypatch):
    """The scans of all reconstructions; the third is interrupted if the list begins with "interrupt"."""
    scans = []

    def record(scan, **more):
        if len(scans) == 3 and scans[0] == "interrupt":
            raise KeyboardInterrupt
        scans.append(scan)
        return reconstruct(scan, **more)

    monkeypatch.setattr(run_cache, "reconstruct", record)
    return scans


# All experiments ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The folder of all reduced experiments, their records, and the output of the command."""
    folder = tmp_path_factory.mktemp("paper")
    words = [sys.executable, "-m", "ptyxrf", "paper", "all", "--quick", "--out", str(folder), "--quiet"]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}, timeout=3600
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder, {name: record_of(folder, name) for name in catalogue.NAMES}, done.stdout


@pytest.mark.slow
def test_every_experiment_is_on_the_page(everything):
    folder, records, output = everything
    files, text = {"paper.md", "runs"}, (folder / "paper.md").read_text("utf-8")
    assert text == page.page_text(list(records.values())) and "(reduced versions)" in text
    for name, record in records.items():
        assert record["claims"] and record["numbers"] and record["quick"] is True
        for claim in record["claims"]:
            assert claim["verdict"] == ("holds" if claim["holds"] else "does not hold")
            assert "nan" not in claim["figures"]
            row = f"| {name} | {claim['text']} | {claim['verdict']} | {claim['figures']} |"
            if claim["condition"]:
                row = f" {claim['verdict']}: {claim['figures']} |"
            assert row in text and f"{name}: {claim['verdict']}: {claim['text']}" in output
        for picture in record["pictures"]:
            assert f"![{picture['caption']}]({picture['file']})" in text
            image = imread(folder / picture["file"])
            assert min(image.shape[:2]) > 150 and image[..., :3].std() > 0.01
        for table in record["tables"]:
            assert f"### {table['title']}" in text
            assert {len(row) for row in table["rows"]} == {len(table["head"])}
        assert all(math.isfinite(value) and value >= 0 for value in record["cost"].values())
        files |= {f"{name}.json", *(picture["file"] for picture in record["pictures"])}
    assert {path.name for path in folder.iterdir()} == files


@pytest.mark.slow
def test_verdicts(everything):
    _, records, _ = everything
    claims = {claim["key"]: claim for record in records.values() for claim in record["claims"]}
    assert len(claims) == sum(len(record["claims"]) for record in records.values())
    for keys, holds in ((HOLD, True), (DO_NOT_HOLD, False)):
        assert {key: claims[key]["figures"] for key in keys if claims[key]["holds"] is not holds} == {}


@pytest.mark.slow
def test_the_paper_solver_makes_its_steps(everything):
    """It makes 40 of 100 steps, or 80 of 200."""
    _, records, _ = everything
    histories = [
        (key, methods[method]["iteration"])
        for record in records.values()
        for key, methods in record["numbers"].items()
        if isinstance(methods, dict) and "joint" in methods
        for method in ("ptychography", "joint")
        if isinstance(methods.get(method), dict) and "iteration" in methods[method]
    ]
    assert len(histories) >= 2 * len(SCANS)
    for key, iterations in histories:
        assert iterations == list(range(81 if key == "elements" else 41))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["landscape", "mismatch"])
def test_nothing_is_computed_twice(everything, calls, name):
    folder, records, _ = everything
    before = listing(folder / "runs")
    assert paper(name, "--quick", "--out", folder) == 0
    assert calls == [] and listing(folder / "runs") == before
    again = record_of(folder, name)
    # the cost of stored results is what they took when computed
    assert again["cost"] | {"elapsed": 0} == records[name]["cost"] | {"elapsed": 0}
    assert timeless(again) == timeless(records[name])


@pytest.mark.slow
@pytest.mark.skipif(not MPIEXEC, reason="no mpiexec beside this Python nor on the PATH")
def test_the_same_spectra_on_two_ranks(tmp_path, everything):
    """Spectra agree up to rounding errors at the truth, and up to their growth in 40 steps elsewhere."""
    words = ["paper", "spectrum", "--quick", "--out", str(tmp_path), "--quiet"]
    done = mpiexec(2, [sys.executable, "-m", "ptyxrf", *words], timeout=1200)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("page: ") == 1
    folder, records, _ = everything
    one, two = records["spectrum"], record_of(tmp_path, "spectrum")
    for method in ("ptychography", "joint"):
        for where, tolerance in (("truth", 1e-11), ("reconstruction", 0.1)):
            values = one["numbers"][f"{method}, {where}"]
            found = two["numbers"][f"{method}, {where}"]
            np.testing.assert_allclose(found, values, rtol=0, atol=tolerance * values[0])
    for row, expected in zip(two["numbers"]["sampled"], one["numbers"]["sampled"], strict=True):
        assert row["largest"] == pytest.approx(expected["largest"], rel=1e-9)
    paths = list((tmp_path / "runs").glob("*.h5"))
    assert len(paths) == 2
    for path in paths:
        first, second = read_result(folder / "runs" / path.name), read_result(path)
        for record, expected in zip(second.history[:4], first.history[:4], strict=True):
            assert record.loss == pytest.approx(expected.loss, rel=1e-8)


# Single experiments ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_interrupted_experiment_resumes(tmp_path, monkeypatch, calls, capsys):
    monkeypatch.setattr(mismatch, "SENSITIVITY", (1.0, 1.1))
    monkeypatch.setattr(mismatch, "UNSEEN", ())
    words = ("mismatch", "--quick", "--quiet", "--out")
    assert paper(*words, tmp_path / "whole") == 0
    assert len(calls) == 6
    capsys.readouterr()
    calls[:] = ["interrupt"]
    assert paper(*words, tmp_path / "broken") == 130
    assert capsys.readouterr().err == "ptyxrf: interrupted\n"
    assert listing(tmp_path / "broken").keys() == {"runs"} and len(listing(tmp_path / "broken" / "runs")) == 2
    calls.clear()
    assert paper(*words, tmp_path / "broken") == 0
    assert len(calls) == 4
    whole, resumed = (record_of(tmp_path / name, "mismatch") for name in ("whole", "broken"))
    assert timeless(resumed) == timeless(whole)
    # an interrupted --fresh keeps the earlier record
    calls[:] = ["interrupt"]
    assert paper(*words, tmp_path / "whole", "--fresh") == 130
    assert record_of(tmp_path / "whole", "mismatch") == whole


@pytest.mark.slow
def test_the_page_has_all_experiments_of_the_folder(tmp_path):
    """They are in the order of the paper; the full version of an experiment replaces the reduced one."""
    folder = tmp_path / "a" / "new folder"
    for name in ("probe", "perturbation"):
        assert paper(name, "--quick", "--out", folder, "--quiet") == 0
    text = (folder / "paper.md").read_text("utf-8")
    assert 0 < text.index("## Gradient around the truth") < text.index("## Probe")
    for words, edge in ((("--quick",), 32), ((), 64)):
        assert paper("probe", "--out", tmp_path, "--quiet", *words) == 0
        assert np.shape(record_of(tmp_path, "probe")["numbers"]["probe"]["magnitude"]) == (edge, edge)
        assert ("(reduced versions)" in (tmp_path / "paper.md").read_text("utf-8")) == bool(words)


@pytest.mark.slow
def test_images(tmp_path):
    """Two images of any size and kind make the object."""
    from PIL import Image

    rows, columns = np.indices((150, 140))
    magnitude = (np.hypot(rows - 70, columns - 60) < 40) * 200 + 40
    Image.fromarray(magnitude.astype(np.uint8)).save(tmp_path / "magnitude.tif")
    imsave(tmp_path / "phase.png", np.kron(np.random.default_rng(0).random((15, 14)), np.ones((10, 10))))
    images = ("--images", tmp_path / "magnitude.tif", tmp_path / "phase.png")
    assert paper("images", "--quick", "--out", tmp_path, "--quiet", *images) == 0
    record = record_of(tmp_path, "images")
    assert record["notes"] == []
    assert {"images 19: mse", "images 5: mse"} < {claim["key"] for claim in record["claims"]}


# Names, tables and wrong arguments ------------------------------------------------------------------------


def test_names():
    """Each has a module; a former name is accepted; the documented command lists them all."""
    for name in catalogue.NAMES:
        module = catalogue.experiment(name)
        assert callable(module.run) and module.TITLE and module.PAPER
        assert catalogue.selected(name) == [name]
    assert catalogue.selected("all") == list(catalogue.NAMES)
    assert catalogue.selected("today") == ["sequential"]


def test_the_documented_command_exists(capsys):
    assert "``ptyxrf paper NAME``" in ptyxrf.experiments.__doc__
    with pytest.raises(SystemExit) as ended:
        paper("--help")
    text = capsys.readouterr().out
    assert ended.value.code == 0 and all(name in text for name in catalogue.NAMES)


def test_tables():
    rows = [("x | y", 1 / 3), (None, 2), ("", 123456.0)]
    lines = ["| a\\|b | n |", "| --- | --- |", "| x \\| y | 0.333 |", "|  | 2 |", "|  | 1.23e+05 |"]
    assert page.table_text(("a|b", "n"), rows).splitlines() == lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: NAME"),
        (["../noise", "--out", "new"], "NAME: expected one of spectrum, "),
        (["probe", "--out", "file"], "file: expected a folder, got a file"),
        (["probe", "--out", "taken"], "taken/runs: File exists"),
        (["probe", "--out", "folders"], "folders/paper.md: cannot be written, it is a folder"),
        (["probe", "--out", "damaged"], "damaged/noise.json: expected the record of an experiment"),
        (["rank", "--out", "new", "--probes", "disc,cone:1"], "probes: expected KIND or KIND:WIDTH"),
        (["rank", "--out", "new", "--probes", "zone-plate:1.5"], "at most 1 for zone-plate"),
        (["rank", "--out", "new", "--dft", "unitary,"], "dft: expected words of unitary, printed, got ''"),
        (["images", "--images", "a.png"], "--images: expected 2 arguments"),
        (["images", "--out", "new", "--images", "a.png", "none.png"], "none.png: No such file"),
        (["images", "--out", "new", "--images", "a.png", "text.png"], "expected a PNG image, got text.png"),
        (["images", "--out", "new", "--images", "cut.png", "a.png"], "cut.png"),
    ],
)
def test_wrong_arguments(tmp_path, monkeypatch, capsys, words, message):
    """The command ends with one line and exit code 2."""
    monkeypatch.chdir(tmp_path)
    imsave("a.png", np.random.default_rng(0).random((40, 40)))
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:1000])
    for name in ("file", "text.png", "taken/runs", "folders/paper.md/inside", "damaged/noise.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert paper(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("ptyxrf: error: ") and message in captured.err
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not MPIEXEC, reason="no mpiexec beside this Python nor on the PATH")
def test_wrong_arguments_on_two_ranks(tmp_path):
    words = ["paper", "nonsense", "--out", str(tmp_path / "new")]
    done = mpiexec(2, [sys.executable, "-m", "ptyxrf", *words], timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("ptyxrf: error: NAME: expected one of") == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
