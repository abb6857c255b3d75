"""Calibrations: the sensitivity of a fluorescence detector for each element, in TOML."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence

from ptyxrf.driver.data.checks import positive
from ptyxrf.driver.files.file_errors import DamagedFile
from ptyxrf.driver.files.whole_file import whole_file


def read_calibration(path: str | os.PathLike[str], table: str = "sensitivity") -> dict[str, float]:
    """Return the sensitivity of each element of a calibration file, or its standard error (table "error").

    Raises
    ------
    DamagedFile
        The file is no TOML with such a table of positive numbers.
    """
    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)
        entries = tables.get(table, {}) if table == "error" else tables[table]  # errors may be left out
        return {str(element): positive(element, value) for element, value in entries.items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise DamagedFile(path, f"expected a calibration, a table [{table}] in TOML ({error})") from None


def calibration_of(
    given: str | Sequence[float] | None, elements: Sequence[str]
) -> dict[str, list[float] | None]:
    """Return sensitivities and their errors as arguments of a `Scan`; None where they are not known.

    Parameters
    ----------
    given : str, sequence of float, or None
        A calibration file, or sensitivities.
    elements : sequence of str

    Raises
    ------
    ValueError
        The file has no such element.
    """
    if not isinstance(given, str):
        return {"sensitivity": None if given is None else list(given), "sensitivity_error": None}
    known, errors = read_calibration(given), read_calibration(given, "error")
    for element in elements:
        if element not in known:
            raise ValueError(f"sensitivity: expected {element!r} in {given}, got {', '.join(known)}")
    complete = set(elements) <= set(errors)
    return {
        "sensitivity": [known[element] for element in elements],
        "sensitivity_error": [errors[element] for element in elements] if complete else None,
    }


def write_calibration(
    path: str | os.PathLike[str], sensitivity: Mapping[str, tuple[float, float]], notes: Sequence[str]
) -> None:
    """Write a calibration, whole or not at all.

    Parameters
    ----------
    path : path-like
    sensitivity : mapping
        Element -> sensitivity and its standard error.
    notes : sequence of str
        Comments at the top.
    """
    lines = [f"# {note}" for note in notes]
    for k, table in enumerate(("sensitivity", "error")):
        lines += ["", f"[{table}]"] + [
            f'"{element}" = {pair[k]:.8g}' for element, pair in sensitivity.items()
        ]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
