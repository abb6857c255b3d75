"""Settings declared once: a frozen dataclass for each subject, whose fields carry kind, unit and help.

Checks, flags of the command, tables of a settings file, signatures, docstrings, the record in a result and
the agreement of a checkpoint all come from these declarations.
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, TypeVar

from ptyxrf.driver.data.kinds import Kind

Answer = TypeVar("Answer")
Described = TypeVar("Described")
Group = TypeVar("Group", bound="SettingsGroup")

#: Longest value that a message repeats, in characters.
LONGEST_SHOWN = 200


@dataclass(frozen=True)
class Setting:
    """The declaration of one setting.

    Attributes
    ----------
    default : object
        None: left open; `help` says what that means.
    kind : Kind
        The values that are accepted.
    help : str
        What the setting does: a phrase that starts with a small letter and ends without a full stop.
    unit : str
        Unit of the value; empty for a number without one.
    path : bool
        Whether the iterations depend on it, so that a run that resumes has to have the same value.
    """

    default: Any
    kind: Kind
    help: str
    unit: str = ""
    path: bool = True

    def checked(self, name: str, value: Any) -> Any:
        """Return a value in the form that the library uses.

        Parameters
        ----------
        name : str
            What the message calls the setting: its name, its flag, or its place in a file.
        value : object

        Raises
        ------
        ValueError
            Naming the setting, what was expected and what came.
        """
        if value is None and self.default is None:
            return None
        try:
            return self.kind.accept(value)
        except ValueError:
            raise ValueError(f"{name}: expected {self.kind.expected}, got {shown(value)}") from None

    @property
    def description(self) -> str:
        """The help of a flag: with the unit and the default where there is one."""
        notes = [f"in {self.unit}"] if self.unit else []
        if self.default is True:
            notes.append("default yes")
        elif self.default is not None and self.default is not False:
            default = self.default
            notes.append(f"default {default:g}" if isinstance(default, float) else f"default {default}")
        return f"{self.help} ({', '.join(notes)})" if notes else self.help


def shown(value: Any) -> str:
    """Return a value as a message shows it: on one line and not too long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write integers of more than some thousand digits
        return "an integer of very many digits"
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}... ({len(text)} characters)"


def setting(default: Any, kind: Kind, help: str, *, unit: str = "", path: bool = True) -> Any:
    """Return a field of a `SettingsGroup`; see `Setting` for the parameters."""
    return field(default=default, metadata={"setting": Setting(default, kind, help, unit, path)})


def redeclared(group: type[SettingsGroup], name: str, default: Any, meaning: str = "") -> Any:
    """Return a field of a base class with another default.

    Parameters
    ----------
    group : type
        The base class that declares the setting.
    name : str
    default : object
    meaning : str
        What a default of None means, to be added to the help.
    """
    declared = group.declared()[name]
    help = f"{declared.help} (default: {meaning})" if meaning else declared.help
    return field(default=default, metadata={"setting": replace(declared, default=default, help=help)})


@dataclass(frozen=True, kw_only=True)
class SettingsGroup:
    """Base of the settings of a subject, whose subclasses are frozen dataclasses of `setting` fields.

    A group of several subjects inherits from the group of each, so that names are unique and flat.

    Raises
    ------
    ValueError
        When it is made: naming the setting, what was expected and what came.
    """

    def __post_init__(self) -> None:
        for name, declaration in self.declared().items():
            # the only way to normalise a field of a frozen dataclass
            object.__setattr__(self, name, declaration.checked(name, getattr(self, name)))
        self.check()

    def check(self) -> None:
        """Check what settings demand of each other; subclasses extend it."""

    @classmethod
    def declared(cls) -> dict[str, Setting]:
        """Return the declarations by name, those of base classes first."""
        return {entry.name: entry.metadata["setting"] for entry in fields(cls)}

    def replace(self, **changes: Any) -> Self:
        """Return the settings with some of them changed."""
        return replace(self, **changes)

    def part(self, group: type[Group]) -> Group:
        """Return the settings of one of the base classes, with its defaults where these are left open."""
        values = {name: getattr(self, name) for name in group.declared()}
        return group(**{name: value for name, value in values.items() if value is not None})

    def as_dict(self) -> dict[str, Any]:
        """Return all settings by name, as JSON and TOML represent them; None where one is left open."""
        return {
            name: None if getattr(self, name) is None else declaration.kind.plain(getattr(self, name))
            for name, declaration in self.declared().items()
        }

    def agreement(self) -> dict[str, Any]:
        """Return the settings on which the iterations depend, as `as_dict` does."""
        declared = self.declared()
        return {name: value for name, value in self.as_dict().items() if declared[name].path}


def takes_settings(
    group: type[SettingsGroup], positional: Sequence[str] = ()
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Let a function take the settings of a group as keywords.

    The function is written with a parameter ``settings``. Callers give it as ``settings=``, which defaults
    to the group's defaults, and override single settings by keywords. The signature shows the keywords with
    their defaults; the docstring describes them in place of a line ``{settings}``. For a class this decorates
    ``__init__``, and `describes_settings` the class.

    Parameters
    ----------
    group : type
        Subclass of `SettingsGroup`.
    positional : sequence of str
        Settings, or parameters that follow ``settings``, that may be given by position after the parameters
        that precede ``settings``.

    Raises
    ------
    TypeError
        When the function is called with an unknown keyword.
    ValueError
        When it is called with a wrong value, or with ``settings`` of another class.
    """

    def decorate(function: Callable[..., Answer]) -> Callable[..., Answer]:
        signature = _signature(function, group, positional)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Answer:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise TypeError(f"{function.__qualname__}() {error}") from None
            settings = given.pop("settings", None)
            overrides = {name: given.pop(name) for name in group.declared() if name in given}
            comm = given.get("comm")
            if comm is None:
                return function(**given, settings=_settings_of(group, settings, overrides))
            # imported where it is needed: the command's help must not wait for numpy
            from ptyxrf.parallel.agreement import check_communicator
            from ptyxrf.parallel.startup import agreed

            check_communicator(comm)
            chosen = agreed(comm, lambda: _settings_of(group, settings, overrides))
            return function(**given, settings=chosen)

        call.__signature__ = signature  # type: ignore[attr-defined]
        return describes_settings(group)(call)

    return decorate


def _settings_of(group: type[Group], settings: Any, overrides: dict[str, Any]) -> Group:
    """Return the settings of a call."""
    if settings is None:
        settings = group()
    elif not isinstance(settings, group):
        raise ValueError(f"settings: expected {group.__name__}, got {type(settings).__name__}")
    return settings.part(group).replace(**overrides)


def describes_settings(group: type[SettingsGroup]) -> Callable[[Described], Described]:
    """Put the parameters of a group in place of a line ``{settings}`` of a docstring."""

    def decorate(described: Described) -> Described:
        if described.__doc__:  # python -OO has none
            lines = described.__doc__.splitlines()
            place = next((n for n, line in enumerate(lines) if line.strip() == "{settings}"), None)
            if place is not None:
                indent = lines[place][: lines[place].index("{")]
                lines[place : place + 1] = [indent + line for line in _parameters(group)]
            described.__doc__ = "\n".join(lines)
        return described

    return decorate


def _signature(
    function: Callable[..., Any], group: type[SettingsGroup], positional: Sequence[str]
) -> inspect.Signature:
    own = inspect.signature(function)
    names = list(own.parameters)
    leading = [own.parameters[name] for name in names[: names.index("settings")]]
    others = {name: own.parameters[name] for name in names[names.index("settings") + 1 :]}
    keywords = {"settings": inspect.Parameter("settings", inspect.Parameter.KEYWORD_ONLY, default=None)}
    for name, declaration in group.declared().items():
        keywords[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=declaration.default)
    keywords |= others
    first = [keywords.pop(name).replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in positional]
    rest = [entry.replace(kind=inspect.Parameter.KEYWORD_ONLY) for entry in keywords.values()]
    return own.replace(parameters=[*leading, *first, *rest])


def _parameters(group: type[SettingsGroup]) -> list[str]:
    """Return the lines of a numpydoc section about the settings of a group."""
    lines = [
        f"settings : {group.__name__}, optional",
        "    Values of all of the following; keywords override them.",
    ]
    for name, declaration in group.declared().items():
        optional = "optional" if declaration.default is None else f"default {declaration.default!r}"
        lines.append(f"{name} : {declaration.kind.annotation}, {optional}")
        unit = f", in {declaration.unit}" if declaration.unit else ""
        sentence = f"{declaration.help[:1].upper()}{declaration.help[1:]}{unit}."
        lines += textwrap.wrap(sentence, 96, initial_indent="    ", subsequent_indent="    ")
    return lines
