"""The pages of the reference name everything that they are about."""

import re
from pathlib import Path

import ptyxrf
from ptyxrf.driver.command.main import SUBCOMMANDS
from ptyxrf.driver.command.tables import TABLES
from ptyxrf.experiments.command import COMMAND

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def words_of(page, pattern):
    """Return what a pattern finds in a page, each once."""
    found = re.findall(pattern, (REFERENCE / page).read_text(encoding="utf-8"), re.M)
    assert len(found) == len(set(found))
    return set(found)


def test_every_public_name():
    assert words_of("python.md", r"^   (\w+)$") == set(ptyxrf.__all__)


def test_every_subcommand():
    expected = {command.name for command in (*SUBCOMMANDS, COMMAND)} | {"ptyxrf"}
    assert words_of("command.md", r"^```\{command-help\} (\w+)$") == expected


def test_every_table_of_settings():
    assert words_of("settings.md", r"^```\{settings-table\} (\w+)$") == set(TABLES)
