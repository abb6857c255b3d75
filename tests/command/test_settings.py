import argparse
import inspect
import tomllib

import pytest

from ptyxrf.driver.command.parser import add_settings, effective_settings, flag_name, from_flags
from ptyxrf.driver.command.settings_file import read_settings, settings_text
from ptyxrf.driver.command.tables import TABLES, Files, Reconstruction
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.simulation.settings import SimulationSettings
from ptyxrf.driver.simulation.simulate import simulate


def written(tmp_path, text):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def parsed(words, *tables, settings=None):
    """Return the flags of some tables as the parser of the command gives them."""
    parser = argparse.ArgumentParser()
    for table in tables:
        add_settings(parser, table, TABLES[table])
    options = parser.parse_args(words)
    options.settings = settings
    return options


@pytest.mark.parametrize(
    ("function", "group", "table"),
    [(reconstruct, Settings, "reconstruct"), (simulate, SimulationSettings, "simulate")],
)
def test_one_declaration_makes_signature_docstring_help_and_file(function, group, table, monkeypatch):
    parameters = inspect.signature(function).parameters
    text = " ".join(function.__doc__.split())
    parser = argparse.ArgumentParser()
    add_settings(parser, table, TABLES[table])
    monkeypatch.setenv("COLUMNS", "1000")  # no help is broken into lines
    shown = " ".join(parser.format_help().split())
    written_keys = settings_text({table: TABLES[table]()}).replace("# ", "").splitlines()
    for name, declared in group.declared().items():
        assert parameters[name].default == declared.default
        assert f" {name} : {declared.kind.annotation}, " in text
        assert declared.help[1:] in text
        assert flag_name(name) in shown and declared.help in shown
        assert any(line.startswith(f"{name} ") for line in written_keys)
    assert group.declared().keys() == TABLES[table].declared().keys()


def test_the_objective_takes_the_model_and_a_result_records_the_settings():
    parameters = inspect.signature(Objective).parameters
    text = " ".join(Objective.__doc__.split())
    for name, declared in Model.declared().items():
        assert parameters[name].default == declared.default
        assert declared.help[1:] in text
    assert list(parameters)[:8] == [
        *("scan", "method", "alpha", "curvature", "precision", "refine_probe", "start", "comm")
    ]
    scan = simulate(m=16, per_side=3, photons=100.0)
    given = Settings(max_iterations=0, alpha=[0.5], refine_probe=True, probe_from_iteration=2)
    recorded = reconstruct(scan, settings=given, patience=4).settings
    resolved = given.replace(patience=4).resolved(scan).as_dict()
    assert {name: recorded[name] for name in resolved} == resolved


def test_defaults_are_accepted_by_their_own_kinds():
    for group in TABLES.values():
        for key, declared in group.declared().items():
            if declared.default is not None:
                assert declared.kind.accept(declared.default) == declared.default, key


def test_file_overrides_default_and_flag_overrides_file(tmp_path):
    path = written(tmp_path, '[reconstruct]\nmax_sweeps = 30\nprecision = "double"\nalpha = [1, 2.5]\n')
    (settings,) = effective_settings(
        parsed(["--max-sweeps", "7.5"], "reconstruct", settings=path), "reconstruct"
    )
    assert settings.max_sweeps == 7.5
    assert settings.precision == "double"
    assert settings.alpha == (1.0, 2.5)
    assert settings.max_iterations == 100


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--alpha", "gradnorm"], "alpha", "gradnorm"),
        (["--alpha", "1e-3"], "alpha", 1e-3),
        (["--alpha", "1,2,3"], "alpha", (1.0, 2.0, 3.0)),
        (["--refine-probe"], "refine_probe", True),
        (["--probe-from-iteration", "5"], "probe_from_iteration", 5),
        (["--no-nonnegative"], "nonnegative", False),
        (["--max-iterations", "0"], "max_iterations", 0),
    ],
)
def test_flags_are_read_as_values(words, key, value):
    given = from_flags(Reconstruction, parsed(words, "reconstruct"))
    assert given == {key: value}
    assert type(given[key]) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[reconstruct]\nmax_sweps = 3\n",
            r"\[reconstruct\]: unknown key 'max_sweps' \(did you mean 'max_sweeps'",
        ),
        ("[recontruct]\n", r"unknown table 'recontruct' \(did you mean 'reconstruct'"),
        ("max_sweeps = 3\n", r"unknown table 'max_sweeps' \(it is a key of the table \[reconstruct\]\)"),
        ("[reconstruct]\nqqq = 3\n", r"unknown key 'qqq' \(known: method, "),
        ("reconstruct = 3\n", r"expected a table \[reconstruct\], got reconstruct = 3"),
        ('[reconstruct]\nmethod = "both"\n', r"\[reconstruct\] method: expected one of joint, .* got 'both'"),
        ("[reconstruct]\nmethod = 3\n", "method: expected one of"),
        ("[reconstruct]\nmethod = []\n", "method: expected one of"),
        ('[reconstruct]\nmax_sweeps = "10"\n', "max_sweeps: expected a number of at least 0, got '10'"),
        ("[reconstruct]\nmax_sweeps = true\n", "max_sweeps: expected a number"),
        ("[reconstruct]\nmax_sweeps = inf\n", "max_sweeps: expected a number"),
        ("[reconstruct]\nmax_iterations = 1.5\n", "max_iterations: expected an integer"),
        ("[reconstruct]\nalpha = -1\n", "alpha: expected one of statistical, gradnorm, or a number"),
        ("[reconstruct]\nalpha = [1, nan]\n", "alpha: expected"),
        ("[reconstruct]\nalpha = []\n", "alpha: expected"),
        ("[reconstruct]\nnonnegative = 1\n", "nonnegative: expected true or false, got 1"),
        (
            "[reconstruct]\nrefine_probe = 10\n",
            r"refine_probe: expected true or false \(probe_from_iteration delays the refinement\), got 10",
        ),
        ("[files]\nout = 3\n", "out: expected the path of a file"),
        ("[job]\nwatchdog_seconds = 1\n", "watchdog_seconds: expected 0, or a number of at least 2, got 1"),
        ("[simulate]\noverlap = 1.5\n", "overlap: expected a number of at least 0 and of at most 1, got 1.5"),
        ("[simulate]\nphotons = 0\n", "photons: expected a number above 0, got 0"),
        ("[reconstruct\n", "expected settings in TOML, got"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)


def test_a_key_is_accepted_where_it_used_to_be(tmp_path):
    old, new = "[reconstruct]\nwatchdog_seconds = 5\n", "[job]\nwatchdog_seconds = 7\n"
    assert read_settings(written(tmp_path, old)) == {"reconstruct": {}, "job": {"watchdog_seconds": 5.0}}
    for text in (old + new, new + old):
        assert read_settings(written(tmp_path, text))["job"] == {"watchdog_seconds": 7.0}


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="expected settings in TOML"):
        read_settings(path)


def test_a_wrong_flag_is_named():
    with pytest.raises(ValueError, match="--max-sweeps: expected a number of at least 0, got 'many'"):
        from_flags(Reconstruction, parsed(["--max-sweeps", "many"], "reconstruct"))


def test_effective_settings_are_read_back(tmp_path):
    settings = {table: group() for table, group in TABLES.items()}
    settings["reconstruct"] = Reconstruction(
        alpha=[0.1, 2.0], max_sweeps=1e-7, refine_probe=True, probe_from_iteration=3, resume=True
    )
    settings["files"] = Files(
        out='a "quoted" \\ päth\x7f\n', maps="maps.h5", elements=["Fe", "Cu"], attenuation=[0.1, 2]
    )
    path = written(tmp_path, settings_text(settings))
    back = {table: TABLES[table](**values) for table, values in read_settings(path).items()}
    assert back == settings
    assert "# match is not set" in path.read_text()
    assert tomllib.loads(path.read_text())["reconstruct"]["alpha"] == [0.1, 2.0]


def test_flag_name():
    assert flag_name("max_sweeps") == "--max-sweeps"
