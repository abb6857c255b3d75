"""Texts of users and files as text: what a terminal, a file or a picture might take for more is removed."""

from __future__ import annotations

import unicodedata

#: Characters of a name or a title; longer ones are cut.
LONGEST = 200

#: Classes of characters that are no text: control, format, surrogate, private and unassigned ones.
NO_TEXT = ("Cc", "Cf", "Cs", "Co", "Cn")


def plain(text: str, most: int = LONGEST) -> str:
    """Return a text on one line, without characters that do not show.

    Parameters
    ----------
    text : str
    most : int
        Characters that are left of a longer one.
    """
    shown = "".join(" " if unicodedata.category(each) in NO_TEXT else each for each in text[: 4 * most])
    line = " ".join(shown.split())
    return line if len(line) <= most else line[: most - 1] + "…"
