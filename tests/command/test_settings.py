import inspect
import tomllib

import pytest

from ptyxrf.driver.command.settings import (
    RECONSTRUCT,
    SIMULATE,
    TABLES,
    effective_settings,
    flag_name,
    read_settings,
    settings_text,
)
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate

#: Settings of a simulation that are not arguments under the same name.
COMMAND_ONLY = {"magnitude", "phase", "real", "imaginary", "energy_keV", "watchdog_seconds"}


def written(tmp_path, text):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def test_settings_are_arguments_with_the_same_defaults():
    for function, table in ((reconstruct, RECONSTRUCT), (simulate, SIMULATE)):
        parameters = inspect.signature(function).parameters
        for key in table.keys() - COMMAND_ONLY:
            assert table[key].default == parameters[key].default, key


def test_defaults_are_accepted_by_their_own_kinds():
    for table in TABLES.values():
        for key, setting in table.items():
            if setting.default is not None:
                assert setting.kind.accept(setting.default) == setting.default, key


def test_file_overrides_default_and_flag_overrides_file(tmp_path):
    path = written(tmp_path, '[reconstruct]\nmax_sweeps = 30\nprecision = "double"\nalpha = [1, 2.5]\n')
    from_file = read_settings(path)["reconstruct"]
    settings = effective_settings("reconstruct", from_file, {"max_sweeps": "7.5", "alpha": None})
    assert settings["max_sweeps"] == 7.5
    assert settings["precision"] == "double"
    assert settings["alpha"] == [1.0, 2.5]
    assert settings["max_iterations"] == 100


@pytest.mark.parametrize(
    ("key", "word", "value"),
    [
        ("alpha", "gradnorm", "gradnorm"),
        ("alpha", "1e-3", 1e-3),
        ("alpha", "1,2,3", [1.0, 2.0, 3.0]),
        ("refine_probe", "true", True),
        ("refine_probe", "5", 5),
        ("nonnegative", False, False),
        ("max_iterations", "0", 0),
    ],
)
def test_flags_are_read_as_values(key, word, value):
    got = effective_settings("reconstruct", {}, {key: word})[key]
    assert got == value
    assert type(got) is type(value)


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
        ("[files]\nout = 3\n", "out: expected the path of a file"),
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


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="expected settings in TOML"):
        read_settings(path)


def test_a_wrong_flag_is_named():
    with pytest.raises(ValueError, match="--max-sweeps: expected a number of at least 0, got 'many'"):
        effective_settings("reconstruct", {}, {"max_sweeps": "many"})


def test_effective_settings_are_read_back(tmp_path):
    settings = {table: effective_settings(table, {}, {}) for table in TABLES}
    settings["reconstruct"] |= {"alpha": [0.1, 2.0], "max_sweeps": 1e-7, "refine_probe": 3}
    settings["files"] |= {"out": 'a "quoted" \\ päth\x7f\n', "elements": ["Fe", "Cu"]}
    path = written(tmp_path, settings_text(settings))
    given = {
        table: {k: v for k, v in entries.items() if v is not None} for table, entries in settings.items()
    }
    assert read_settings(path) == given
    assert "# maps is not set" in path.read_text()
    assert tomllib.loads(path.read_text()) == given


def test_flag_name():
    assert flag_name("max_sweeps") == "--max-sweeps"
