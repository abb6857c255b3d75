"""Calibrations: the sensitivity of a fluorescence detector for each element, in TOML."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence

from ptyxrf.driver.data.checks import positive
from ptyxrf.driver.files.file_errors import DamagedFile
from ptyxrf.driver.files.whole_file import whole_file


def read_calibration(path: str | os.PathLike[str]) -> dict[str, float]:
    """Return the sensitivity of each element of a calibration file.

    Raises
    ------
    DamagedFile
        The file is no TOML with a table ``[sensitivity]`` of positive numbers.
    """
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)["sensitivity"]
        return {str(element): positive(element, value) for element, value in table.items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise DamagedFile(path, f"expected a calibration, a table [sensitivity] in TOML ({error})") from None


def sensitivities_of(given: str | Sequence[float] | None, elements: Sequence[str]) -> list[float] | None:
    """Return sensitivities of elements: given as numbers, or in a calibration file; None where they are not.

    Raises
    ------
    ValueError
        The file has no such element.
    """
    if given is None:
        return None
    if not isinstance(given, str):
        return list(given)
    known = read_calibration(given)
    for element in elements:
        if element not in known:
            raise ValueError(f"sensitivity: expected {element!r} in {given}, got {', '.join(known)}")
    return [known[element] for element in elements]


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
