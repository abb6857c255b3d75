import json
import logging
import os
import signal
import subprocess
import sys
import tomllib
import warnings

import h5py
import numpy as np
import pytest
from matplotlib.image import imread, imsave
from scans import joint_scan

from ptyxrf.driver.command.main import main
from ptyxrf.driver.command.parser import Subcommand
from ptyxrf.driver.files.result_file import read_result
from ptyxrf.driver.files.scan_file import read_scan, write_scan
from ptyxrf.driver.simulation.simulate import simulate


@pytest.fixture(scope="module")
def scan():
    return simulate(
        n=44,
        m=16,
        per_side=7,
        elements=2,
        photons=300.0,
        noise="counting",
        dtype="float32",
        title="a small scan",
    )


@pytest.fixture
def folder(tmp_path, scan, monkeypatch):
    """A working folder with a scan; commands run in it."""
    monkeypatch.chdir(tmp_path)
    write_scan("scan.h5", scan)
    return tmp_path


def listing(folder):
    return sorted((path.relative_to(folder), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.fixture
def refused(folder, capsys):
    """Return a function that checks that a command is refused with one line and writes nothing."""

    def check(*words):
        before = listing(folder)
        assert main([str(word) for word in words]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("ptyxrf: error: ")
        assert captured.err.count("\n") == 1
        assert listing(folder) == before
        return captured.err

    return check


def without_compiling(lines):
    """Return lines of standard error without the one that a machine shows once."""
    return [line for line in lines if not line.startswith("ptyxrf: compiling")]


# What works -----------------------------------------------------------------------------------------------


def test_reconstruct_writes_result_and_report(folder, capsys):
    assert main(["reconstruct", "scan.h5", "--out", "result.h5", "--max-sweeps", "8"]) == 0
    captured = capsys.readouterr()
    assert "joint: loss" in captured.out
    assert "result: result.h5" in captured.out
    assert "report: result.png" in captured.out
    lines = without_compiling(captured.err.splitlines())
    assert lines[0].startswith("iteration    0")
    assert all(line.startswith("iteration") for line in lines[:-1])
    result = read_result("result.h5")
    # a poor fit ends with code 0, and says so
    assert result.quality.good is False
    assert lines[-1] == f"ptyxrf: warning: {result.quality.verdict}"
    assert f"{result.reason.value} {result.quality.verdict}" in captured.out
    assert result.method == "joint"
    assert result.settings["max_sweeps"] == 8.0
    assert imread("result.png").shape[1] > 1000


def test_a_good_fit_says_so(folder, capsys):
    words = ["--method", "ptychography", "--max-sweeps", "60", "--no-report"]
    assert main(["reconstruct", *words, "scan.h5", "--out", "result.h5"]) == 0
    captured = capsys.readouterr()
    assert "Good fit: the misfit of the patterns is " in captured.out and "warning" not in captured.err
    assert main(["info", "result.h5"]) == 0
    assert "quality                    Good fit: " in capsys.readouterr().out
    assert main(["info", "result.h5", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["quality"]
    assert facts["good"] is True and 0.8 < facts["misfit_over_floor"] < 1.2


def test_quiet_and_no_report(folder, capsys):
    words = ["--method", "ptychography", "--refine-probe", "--max-iterations", "2", "--quiet", "--no-report"]
    assert main(["reconstruct", *words, "scan.h5", "--out", "result.h5"]) == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    assert not (folder / "result.png").exists()
    assert read_result("result.h5").settings["refine_probe"] is True


@pytest.mark.parametrize(
    ("fluorescence", "method", "line"),
    [
        (True, "joint", "method: joint, because the scan has fluorescence"),
        (False, "ptychography", "method: ptychography, because the scan has no fluorescence"),
    ],
)
def test_defaults_come_from_the_scan_and_are_said(folder, scan, capsys, fluorescence, method, line):
    given = scan if fluorescence else scan.replace(fluorescence=None)
    (folder / "inner").mkdir()
    write_scan("inner/one.h5", given)
    assert main(["reconstruct", "inner/one.h5", "--max-iterations", "1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == line
    assert out[-2:] == ["result: inner/one-result.h5", "report: inner/one-result.png"]
    assert read_result("inner/one-result.h5").method == method
    names = {path.name for path in (folder / "inner").iterdir()}
    assert names == {"one.h5", "one-result.h5", "one-result.png"}


def test_log_records_are_shown_unless_it_is_quiet(folder, capsys, monkeypatch):
    def reconstructing(*_, **__):
        logging.getLogger("ptyxrf.some.module").info("compiling the %s", "kernels")
        logging.getLogger("ptyxrf").debug("not shown")
        raise ValueError("no more")

    monkeypatch.setattr("ptyxrf.driver.reconstruction.reconstruct.reconstruct", reconstructing)
    assert main(["reconstruct", "scan.h5"]) == 2
    assert capsys.readouterr().err == "ptyxrf: compiling the kernels\nptyxrf: error: no more\n"
    assert main(["reconstruct", "scan.h5", "--quiet"]) == 2
    assert capsys.readouterr().err == "ptyxrf: error: no more\n"
    assert logging.getLogger("ptyxrf").handlers == []


def test_the_command_alone_prints_its_help(capsys):
    assert main([]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("usage: ptyxrf")
    assert captured.err == ""


def test_help_comes_without_the_libraries_that_compute():
    code = "import sys, ptyxrf.__main__ as command; command.main([]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "ptyxrf.driver.reconstruction.settings" in loaded
    assert not loaded & {"numpy", "numba", "h5py", "matplotlib", "scipy", "mpi4py"}


def test_further_subcommands_are_joined(capsys):
    hello = Subcommand("hello", "", "greet", "Greet.", lambda parser: None, lambda options: print("hi") or 5)
    assert main(["hello"], extra=[hello]) == 5
    assert capsys.readouterr().out == "hi\n"
    assert main(["hello"]) == 2
    done = run("--help")
    assert "run the experiments of the paper" in done.stdout


def test_settings_file_and_flags(folder, capsys):
    (folder / "s.toml").write_text(
        '[files]\nout = "from_file.h5"\nreport = false\n[reconstruct]\nprecision = "double"\n'
        "max_iterations = 1\nrefine_probe = true\nprobe_from_iteration = 1\n[simulate]\nseed = 3\n"
    )
    assert main(["reconstruct", "scan.h5", "--settings", "s.toml", "--precision", "single"]) == 0
    settings = read_result("from_file.h5").settings
    assert (settings["precision"], settings["max_iterations"]) == ("single", 1)
    assert (settings["refine_probe"], settings["probe_from_iteration"]) == (True, 1)


def test_show_settings_can_be_used_again(folder, capsys):
    assert main(["reconstruct", "scan.h5", "--alpha", "1,2", "--max-seconds", "5", "--show-settings"]) == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text)["reconstruct"]["alpha"] == [1.0, 2.0]
    (folder / "s.toml").write_text(text)
    assert main(["reconstruct", "scan.h5", "--settings", "s.toml", "--show-settings"]) == 0
    assert capsys.readouterr().out == text
    assert main(["simulate", "new.h5", "--show-settings"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["simulate"]["specimen"] == "cells"
    assert not (folder / "new.h5").exists()


def test_simulate(folder, capsys):
    words = [
        "--n",
        "40",
        "--m",
        "16",
        "--per-side",
        "4,5",
        "--elements",
        "2",
        "--sampling",
        "scan",
        "--energy-keV",
        "10",
    ]
    assert (
        main(["simulate", "new.h5", *words, "--sensitivity", "2,3", "--noise", "0.01", "--title", "ten keV"])
        == 0
    )
    assert "20 patterns of 16 x 16" in capsys.readouterr().out
    scan = read_scan("new.h5")
    assert scan.sampling == "scan"
    assert scan.title == "ten keV"
    assert scan.geometry.energy == pytest.approx(1.602176634e-15)
    np.testing.assert_array_equal(scan.sensitivity, [2.0, 3.0])


def test_simulate_without_fluorescence_from_two_images(folder, capsys):
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        imsave(name, rng.random((48, 52)))
    words = ["--m", "16", "--n", "40", "--per-side", "4", "--sampling", "none", "--quiet"]
    assert main(["simulate", "new.h5", "--magnitude", "a.png", "--phase", "b.png", *words]) == 0
    assert capsys.readouterr().out == ""
    scan = read_scan("new.h5")
    assert scan.shape == (40, 40)
    assert scan.fluorescence is None


def test_info(folder, capsys):
    assert main(["info", "scan.h5"]) == 0
    text = capsys.readouterr().out
    assert "49 of 16 x 16" in text
    assert "8.8 keV" in text
    assert main(["info", "scan.h5", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "scan"
    assert facts["energy_keV"] == pytest.approx(8.8)
    assert isinstance(facts["findings"], list)


def test_info_orientation(folder, capsys):
    assert main(["info", "scan.h5", "--orientation", "--patterns", "9", "--sweeps", "3"]) == 0
    captured = capsys.readouterr()
    assert "positions read with" in captured.out
    assert len(without_compiling(captured.err.splitlines())) == 8
    assert main(["info", "scan.h5", "--orientation", "--patterns", "9", "--sweeps", "3", "--json"]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert len(facts["orientations"]) == 8
    assert facts["orientations"][0].keys() == {"swap", "flip_rows", "flip_columns", "loss"}
    assert captured.err == ""


def test_info_of_a_result(folder, capsys):
    words = ["--max-iterations", "1", "--fluorescence-prior", "none", "--no-report", "--quiet"]
    main(["reconstruct", "scan.h5", "--out", "result.h5", *words])
    assert main(["info", "result.h5"]) == 0
    assert "result of a joint reconstruction" in capsys.readouterr().out
    assert main(["info", "result.h5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["iterations"] == 1


def test_maps(folder, capsys, shared_data):
    """Maps of a file of another program, taken by the order of the points."""
    path = shared_data("axo_std_maps_v9.h5")
    assert main(["info", str(path)]) == 0
    assert "11 rows x 11 columns" in capsys.readouterr().out
    small = simulate(n=44, m=16, per_side=11, photons=300.0, noise="counting", sampling=None)
    write_scan("square.h5", small)
    words = ["--maps", str(path), "--elements", "Fe,Ca", "--attenuation", "0.1,0.2", "--max-iterations", "1"]
    assert main(["reconstruct", "square.h5", "--out", "result.h5", *words, "--quiet"]) == 0
    assert read_result("result.h5").elements.shape == (2, 44, 44)


def test_demo(tmp_path, capsys):
    assert main(["demo", "--quick", "--out", str(tmp_path / "new" / "demo"), "--quiet"]) == 0
    out = capsys.readouterr().out
    rows = {line[:14].strip(): line[14:].split() for line in out.splitlines()}
    aligned = 1
    assert float(rows["joint"][aligned]) < float(rows["one by one"][aligned])
    assert "fallback (ptychography, then fluorescence): loss" in out
    assert "positions: moved by" in out
    result = read_result(tmp_path / "new" / "demo" / "result.h5")
    assert result.quality.link and result.fallback.method == "ptychography"
    names = {path.name for path in (tmp_path / "new" / "demo").iterdir()}
    assert names == {"scan.h5", "result.h5", "result.png"}


def test_help_and_version(capsys):
    for words in (
        ["--help"],
        ["demo", "--help"],
        ["simulate", "--help"],
        ["reconstruct", "--help"],
        ["info", "--help"],
    ):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0
        assert "usage: ptyxrf" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("ptyxrf 0.")


def test_a_warning_is_one_line(folder, scan, capsys):
    write_scan("floats.h5", scan.replace(patterns=scan.patterns * np.float32(1.1), count_scale=None))
    words = ["--max-iterations", "1", "--fluorescence-prior", "none", "--no-report", "--quiet"]
    assert main(["reconstruct", "floats.h5", "--out", "result.h5", *words]) == 0
    lines = without_compiling(capsys.readouterr().err.splitlines())
    assert lines
    assert all(line.startswith("ptyxrf: warning: ") for line in lines)
    assert warnings.showwarning.__module__ != "ptyxrf.driver.command.main"


# Bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["reconstruct"], "required: SCAN"),
        (["reconstruct", "none.h5"], "none.h5: no such file"),
        (["reconstruct", "."], "expected an HDF5 file, got a folder"),
        (["reconstruct", "scan.h5", "--refine-probe", "10"], "unrecognized arguments: 10"),
        (
            ["reconstruct", "scan.h5", "--probe-from-iteration", "3"],
            "probe_from_iteration: expected refine_probe = true beside 3",
        ),
        (
            ["reconstruct", "scan.h5", "--out", "r.h5", "--max-sweps", "3"],
            "unrecognized arguments: --max-sweps",
        ),
        (
            ["reconstruct", "scan.h5", "--out", "r.h5", "--max-sweeps", "-3"],
            "--max-sweeps: expected a number",
        ),
        (["reconstruct", "scan.h5", "--out", "r.h5", "--method", "both"], "--method: expected one of"),
        (["reconstruct", "scan.h5", "--out", "r.h5", "--alpha", "-1"], "--alpha: expected"),
        (["reconstruct", "scan.h5", "--out", "r.h5", "--alpha", "nan"], "--alpha: expected"),
        (["reconstruct", "scan.h5", "--out", "r.h5", "--alpha", "1,2,3"], "alpha: expected"),
        (["reconstruct", "scan.h5", "--out", "r.h5", "--elements", "Fe"], "--elements: expected a MAPS file"),
        (
            ["reconstruct", "scan.h5", "--out", "r.h5", "--swap"],
            "swap, flip_rows and flip_columns are for files",
        ),
        (["reconstruct", "scan.h5", "--out", "r.h5", "--settings", "none.toml"], "none.toml: No such file"),
        (
            ["reconstruct", "scan.h5", "--out", "nowhere/r.h5"],
            "nowhere/r.h5: cannot be written, there is no folder",
        ),
        (["reconstruct", "scan.h5", "--out", "."], "it is a folder"),
        (["reconstruct", "scan.h5", "--out", "r.png"], "expected another ending than .png"),
        (["reconstruct", "scan.h5", "--out", "./scan.h5"], "is an input, and cannot be the output too"),
        (["reconstruct", "none.h5", "--out", "r.h5"], "none.h5: no such file"),
        (["reconstruct", ".", "--out", "r.h5"], "expected an HDF5 file, got a folder"),
        (["reconstruct", "scan.h5", "--out", "r.h5", "--maps", "scan.h5"], "got a file of ptyxrf"),
        (["info", "none.h5"], "none.h5: no such file"),
        (
            ["info", "scan.h5", "--orientation", "--patterns", "1"],
            "--patterns: expected an integer of at least 2",
        ),
        (["info", "scan.h5", "--sweeps", "x"], "--sweeps: expected a number"),
        (["simulate"], "required: OUT"),
        (["simulate", "nowhere/new.h5"], "there is no folder"),
        (["simulate", "new.h5", "--overlap", "2"], "--overlap: expected a number"),
        (["simulate", "new.h5", "--overlap", "1"], "overlap: expected a number in"),
        (["simulate", "new.h5", "--background", "-5"], "--background: expected a number of at least 0"),
        (["simulate", "new.h5", "--n", "20"], "shape: expected at least 64 x 64"),
        (["simulate", "new.h5", "--magnitude", "a.png"], "phase: expected an image beside magnitude"),
        (["simulate", "new.h5", "--magnitude", "a.png", "--real", "b.png"], "two images of one kind"),
        (["simulate", "new.h5", "--real", "a.png", "--imaginary", "b.png"], "a.png: No such file"),
        (["demo", "--out", "scan.h5"], "scan.h5: expected a folder, got a file"),
        (["demo", "--out", "scan.h5/inside"], "scan.h5/inside: Not a directory"),
    ],
)
def test_bad_words(refused, words, message):
    assert message in refused(*words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[reconstruct]\nmax_sweps = 3\n", "unknown key 'max_sweps' (did you mean 'max_sweeps'?)"),
        ("[reconstruct]\nprecision = 2\n", "[reconstruct] precision: expected one of single, double, got 2"),
        ("[simulate]\nn = -3\n", "[simulate] n: expected an integer of at least 1, got -3"),
        ("nonsense", "expected settings in TOML"),
    ],
)
def test_bad_settings(folder, refused, text, message):
    (folder / "s.toml").write_text(text)
    assert message in refused("reconstruct", "scan.h5", "--out", "r.h5", "--settings", "s.toml")


def test_damaged_files(folder, refused):
    whole = (folder / "scan.h5").read_bytes()
    (folder / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (folder / "text.h5").write_text("no HDF5")
    (folder / "empty.h5").touch()
    for name in ("cut.h5", "text.h5", "empty.h5"):
        assert name in refused("reconstruct", name, "--out", "r.h5")
        assert name in refused("info", name)
    with h5py.File("scan.h5", "r+") as file:
        del file["/entry_1/instrument_1/source_1/illumination"]
    assert "/entry_1/instrument_1/source_1/illumination" in refused("reconstruct", "scan.h5", "--out", "r.h5")


def test_missing_data(folder, scan, refused):
    write_scan("patterns.h5", scan.replace(fluorescence=None))
    for method in ("joint", "fluorescence"):
        assert "fluorescence" in refused("reconstruct", "patterns.h5", "--out", "r.h5", "--method", method)


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_bad_patterns_in_the_file(folder, refused, value):
    with h5py.File("scan.h5", "r+") as file:
        patterns = next(
            entry
            for entry in map(file.get, ("/entry_1/instrument_1/detector_1/data", "/entry_1/data_1/data"))
            if entry
        )
        patterns[3, 1, 2] = value
    message = refused("reconstruct", "scan.h5", "--out", "r.h5")
    assert "in pattern 3 at pixel (1, 2)" in message


def test_bad_positions_in_the_file(folder, refused):
    with h5py.File("scan.h5", "r+") as file:
        file["/entry_1/sample_1/geometry_1/positions"][2, 0] = np.nan
    assert "positions: expected finite pixels" in refused("reconstruct", "scan.h5", "--out", "r.h5")


def test_orientation_of_a_result(folder, refused, capsys):
    words = ["--max-iterations", "0", "--fluorescence-prior", "none", "--no-report", "--quiet"]
    main(["reconstruct", "scan.h5", "--out", "result.h5", *words])
    capsys.readouterr()  # the start is a poor fit
    assert "expected a scan, got a result" in refused("info", "result.h5", "--orientation")


def test_ctrl_c_is_one_line(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ptyxrf.driver.reconstruction.reconstruct.reconstruct", interrupted)
    assert main(["reconstruct", "scan.h5", "--out", "r.h5"]) == 130
    assert capsys.readouterr().err == "ptyxrf: interrupted\n"
    assert not (folder / "r.h5").exists()


# As a process ---------------------------------------------------------------------------------------------


def run(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "ptyxrf", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


def test_process(folder):
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    bad = run("info", "none.h5")
    assert (bad.returncode, bad.stdout, bad.stderr) == (2, "", "ptyxrf: error: none.h5: no such file\n")


def test_a_reader_that_leaves_is_no_error(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "ptyxrf", "info", "scan.h5"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(60) == 0


def test_ctrl_c_of_a_process(folder):
    words = ["reconstruct", "scan.h5", "--out", "r.h5", "--loss-tolerance", "0", "--gradient-tolerance", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ptyxrf", *words, "--max-iterations", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process.stdout, process.stderr:
        first = process.stderr.readline()
        while first.startswith("ptyxrf: compiling"):
            first = process.stderr.readline()
        assert first.startswith("iteration    0")
        os.kill(process.pid, signal.SIGINT)
        lines = process.stderr.read().splitlines()
    assert process.wait(60) == 130
    assert [line for line in lines if not line.startswith("iteration")] == ["ptyxrf: interrupted"]
    assert not (folder / "r.h5").exists()


# plan and bench -------------------------------------------------------------------------------------------


def test_plan_of_a_scan_and_of_numbers(folder, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "no-cache"))
    assert main(["plan", "scan.h5", "--ranks", "3", "--picture", "plan.png"]) == 0
    text = capsys.readouterr().out
    assert "ranks        3 on 1 node(s)" in text and "not measured: run ptyxrf bench" in text
    assert (folder / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert main(["plan", "scan.h5", "--ranks", "3", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    scan = read_scan("scan.h5")
    assert (facts["positions"], facts["ranks"]) == (scan.N, 3)
    words = [
        "plan",
        "--n",
        "500",
        "--positions",
        "90",
        "--m",
        "32",
        "--elements",
        "2",
        "--ranks",
        "4",
        "--json",
    ]
    assert main([*words, "--nodes", "2", "--node-memory", "8GB"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["node_memory"] == 8_000_000_000
    assert [each["fits"] for each in facts["memory_settings"]] == [True] * 6
    assert (facts["positions"], facts["nodes"], facts["method"]) == (90, 2, "joint")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan"], "SCAN: expected a scan file, or --n, --positions, --m"),
        (["plan", "--n", "100", "--m", "10"], "SCAN: expected a scan file, or --positions"),
        (["plan", "scan.h5", "--m", "10"], "--m: expected none beside a scan file"),
        (["plan", "scan.h5", "--ranks", "0"], "--ranks: expected an integer of at least 1"),
        (["plan", "scan.h5", "--ranks", "2", "--nodes", "3"], "nodes: expected from 1 to 2"),
        (["plan", "scan.h5", "--node-memory", "much"], "--node-memory: expected bytes, or a text such as"),
        (["plan", "scan.h5", "--machine", "scan.h5"], "scan.h5: expected what ptyxrf bench writes"),
        (["plan", "absent.h5"], "absent.h5: no such file"),
        (["bench", "--rounds", "0"], "--rounds: expected an integer of at least 1"),
        (["bench", "--out", "nowhere/m.json"], "nowhere/m.json: cannot be written"),
    ],
)
def test_bad_plans_and_benches(folder, capsys, words, message):
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert message in output.err


def test_bench_keeps_the_constants(folder, capsys, monkeypatch):
    from ptyxrf.driver.planning import machine_timing

    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setattr(machine_timing, "PER_SIDE", {64: 3})
    assert main(["bench", "--rounds", "1"]) == 0
    text = capsys.readouterr().out
    assert "us per pattern" in text and "a pixel of a field" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("  64")]
    assert [row[1] for row in rows] == ["single", "double"]
    assert "constants for ptyxrf plan" in text
    assert main(["plan", "scan.h5", "--ranks", "2"]) == 0
    assert "measured on" in capsys.readouterr().out
    assert main(["bench", "--rounds", "1", "--json", "--out", "machine.json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads((folder / "machine.json").read_text())
    assert all(facts["pattern_seconds"][precision]["64"] > 0 for precision in ("single", "double"))


def test_the_summary_tells_how_far_positions_moved(tmp_path, capsys):
    scan = joint_scan()
    path = tmp_path / "scan.h5"
    write_scan(path, scan)
    words = ["reconstruct", str(path), "--method", "ptychography", "--refine-positions", "each"]
    assert main([*words, "--max-iterations", "1", "--no-report"]) == 0
    moved = read_result(tmp_path / "scan-result.h5").positions - scan.positions
    distance = np.hypot(*moved.T)
    rms = np.sqrt((distance**2).mean())
    line = f"positions: moved by {rms:.3g} pixels (rms), {distance.max():.3g} at most"
    assert line in capsys.readouterr().out.splitlines()
