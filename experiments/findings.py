"""The findings of an experiment: claims with verdicts, numbers, tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from ptyxrf.experiments.claims import Claim


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes
    ----------
    title : str
    head : sequence of str
    rows : sequence of sequences
        Strings and numbers.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def records(self) -> list[dict[str, Any]]:
        """Return each row as a dictionary with the keys of the head."""
        return [dict(zip(self.head, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Picture:
    """A figure of the page, drawn when it is written.

    Attributes
    ----------
    name : str
        Last part of the file name, with the number of the figure in the paper if it has one.
    caption : str
    draw : callable
        Returns the figure.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]


@dataclass
class Findings:
    """Everything that an experiment has found.

    Attributes
    ----------
    claims : list of Claim
    tables : list of Table
    pictures : list of Picture
    numbers : dict
        All numbers of the figures, in types that JSON can represent.
    notes : list of str
        Paragraphs of the page.
    """

    claims: list[Claim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def extend(self, other: Findings) -> None:
        """Add the findings of another part of the experiment."""
        self.claims += other.claims
        self.tables += other.tables
        self.pictures += other.pictures
        self.numbers |= other.numbers
        self.notes += other.notes
