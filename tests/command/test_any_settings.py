"""Settings from anything: an accepted value or a ValueError that names the setting, whatever comes."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import tomllib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ptyxrf.driver.command.main import main
from ptyxrf.driver.command.parser import flag_name, from_flags
from ptyxrf.driver.command.settings_file import read_settings, settings_text
from ptyxrf.driver.command.tables import TABLES
from ptyxrf.driver.data.kinds import Choice, Either, Kind, Number, Several, Switch, Text
from ptyxrf.driver.preparation.quantities import Quantity

DECLARED = {table: group.declared() for table, group in TABLES.items()}
KEYS = st.sampled_from([(table, key) for table, known in DECLARED.items() for key in known])
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -0.0, 1, 10**400, 1e308, 5e-324, 2**63]))
WORDS = sorted(
    {
        word
        for known in DECLARED.values()
        for entry in known.values()
        for word in re.findall(r"\w+", f"{entry.kind.annotation} {entry.kind.expected}")
    }
)
TEXTS = st.one_of(st.text(), st.sampled_from(WORDS), st.from_regex(r"-?[0-9.,e+_ -]{0,12}", fullmatch=True))
VALUES = st.recursive(
    st.one_of(NUMBERS, st.booleans(), TEXTS, st.dates()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=6,
)
#: The folder of a test may serve all its examples.
FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def test_what_python_does_not_write_out_is_refused_by_name():
    for value in (-(10**5000), [[10**5000]]):
        with pytest.raises(ValueError, match=r"^max_iterations: expected an integer .* very many digits"):
            DECLARED["reconstruct"]["max_iterations"].checked("max_iterations", value)


def one_line(error: BaseException) -> bool:
    return "\n" not in str(error)


@given(KEYS, VALUES)
@settings(max_examples=200, deadline=None)
def test_a_value_is_accepted_or_refused_by_name(where, value):
    table, key = where
    setting = DECLARED[table][key]
    try:
        accepted = setting.checked(key, value)
    except ValueError as error:
        assert (
            str(error).startswith(f"{key}: expected {setting.kind.expected}, got ") and len(str(error)) < 700
        )
    else:
        # what was accepted once is accepted again, and is the same then
        assert setting.checked(key, accepted) == accepted


@given(KEYS, TEXTS)
@settings(max_examples=200, deadline=None)
def test_a_word_on_the_command_line_is_accepted_or_refused_by_name(where, word):
    table, key = where
    try:
        from_flags(TABLES[table], argparse.Namespace(**dict.fromkeys(DECLARED[table]) | {key: word}))
    except ValueError as error:
        assert str(error).startswith(f"{flag_name(key)}: expected ")


def values_of(kind: Kind) -> st.SearchStrategy:
    """Return the values that a kind takes, to be accepted or not at the very limits."""
    if isinstance(kind, Number):
        low, high = (None if abs(limit) == float("inf") else limit for limit in (kind.minimum, kind.maximum))
        if kind.whole:
            return st.integers(None if low is None else int(low), None if high is None else int(high))
        return st.floats(low, high, allow_nan=False, allow_infinity=False, exclude_min=kind.open_start)
    if isinstance(kind, Choice):
        return st.sampled_from(kind.words)
    if isinstance(kind, Switch):
        return st.booleans()
    if isinstance(kind, Several):
        return st.lists(values_of(kind.item), min_size=kind.count or 1, max_size=kind.count or 3)
    if isinstance(kind, Either):
        return st.one_of(*map(values_of, kind.kinds))
    if isinstance(kind, Quantity):
        return st.builds("{} {}".format, st.integers(1, 10**6), st.sampled_from(sorted(kind.units)))
    assert isinstance(kind, Text)
    return st.text(min_size=1)


#: Settings without which others are refused.
BESIDE = {
    ("reconstruct", "probe_from_iteration"): {"refine_probe": True},
    ("reconstruct", "positions_from_iteration"): {"refine_positions": "each"},
    ("reconstruct", "probe_start"): {"refine_probe": True},
    ("simulate", "magnitude"): {"phase": "b.png"},
    ("simulate", "phase"): {"magnitude": "a.png"},
    ("simulate", "real"): {"imaginary": "b.png"},
    ("simulate", "imaginary"): {"real": "a.png"},
    ("files", "elements"): {"maps": "maps.h5"},
    ("files", "attenuation"): {"maps": "maps.h5"},
    ("files", "phase_shift"): {"maps": "maps.h5"},
    ("files", "match"): {"maps": "maps.h5"},
    ("files", "origin"): {"maps": "maps.h5"},
    ("files", "detectors"): {"maps": "maps.h5"},
    ("files", "axis_unit"): {"maps": "maps.h5"},
    ("calibrate", "carry"): {"energy": "10 keV"},
    ("prepare", "rows"): {"columns": "x"},
    ("prepare", "columns"): {"rows": "y"},
}


@given(st.data(), KEYS)
@FOLDER
def test_settings_that_are_written_are_read_back(tmp_path, data, where):
    table, key = where
    value = data.draw(values_of(DECLARED[table][key].kind))
    every = {name: group() for name, group in TABLES.items()}
    every[table] = TABLES[table](**BESIDE.get(where, {}) | {key: value})
    path = tmp_path / "settings.toml"
    path.write_text(settings_text(every), encoding="utf-8", newline="")
    back = {name: TABLES[name](**values) for name, values in read_settings(path).items()}
    assert back == every
    assert type(getattr(back[table], key)) is type(getattr(every[table], key))


@given(st.one_of(st.binary(), st.text().map(str.encode)))
@example(b"\r")
@example(b"\xef\xbb\xbf[reconstruct]\r\n")
@example(b"[reconstruct]\nalpha = " + b"[" * 5000)
@example(b"[reconstruct]\nmax_iterations = " + b"9" * 5000)
@example(b"[files]\nout = '" + b"x" * 100_000 + b"'\nmaps = 1979-05-27T07:32:00Z")
@FOLDER
def test_any_file_is_settings_or_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    try:
        read = read_settings(path)
        assert {
            name: {key: DECLARED[name][key].kind.plain(value) for key, value in values.items()}
            for name, values in read.items()
        } == tomllib.loads(content.decode("utf-8-sig"))
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and one_line(error)


@given(
    st.sampled_from(sorted(TABLES)),
    st.text().filter(lambda key: not any(key in known for known in DECLARED.values())),
)
@FOLDER
def test_unknown_keys_are_named(tmp_path, table, key):
    path = tmp_path / "settings.toml"
    # what JSON writes as a string is a key to TOML, except for DEL
    quoted = json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")
    path.write_text(f"[{table}]\n{quoted} = 1\n", "utf-8")
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: \[{table}\]: unknown key ") as caught:
        read_settings(path)
    assert repr(key) in str(caught.value)


FLAGS = st.tuples(KEYS.filter(lambda where: where[0] in ("reconstruct", "files")), TEXTS)


@given(st.lists(FLAGS, max_size=3), st.lists(TEXTS, max_size=1))
@settings(max_examples=100, deadline=None)
def test_any_words_end_with_settings_or_one_line(flags, more):
    words = ["reconstruct", "scan.h5", "--show-settings"]
    for (table, key), text in flags:
        words.append(
            flag_name(key) if isinstance(DECLARED[table][key].kind, Switch) else f"{flag_name(key)}={text}"
        )
    words += [word for word in more if word not in ("-h", "--help", "--version")]
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        code = main(words)
    if code == 0:
        assert said.getvalue() == "" and tomllib.loads(out.getvalue())
    else:
        assert code == 2 and out.getvalue() == ""
        assert said.getvalue().startswith("ptyxrf: error: ") and said.getvalue().count("\n") == 1
