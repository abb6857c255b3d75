"""What a preparation has found in the data: a line each, with the setting that overrides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Findings:
    """Lines about what was found, and the values of the settings that were left open.

    Parameters
    ----------
    report : callable, optional
        Gets each line when it is found.

    Attributes
    ----------
    lines : list of str
    values : dict
        Name of a setting -> what would have to be given to get the same.
    """

    report: Callable[[str], None] | None = None
    lines: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def tell(self, setting: str, text: str, value: Any = None) -> None:
        """Note what was found for a setting."""
        self.lines.append(f"{setting}: {text}")
        if value is not None:
            self.values[setting] = value
        if self.report is not None:
            self.report(self.lines[-1])
