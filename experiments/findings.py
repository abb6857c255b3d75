"""What an experiment gives: claims with verdicts, numbers, tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from ptyxrf.experiments.claims import Claim


@dataclass(frozen=True)
class Table:
    """A table for the page.

    Attributes
    ----------
    title : str
    head : sequence of str
    rows : sequence of sequences
        Texts and numbers.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def records(self) -> list[dict[str, Any]]:
        """Return each row as a dictionary by the names of the head."""
        return [dict(zip(self.head, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Picture:
    """A figure for the page, drawn when it is written.

    Attributes
    ----------
    name : str
        Ending of the file's name, the paper's number where it has one.
    caption : str
    draw : callable
        Returns the figure.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]


@dataclass
class Outcome:
    """The outcome of an experiment.

    Attributes
    ----------
    claims : list of Claim
    tables : list of Table
    pictures : list of Picture
    numbers : dict
        Every number behind the figures, as JSON has them.
    notes : list of str
        Sentences for the page.
    """

    claims: list[Claim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def extend(self, other: Outcome) -> None:
        """Add what another outcome has."""
        self.claims += other.claims
        self.tables += other.tables
        self.pictures += other.pictures
        self.numbers |= other.numbers
        self.notes += other.notes
