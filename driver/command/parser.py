"""The parser of the command: subcommands, and flags that follow the declarations of settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NoReturn

from ptyxrf.driver.command.settings_file import read_settings
from ptyxrf.driver.command.tables import TABLES
from ptyxrf.driver.data.kinds import Switch
from ptyxrf.driver.data.setting import Group, SettingsGroup


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ValueErrors, so that they end like all other bad input."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


@dataclass(frozen=True)
class Subcommand:
    """A subcommand.

    Attributes
    ----------
    name, usage, help, description : str
        Of the help.
    arguments : callable
        Adds the arguments to a parser.
    run : callable
        Given the parsed arguments, with the communicator as ``comm``; returns the exit code.
    """

    name: str
    usage: str
    help: str
    description: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def make_parser(subcommands: Sequence[Subcommand]) -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = _Parser(
        prog="ptyxrf",
        description="Joint reconstruction of X-ray ptychography and X-ray fluorescence.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ptyxrf {version('ptyxrf')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for entry in subcommands:
        sub = commands.add_parser(
            entry.name,
            usage=f"ptyxrf {entry.name} {entry.usage}",
            help=entry.help,
            description=entry.description,
            allow_abbrev=False,
        )
        entry.arguments(sub)
        sub.set_defaults(run=entry.run)
    return parser


def flag_name(key: str) -> str:
    """Return the flag of a setting: ``max_sweeps`` -> ``--max-sweeps``."""
    return "--" + key.replace("_", "-")


def add_settings(parser: argparse.ArgumentParser, title: str, group: type[SettingsGroup]) -> None:
    """Give the parser a flag for every setting of a group; a flag that is not given is None."""
    section = parser.add_argument_group(title)
    for key, declared in group.declared().items():
        options: dict[str, Any] = {"dest": key, "default": None}
        options["help"] = declared.description.replace("%", "%%")
        if isinstance(declared.kind, Switch):
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["metavar"] = declared.kind.metavar
        section.add_argument(flag_name(key), **options)


def add_settings_file(parser: argparse.ArgumentParser) -> None:
    """Give the parser the flags ``--settings`` and ``--show-settings``."""
    parser.add_argument("--settings", metavar="FILE", help="settings in TOML; flags override them")
    parser.add_argument(
        "--show-settings", action="store_true", help="write the settings that would be used as TOML, and end"
    )


def from_flags(group: type[SettingsGroup], options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of a group that are given as flags.

    Raises
    ------
    ValueError
        Naming the flag, what was expected and what came.
    """
    given = {}
    for key, declared in group.declared().items():
        value = getattr(options, key)
        if value is not None:
            value = declared.kind.from_text(value) if isinstance(value, str) else value
            given[key] = declared.checked(flag_name(key), value)
    return given


def settings_of(group: type[Group], options: argparse.Namespace) -> Group:
    """Return the settings of a group that has no table in settings files: flags over defaults."""
    return group(**from_flags(group, options))


def effective_settings(options: argparse.Namespace, *tables: str) -> list[Any]:
    """Return the settings of some tables: flags over the settings file over the defaults.

    Raises
    ------
    ValueError
        Naming the flag, or file and key, what was expected and what came.
    """
    from_file = read_settings(options.settings) if options.settings is not None else {}
    return [
        TABLES[table](**from_file.get(table, {}) | from_flags(TABLES[table], options)) for table in tables
    ]
