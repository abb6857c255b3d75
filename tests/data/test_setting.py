import inspect
from dataclasses import dataclass

import numpy as np
import pytest

from ptyxrf.driver.data.kinds import (
    COUNT,
    NOT_NEGATIVE,
    Bytes,
    Choice,
    Either,
    File,
    Number,
    Several,
    Switch,
    Text,
    ZeroOr,
)
from ptyxrf.driver.data.setting import SettingsGroup, describes_settings, redeclared, setting, takes_settings


@dataclass(frozen=True, kw_only=True)
class Oven(SettingsGroup):
    """Settings of an oven."""

    mode: str = setting("fan", Choice(("fan", "grill")), "how it heats")
    heat: float = setting(180.0, NOT_NEGATIVE, "temperature", unit="kelvin", path=False)
    racks: tuple[int, ...] | None = setting(None, Several(COUNT), "which racks are used")
    light: bool = setting(True, Switch(), "switch the light on")


@dataclass(frozen=True, kw_only=True)
class Kitchen(Oven):
    """Settings of a kitchen."""

    mode: str = redeclared(Oven, "mode", None, "fan, but grill on Sundays")
    people: int = setting(2, COUNT, "cooks")

    def check(self) -> None:
        super().check()
        if self.people > 3 and not self.light:
            raise ValueError("people: expected light = true beside more than 3, got light = false")


@takes_settings(Oven, positional=("mode", "timer"))
def bake(dish, settings, timer=None, *, bell=False):
    """Bake a dish.

    Parameters
    ----------
    dish : str
    {settings}
    timer : float
    """
    return dish, settings, timer, bell


@describes_settings(Oven)
class Baker:
    """Bakes.

    Parameters
    ----------
    {settings}
    """

    @takes_settings(Oven)
    def __init__(self, settings):
        self.settings = settings


@pytest.mark.parametrize(
    ("kind", "value", "accepted"),
    [
        (Number(), np.float32(0.5), 0.5),
        (Number(), 3, 3.0),
        (COUNT, np.int64(3), 3),
        (COUNT, 3.0, 3),
        (COUNT, 2**70 + 1, 2**70 + 1),
        (ZeroOr(minimum=2), 0, 0.0),
        (Bytes(), "8GB", 8_000_000_000),
        (Bytes(), "1.5 TiB", 3 << 39),
        (Bytes(), "512M", 512_000_000),
        (Bytes(), 4096, 4096),
        (Choice(("a", "none"), none="none"), None, "none"),
        (Switch(), np.bool_(True), True),
        (Several(COUNT), np.array([1, 2]), (1, 2)),
        (Several(COUNT, 2), [1, 2], (1, 2)),
        (Either((Choice(("a",)), COUNT)), np.array(4), 4),
        (Either((Choice(("a",)), COUNT)), "a", "a"),
    ],
)
def test_accepted_values_take_the_form_of_the_library(kind, value, accepted):
    got = kind.accept(value)
    assert got == accepted
    assert type(got) is type(accepted)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Number(), True),
        (Number(), np.nan),
        (Number(), np.inf),
        (Number(), 1j),
        (Number(), "1"),
        (Number(), 10**400),
        (Number(minimum=0, open_start=True), 0),
        (Number(maximum=1), 1.5),
        (COUNT, 1.5),
        (COUNT, 0),
        (ZeroOr(minimum=2), 1),
        (Bytes(), "eight"),
        (Bytes(), "8 GBs"),
        (Bytes(), "0GB"),
        (Bytes(), True),
        (Bytes(), -1.0),
        (ZeroOr(minimum=2), False),
        (Choice(("a",)), ["a"]),
        (Choice(("a",)), None),
        (Switch(), 1),
        (Text(), ""),
        (File(), 3),
        (Several(COUNT), []),
        (Several(COUNT), 3),
        (Several(COUNT, 2), [1, 2, 3]),
        (Several(COUNT), [1, 0]),
        (Either((Choice(("a",)), COUNT)), 0),
    ],
)
def test_other_values_are_refused(kind, value):
    with pytest.raises(ValueError):
        kind.accept(value)


def test_a_path_is_a_file(tmp_path):
    assert File().accept(tmp_path) == str(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "steam"}, r"^mode: expected one of fan, grill, got 'steam'$"),
        ({"heat": -1}, r"^heat: expected a number of at least 0, got -1$"),
        ({"racks": [0]}, r"^racks: expected a list, each an integer of at least 1, got \[0\]$"),
        ({"light": None}, r"^light: expected true or false, got None$"),
        ({"heat": 10**5000}, r"^heat: expected a number .* very many digits$"),
        ({"mode": "x" * 1000}, r"^mode: .*\.\.\. \(1002 characters\)$"),
    ],
)
def test_wrong_values_are_refused_by_name(changes, message):
    for make in (lambda: Oven(**changes), lambda: Oven().replace(**changes), lambda: bake("cake", **changes)):
        with pytest.raises(ValueError, match=message):
            make()


def test_values_are_recorded_as_json_represents_them():
    settings = Kitchen(racks=[1, 3])
    assert settings.racks == (1, 3)
    expected = {"mode": None, "heat": 180.0, "racks": [1, 3], "light": True, "people": 2}
    assert settings.as_dict() == expected
    assert settings.agreement() == {name: expected[name] for name in ("mode", "racks", "light", "people")}


def test_a_group_checks_its_settings_together():
    with pytest.raises(ValueError, match="people: expected light = true"):
        Kitchen(people=4).replace(light=False)


def test_keywords_override_settings():
    given = Oven(heat=200)
    assert bake("cake", settings=given, light=False) == ("cake", Oven(heat=200, light=False), None, False)
    assert bake("cake", "grill", 5, bell=True) == ("cake", Oven(mode="grill"), 5, True)
    assert bake("cake", timer=3)[1:3] == (Oven(), 3)
    assert Baker(settings=given, light=False).settings == Oven(heat=200, light=False)


def test_settings_of_a_larger_group_are_those_of_its_part():
    """What the larger one leaves open has the default of the part."""
    assert bake("cake", settings=Kitchen(people=3, heat=90))[1] == Oven(heat=90)
    with pytest.raises(ValueError, match="settings: expected Oven, got dict"):
        bake("cake", settings={"heat": 3})


def test_unknown_keywords_are_errors_as_of_any_function():
    with pytest.raises(TypeError, match=r"^bake\(\) got an unexpected keyword argument 'haet'$"):
        bake("cake", haet=3)
    with pytest.raises(TypeError, match=r"^Baker.__init__\(\) got an unexpected keyword argument 'haet'$"):
        Baker(haet=3)
    with pytest.raises(TypeError, match=r"^bake\(\) missing a required argument: 'dish'$"):
        bake()
    with pytest.raises(TypeError, match=r"^bake\(\) too many positional arguments$"):
        bake("cake", "fan", 3, 180)


def test_signature_and_docstring_show_the_declarations():
    assert str(inspect.signature(bake)) == (
        "(dish, mode='fan', timer=None, *, settings=None, heat=180.0, racks=None, light=True, bell=False)"
    )
    assert list(inspect.signature(Baker).parameters) == ["settings", *Oven.declared()]
    for described in (bake, Baker):
        lines = [line.strip() for line in described.__doc__.splitlines()]
        assert "{settings}" not in lines
        assert 'mode : {"fan", "grill"}, default \'fan\'' in lines
        assert lines[lines.index("heat : float, default 180.0") + 1] == "Temperature, in kelvin."
        assert "racks : sequence of int, optional" in lines


def test_flags_show_unit_and_default():
    declared = Kitchen.declared()
    assert declared["heat"].description == "temperature (in kelvin, default 180)"
    assert declared["light"].description == "switch the light on (default yes)"
    assert declared["mode"].description == "how it heats (default: fan, but grill on Sundays)"
