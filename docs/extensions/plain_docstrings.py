"""Docstrings as an editor shows them: bars and stars are those of formulas, and blocks are kept."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

#: Bars and stars outside of literals.
MARKS = re.compile(r"(``.*?``|`.*?`)|([|*])")
EARLIER_THAN_NUMPYDOC = 400


def readable(lines: list[str]) -> list[str]:
    """Return a docstring as reStructuredText.

    Parameters
    ----------
    lines : list of str
        Dedented, as autodoc has them.
    """
    first_section = next((n - 1 for n, line in enumerate(lines) if re.fullmatch(r"-{3,}", line)), len(lines))
    shown: list[str] = []
    in_block = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ") and number < first_section
        if indented and not in_block and not lines[number - 1].strip():
            shown += ["::", ""]
            in_block = True
        elif line.strip() and not indented:
            in_block = False
        shown.append(line if in_block or line.startswith("*") else _escaped(line))
    return shown


def _escaped(line: str) -> str:
    return MARKS.sub(lambda found: found[1] or f"\\{found[2]}", line)


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = readable(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the hook."""
    app.connect("autodoc-process-docstring", _process, priority=EARLIER_THAN_NUMPYDOC)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
