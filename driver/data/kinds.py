"""Kinds of settings: which values a setting takes, from Python, from TOML and from the command line.

Importing this module imports neither numpy nor Numba, so that the command can print its help at once.
"""

from __future__ import annotations

import math
import os
import re
from typing import Any


class Kind:
    """What values a setting takes.

    Attributes
    ----------
    expected : str
        The accepted values, for messages.
    metavar : str
        How a value is written in the help of a flag.
    annotation : str
        The type, as docstrings write it.
    """

    expected: str
    metavar: str = "VALUE"
    annotation: str

    def accept(self, value: Any) -> Any:
        """Return the value in the form that the library uses.

        Numbers and arrays of numpy become those of Python; lists become tuples.

        Raises
        ------
        ValueError
            Without a message, if the value is not accepted.
        """
        return self._accept(value.tolist() if hasattr(value, "tolist") else value)

    def _accept(self, value: Any) -> Any:
        raise NotImplementedError

    def from_text(self, text: str) -> Any:
        """Return the value that a word on the command line means; it is not checked."""
        for read in (int, float):
            try:
                return read(text)
            except ValueError:
                continue
        return {"true": True, "false": False}.get(text, text)

    def plain(self, value: Any) -> Any:
        """Return an accepted value as JSON and TOML represent it."""
        return list(value) if isinstance(value, tuple) else value


class Number(Kind):
    """A finite number between limits; `whole`: an integer; `open_start`: greater than the minimum."""

    def __init__(
        self,
        minimum: float = -math.inf,
        maximum: float = math.inf,
        *,
        whole: bool = False,
        open_start: bool = False,
    ) -> None:
        self.minimum, self.maximum, self.whole, self.open_start = minimum, maximum, whole, open_start
        self.metavar, self.annotation = ("N", "int") if whole else ("X", "float")
        limits = []
        if minimum > -math.inf:
            limits.append(f"{'above' if open_start else 'of at least'} {minimum:g}")
        if maximum < math.inf:
            limits.append(f"of at most {maximum:g}")
        self.expected = " ".join(["an integer" if whole else "a number", " and ".join(limits)]).strip()

    def _accept(self, value: Any) -> Any:
        # bool is a subclass of int, but `true` is not a number in a settings file
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError
        try:
            number = float(value)
        except OverflowError:
            raise ValueError from None
        if not self.minimum <= number <= self.maximum or math.isinf(number):
            raise ValueError
        if (self.open_start and number == self.minimum) or (self.whole and not number.is_integer()):
            raise ValueError
        return int(value) if self.whole else number


class Bytes(Kind):
    """A number of bytes, or a text with a unit."""

    expected, metavar, annotation = "bytes, or a text such as 500MB, 8GB or 1.5TB", "8GB", "int or str"

    def _accept(self, value: Any) -> Any:
        if isinstance(value, str):
            found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kMGT]?)(i?)B?\s*", value)
            if found is None:
                raise ValueError
            number, prefix, binary = found.groups()
            value = float(number) * (1024 if binary else 1000) ** ("", *"kMGT").index(prefix)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < math.inf:
            raise ValueError
        return int(value)


class ZeroOr(Number):
    """A number of at least a minimum, or 0, which turns something off."""

    def __init__(self, minimum: float) -> None:
        super().__init__(minimum)
        self.expected = f"0, or {self.expected}"

    def _accept(self, value: Any) -> Any:
        is_zero = isinstance(value, int | float) and not isinstance(value, bool) and value == 0
        return 0.0 if is_zero else super()._accept(value)


class Choice(Kind):
    """One of a few words; `none` is the word that Python's None means, if there is one."""

    def __init__(self, words: tuple[str, ...], none: str | None = None) -> None:
        self.words, self.none = words, none
        self.metavar = "{" + ",".join(words) + "}"
        self.annotation = "{" + ", ".join(f'"{word}"' for word in words) + "}"
        self.expected = "one of " + ", ".join(words)

    def _accept(self, value: Any) -> Any:
        if value is None and self.none is not None:
            return self.none
        if not isinstance(value, str) or value not in self.words:
            raise ValueError
        return value

    def from_text(self, text: str) -> Any:
        """Return the word itself."""
        return text


class Switch(Kind):
    """True or false; `hint` is added to the message about other values."""

    annotation = "bool"

    def __init__(self, hint: str = "") -> None:
        self.expected = f"true or false ({hint})" if hint else "true or false"

    def _accept(self, value: Any) -> Any:
        if not isinstance(value, bool):
            raise ValueError
        return value


class Text(Kind):
    """A text that is not empty."""

    expected, metavar, annotation = "a text", "TEXT", "str"

    def _accept(self, value: Any) -> Any:
        if not isinstance(value, str) or not value:
            raise ValueError
        return value

    def from_text(self, text: str) -> Any:
        """Return the word itself."""
        return text


class File(Text):
    """The path of a file."""

    expected, metavar, annotation = "the path of a file", "FILE", "path-like"

    def _accept(self, value: Any) -> Any:
        return super()._accept(os.fspath(value) if isinstance(value, os.PathLike) else value)


class Several(Kind):
    """A list of values of one kind, of any length or of `count`; on the command line with commas."""

    def __init__(self, item: Kind, count: int | None = None) -> None:
        self.item, self.count = item, count
        self.metavar = ",".join([item.metavar] * count) if count else f"{item.metavar},..."
        self.annotation = f"sequence of {item.annotation}"
        self.expected = f"a list{f' of {count}' if count else ''}, each {item.expected}"

    def _accept(self, value: Any) -> Any:
        if not isinstance(value, list | tuple) or not value or self.count not in (None, len(value)):
            raise ValueError
        return tuple(self.item.accept(entry) for entry in value)

    def from_text(self, text: str) -> Any:
        """Return the values between the commas."""
        return [self.item.from_text(word.strip()) for word in text.split(",")]


class Either(Kind):
    """The first of some kinds that accepts the value."""

    def __init__(self, kinds: tuple[Kind, ...], metavar: str = "VALUE") -> None:
        self.kinds, self.metavar = kinds, metavar
        self.annotation = " or ".join(kind.annotation for kind in kinds)
        self.expected = ", or ".join(kind.expected for kind in kinds)

    def _accept(self, value: Any) -> Any:
        for kind in self.kinds:
            try:
                return kind.accept(value)
            except ValueError:
                continue
        raise ValueError

    def from_text(self, text: str) -> Any:
        """Return the value that a word means; a word with commas is a list."""
        lists = [kind for kind in self.kinds if isinstance(kind, Several)]
        return lists[0].from_text(text) if "," in text and lists else super().from_text(text)


POSITIVE = Number(minimum=0.0, open_start=True)
NOT_NEGATIVE = Number(minimum=0.0)
COUNT = Number(minimum=1, whole=True)
COUNT_OR_ZERO = Number(minimum=0, whole=True)
