"""Settings files: TOML that is read with every key and value checked, and written to be read back."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ptyxrf.driver.command.tables import MOVED, TABLES
from ptyxrf.driver.data.setting import SettingsGroup, shown
from ptyxrf.driver.files.file_errors import require_file


def read_settings(path: str | Path) -> dict[str, dict[str, Any]]:
    """Read a settings file and check every key and value in it.

    Parameters
    ----------
    path : path
        A TOML file with any of the tables of `TABLES`.

    Returns
    -------
    dict
        Table name -> {key: value}, only what the file sets.

    Raises
    ------
    ValueError
        For what is not TOML, an unknown table or key (with the nearest known one), or a wrong value.
    OSError
        If the file cannot be read.
    """
    try:
        # editors on Windows begin a file with a byte order mark
        require_file(path)
        tables = tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # TOML, its encoding, a number of 5000 digits
        raise ValueError(f"{path}: expected settings in TOML, got {error}") from None
    settings: dict[str, dict[str, Any]] = {}
    for table, entries in tables.items():
        _check_table(str(path), table, entries)
        settings.setdefault(table, {})
        for key, value in entries.items():
            home = MOVED.get((table, key), table)
            declared = TABLES[home].declared()
            if key not in declared:
                raise _unknown("key", key, declared, f"{path}: [{table}]")
            checked = declared[key].checked(f"{path}: [{table}] {key}", value)
            if home == table or key not in tables.get(home, {}):
                settings.setdefault(home, {})[key] = checked
    return settings


def _check_table(path: str, table: str, entries: Any) -> None:
    if table not in TABLES:
        for home, group in TABLES.items():
            if table in group.declared():
                raise ValueError(f"{path}: unknown table {table!r} (it is a key of the table [{home}])")
        raise _unknown("table", table, TABLES, path)
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: expected a table [{table}], got {table} = {shown(entries)}")


def _unknown(what: str, name: str, known: Iterable[str], where: str) -> ValueError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(known)
    return ValueError(f"{where}: unknown {what} {name!r} ({hint})")


def settings_text(settings: Mapping[str, SettingsGroup]) -> str:
    """Return tables of settings as the TOML text that `read_settings` reads back to the same values.

    A setting that is left open becomes a comment, because TOML has no word for it.
    """
    lines = []
    for table, group in settings.items():
        lines.append(f"[{table}]")
        for key, value in group.as_dict().items():
            lines.append(f"# {key} is not set" if value is None else f"{key} = {_toml(value)}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        # settings are finite: repr gives 0.5 or 1e-06, which TOML reads, and never inf or nan
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    # a JSON string is a basic string of TOML, except that JSON leaves DEL as it is
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
