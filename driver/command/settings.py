"""Settings: what a TOML file may hold, how its values are checked, and how flags override them.

One table per subject (`TABLES`) describes every setting once: its kind, its default and its help. The
reader of the TOML file, the flags of the command and the writer of the effective settings all follow it.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptyxrf.driver.job.watchdog import DEFAULT_SECONDS, SHORTEST_SECONDS


class Kind:
    """What values a setting takes: `accept` checks one, `from_text` reads one from the command line."""

    @property
    def expected(self) -> str:
        """What is taken, for messages."""
        raise NotImplementedError

    @property
    def metavar(self) -> str:
        """How a value is written in the help of a flag."""
        return "VALUE"

    def accept(self, value: Any) -> Any:
        """Return the value as the library takes it; raise ValueError for one that it does not take."""
        raise NotImplementedError

    def from_text(self, text: str) -> Any:
        """Return the value that a word on the command line stands for, not yet checked."""
        return _literal(text)


def _literal(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


@dataclass(frozen=True)
class Number(Kind):
    """A finite number within limits; with `whole`, an integer; with `open_start`, above the minimum."""

    minimum: float = -math.inf
    maximum: float = math.inf
    whole: bool = False
    open_start: bool = False

    @property
    def metavar(self) -> str:
        """How a value is written in the help of a flag."""
        return "N" if self.whole else "X"

    @property
    def expected(self) -> str:
        """What is taken, for messages."""
        kind = "an integer" if self.whole else "a number"
        limits = []
        if self.minimum > -math.inf:
            limits.append(f"{'above' if self.open_start else 'of at least'} {self.minimum:g}")
        if self.maximum < math.inf:
            limits.append(f"of at most {self.maximum:g}")
        return " ".join([kind, " and ".join(limits)]).strip()

    def accept(self, value: Any) -> Any:
        """Return the value, or raise ValueError."""
        # bool is an int to Python, but true is not a number in a settings file.
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            raise ValueError
        try:
            value = value if self.whole else float(value)
        except OverflowError:
            raise ValueError from None
        if not self.minimum <= value <= self.maximum or abs(value) == math.inf:
            raise ValueError
        if self.open_start and value == self.minimum:
            raise ValueError
        return value


@dataclass(frozen=True)
class ZeroOr(Number):
    """A number within limits, or 0 for what is off."""

    @property
    def expected(self) -> str:
        """What is taken, for messages."""
        return f"0, or {super().expected}"

    def accept(self, value: Any) -> Any:
        """Return the value, or raise ValueError."""
        is_zero = isinstance(value, int | float) and not isinstance(value, bool) and value == 0
        return 0.0 if is_zero else super().accept(value)


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def metavar(self) -> str:
        """How a value is written in the help of a flag."""
        return "{" + ",".join(self.words) + "}"

    @property
    def expected(self) -> str:
        """What is taken, for messages."""
        return "one of " + ", ".join(self.words)

    def accept(self, value: Any) -> Any:
        """Return the value, or raise ValueError."""
        if value not in self.words:
            raise ValueError
        return value

    def from_text(self, text: str) -> Any:
        """Return the value that a word stands for."""
        return text


class Switch(Kind):
    """True or false."""

    expected = "true or false"

    def accept(self, value: Any) -> Any:
        """Return the value, or raise ValueError."""
        if not isinstance(value, bool):
            raise ValueError
        return value


class Text(Kind):
    """Any text but none at all."""

    expected = "a text"
    metavar = "TEXT"

    def accept(self, value: Any) -> Any:
        """Return the value, or raise ValueError."""
        if not isinstance(value, str) or not value:
            raise ValueError
        return value

    def from_text(self, text: str) -> Any:
        """Return the value that a word stands for."""
        return text


class File(Text):
    """The path of a file."""

    expected = "the path of a file"
    metavar = "FILE"


@dataclass(frozen=True)
class Several(Kind):
    """A list of values of one kind; on the command line a word with commas."""

    item: Kind

    @property
    def metavar(self) -> str:
        """How a value is written in the help of a flag."""
        return f"{self.item.metavar},..."

    @property
    def expected(self) -> str:
        """What is taken, for messages."""
        return f"a list, each {self.item.expected}"

    def accept(self, value: Any) -> Any:
        """Return the value, or raise ValueError."""
        if not isinstance(value, list) or not value:
            raise ValueError
        return [self.item.accept(entry) for entry in value]

    def from_text(self, text: str) -> Any:
        """Return the value that a word stands for."""
        return [self.item.from_text(word.strip()) for word in text.split(",")]


@dataclass(frozen=True)
class Either(Kind):
    """The first of some kinds that takes the value."""

    kinds: tuple[Kind, ...]
    metavar: str = "VALUE"

    @property
    def expected(self) -> str:
        """What is taken, for messages."""
        return ", or ".join(kind.expected for kind in self.kinds)

    def accept(self, value: Any) -> Any:
        """Return the value, or raise ValueError."""
        for kind in self.kinds:
            try:
                return kind.accept(value)
            except ValueError:
                continue
        raise ValueError

    def from_text(self, text: str) -> Any:
        """Return the value that a word stands for."""
        if "," in text:
            lists = [kind for kind in self.kinds if isinstance(kind, Several)]
            if lists:
                return lists[0].from_text(text)
        return _literal(text)


@dataclass(frozen=True)
class Setting:
    """One setting: what it takes, what it is when nobody sets it (None: left open), and what it does."""

    kind: Kind
    default: Any
    help: str


POSITIVE = Number(minimum=0.0, open_start=True)
NOT_NEGATIVE = Number(minimum=0.0)
COUNT = Number(minimum=1, whole=True)
OFF_OR_SECONDS = ZeroOr(minimum=SHORTEST_SECONDS)

RECONSTRUCT = {
    "method": Setting(
        Choice(("joint", "ptychography", "fluorescence")),
        "joint",
        "which data are reconstructed: both, or one",
    ),
    "alpha": Setting(
        Either(
            (Choice(("statistical", "gradnorm")), NOT_NEGATIVE, Several(NOT_NEGATIVE)),
            "{statistical,gradnorm,X,X,...}",
        ),
        "statistical",
        "weight of the fluorescence: maximum likelihood, balance of gradients (as in the paper), or numbers",
    ),
    "alpha_scale": Setting(NOT_NEGATIVE, 1.0, "factor on alpha"),
    "curvature": Setting(
        Choice(("full", "gauss-newton", "positive")),
        None,
        "which Hessian truncated Newton uses (default positive; full for the paper's solver)",
    ),
    "precision": Setting(Choice(("single", "double")), "single", "precision of the fields"),
    "refine_probe": Setting(
        Either((Switch(), Number(minimum=0, whole=True)), "[ITER]"),
        False,
        "refine the probe too, from the start or from outer iteration ITER",
    ),
    "rescale_probe": Setting(
        Switch(),
        None,
        "scale the given probe so that the start explains the mean count (default: when it is refined)",
    ),
    "link": Setting(Choice(("linear",)), "linear", "how the element maps enter the object"),
    "link_offset": Setting(Number(), 0.0, "imaginary part of the object where there is no element"),
    "nonnegative": Setting(Switch(), True, "keep the element maps non-negative"),
    "max_iterations": Setting(Number(minimum=0, whole=True), 100, "stop after N outer iterations"),
    "max_sweeps": Setting(NOT_NEGATIVE, None, "stop after X sweeps over all positions"),
    "max_seconds": Setting(NOT_NEGATIVE, None, "stop after X seconds"),
    "inner_limit": Setting(
        COUNT,
        None,
        "at most N steps inside one iteration: quasi-Newton steps (default 10) or Hessian products (15; 50 "
        "for the paper's solver)",
    ),
    "gradient_tolerance": Setting(NOT_NEGATIVE, 1e-6, "stop when the gradient has fallen to this fraction"),
    "loss_tolerance": Setting(
        NOT_NEGATIVE, 1e-4, "stop when the loss falls by less than this fraction in three iterations running"
    ),
    "noise_stop": Setting(
        Switch(), True, "stop when the data are fitted to within their noise, where the scan tells it"
    ),
    "fluorescence_first": Setting(
        Switch(),
        None,
        "start the joint method with the maps of the fluorescence alone (default: yes, but not for the "
        "paper's solver)",
    ),
    "preconditioner": Setting(
        Switch(), None, "precondition the inner iteration (default: yes, but not for the paper's solver)"
    ),
    "solver": Setting(
        Choice(("quasi-newton", "newton", "paper")),
        None,
        "limited-memory BFGS (default), truncated Newton (default for fluorescence alone), or the latter as "
        "in the paper",
    ),
    "memory": Setting(
        Choice(("cached", "low")),
        None,
        "keep each position's state for Hessian products, or compute it again (default: keep it where the "
        "solver makes products)",
    ),
    "checkpoint_seconds": Setting(
        NOT_NEGATIVE, 300.0, "write a checkpoint after the first iteration that ends X seconds after the last"
    ),
    "checkpoint_iterations": Setting(
        Number(minimum=0, whole=True), 0, "write a checkpoint every N iterations too; 0: do not"
    ),
    "watchdog_seconds": Setting(
        OFF_OR_SECONDS,
        DEFAULT_SECONDS,
        "end the job when a rank gives no sign of life for X seconds; 0: wait without end",
    ),
}

FILES = {
    "out": Setting(File(), None, "where the result goes; the report stands beside it"),
    "report": Setting(Switch(), True, "draw a picture beside the result"),
    "keep_checkpoint": Setting(Switch(), False, "leave the checkpoints there when the result is written"),
    "maps": Setting(File(), None, "MAPS file whose count maps are the fluorescence of the scan"),
    "elements": Setting(Several(Text()), None, "which elements of the MAPS file, and in which order"),
    "attenuation": Setting(
        Several(Number()), None, "attenuation in the link of each element of the MAPS file"
    ),
    "match": Setting(
        Choice(("order", "nearest", "bilinear")),
        None,
        "how points of the MAPS file are found for the positions",
    ),
    "swap": Setting(Switch(), False, "the file's positions have rows and columns exchanged"),
    "flip_rows": Setting(Switch(), False, "the file's positions run the other way along the rows' index"),
    "flip_columns": Setting(
        Switch(), False, "the file's positions run the other way along the columns' index"
    ),
}

ONE_OR_SEVERAL = Either((POSITIVE, Several(POSITIVE)), "X[,X,...]")
NOISE = Either((Choice(("counting",)), NOT_NEGATIVE), "{counting,X}")

SIMULATE = {
    "specimen": Setting(Choice(("cells", "star")), "cells", "procedural specimen"),
    "magnitude": Setting(
        File(), None, "image whose grey values are the object's magnitude, in place of a specimen"
    ),
    "phase": Setting(File(), None, "image whose grey values are the object's phase, beside magnitude"),
    "real": Setting(
        File(), None, "image whose grey values are the object's real part, in place of a specimen"
    ),
    "imaginary": Setting(
        File(), None, "image whose grey values are the object's imaginary part, beside real"
    ),
    "n": Setting(COUNT, None, "edge of the object grid in pixels (default: what the positions cover)"),
    "elements": Setting(COUNT, None, "number of elements of a procedural specimen (default 1)"),
    "attenuation": Setting(
        Either((Number(), Several(Number())), "X[,X,...]"), None, "attenuation of each element in the link"
    ),
    "link_offset": Setting(Number(), 0.0, "imaginary part of the object where there is no element"),
    "m": Setting(Number(minimum=2, whole=True), None, "edge of a pattern in pixels (default 64)"),
    "modes": Setting(COUNT, None, "number of probe modes (default 1)"),
    "energy_keV": Setting(POSITIVE, None, "photon energy in keV (default 8.8)"),
    "pixel_size": Setting(POSITIVE, None, "pixel of the object grid in metres (default 25e-9)"),
    "outermost_zone_width": Setting(POSITIVE, None, "of the zone plate, in metres"),
    "diameter": Setting(POSITIVE, None, "of the zone plate, in metres"),
    "central_stop": Setting(NOT_NEGATIVE, None, "diameter of the zone plate's central stop in metres"),
    "defocus": Setting(Number(), None, "distance from the focus to the specimen in metres"),
    "path": Setting(Choice(("raster", "snake", "spiral", "random")), "raster", "kind of scan"),
    "per_side": Setting(
        Either((COUNT, Several(COUNT)), "N[,N]"), 8, "positions along rows and columns (one number: both)"
    ),
    "overlap": Setting(
        Number(minimum=0.0, maximum=1.0), None, "1 - step/m (default: even positions over n, else 0.5)"
    ),
    "step": Setting(POSITIVE, None, "step in pixels, in place of the overlap"),
    "margin": Setting(Number(minimum=0, whole=True), 0, "pixels left around the outermost windows"),
    "jitter": Setting(
        NOT_NEGATIVE, None, "random displacement as a fraction of the step (default 0; random path 0.5)"
    ),
    "fractional": Setting(Switch(), False, "keep fractions of pixels in the positions"),
    "sampling": Setting(
        Choice(("grid", "scan", "none")), "grid", "fluorescence on the object grid, at the positions, or none"
    ),
    "blur": Setting(
        Choice(("convolution", "correlation")), "convolution", "how grid maps are blurred by the probe"
    ),
    "sensitivity": Setting(ONE_OR_SEVERAL, 1.0, "counts per photon and unit of an element"),
    "background": Setting(
        Either((NOT_NEGATIVE, Several(NOT_NEGATIVE)), "X[,X,...]"),
        0.0,
        "counts that do not come from the specimen",
    ),
    "photons": Setting(POSITIVE, None, "mean counts per pattern pixel (default: the probe as it is)"),
    "noise": Setting(NOISE, 0.03, "relative noise of the patterns, or the noise of counting photons"),
    "fluorescence_noise": Setting(NOISE, None, "the same for the maps (default: as the patterns)"),
    "dtype": Setting(Choice(("float32", "float64")), "float64", "number type of the patterns"),
    "seed": Setting(Number(minimum=0, whole=True), 0, "of every random number"),
    "title": Setting(Text(), None, "a line about the scan"),
}

#: Every table that a settings file may hold.
TABLES: dict[str, dict[str, Setting]] = {"reconstruct": RECONSTRUCT, "simulate": SIMULATE, "files": FILES}


def _unknown(what: str, name: str, known: Mapping[str, Any], where: str) -> ValueError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(known)
    return ValueError(f"{where}: unknown {what} {name!r} ({hint})")


def check_value(name: str, setting: Setting, value: Any) -> Any:
    """Return the value as the library takes it.

    Parameters
    ----------
    name : str
        What the message calls the setting: its key, or its flag.
    setting : Setting
        What it takes.
    value : object
        What came.

    Raises
    ------
    ValueError
        Naming the setting, what was expected and what came.
    """
    try:
        return setting.kind.accept(value)
    except ValueError:
        raise ValueError(f"{name}: expected {setting.kind.expected}, got {_shown(value)}") from None


#: Longest value that a message repeats.
SHOWN = 200


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python does not write out integers of more than some thousand digits
        return "an integer of very many digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


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
        with open(path, "rb") as file:
            tables = tomllib.load(file)
    except (ValueError, RecursionError) as error:  # TOML, its encoding, a number of 5000 digits
        raise ValueError(f"{path}: expected settings in TOML, got {error}") from None
    settings: dict[str, dict[str, Any]] = {}
    for table, entries in tables.items():
        if table not in TABLES:
            for home, known in TABLES.items():
                if table in known:
                    raise ValueError(f"{path}: unknown table {table!r} (it is a key of the table [{home}])")
            raise _unknown("table", table, TABLES, str(path))
        if not isinstance(entries, dict):
            raise ValueError(f"{path}: expected a table [{table}], got {table} = {_shown(entries)}")
        for key in entries:
            if key not in TABLES[table]:
                raise _unknown("key", key, TABLES[table], f"{path}: [{table}]")
        settings[table] = {
            key: check_value(f"{path}: [{table}] {key}", TABLES[table][key], value)
            for key, value in entries.items()
        }
    return settings


def flag_name(key: str) -> str:
    """Return the flag of a key: ``max_sweeps`` -> ``--max-sweeps``."""
    return "--" + key.replace("_", "-")


def effective_settings(
    table: str, from_file: Mapping[str, Any], from_flags: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every setting of one table: its default, over it the file, over that the flags.

    Parameters
    ----------
    table : str
        A name in `TABLES`.
    from_file : mapping
        The file's checked values of this table.
    from_flags : mapping
        Words or switches from the command line; None for a flag that was not given.

    Raises
    ------
    ValueError
        Naming the flag, what was expected and what came.
    """
    return checked_settings(TABLES[table], from_file, from_flags)


def checked_settings(
    known: Mapping[str, Setting], from_file: Mapping[str, Any], from_flags: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every setting of a table that is given itself; see `effective_settings`."""
    settings = {key: setting.default for key, setting in known.items()} | dict(from_file)
    for key, value in from_flags.items():
        if value is None:
            continue
        given = known[key].kind.from_text(value) if isinstance(value, str) else value
        settings[key] = check_value(flag_name(key), known[key], given)
    return settings


def settings_text(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return settings as the TOML text that `read_settings` reads back to the same values.

    Parameters
    ----------
    settings : mapping
        Table name -> {key: value}; a value None is written as a comment, for TOML has no such value.
    """
    lines = []
    for table, entries in settings.items():
        lines.append(f"[{table}]")
        for key, value in entries.items():
            lines.append(f"# {key} is not set" if value is None else f"{key} = {_toml(value)}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # repr may give 1e-06, which TOML takes, but never the bare exponent's "1." or "inf" here.
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    # A JSON string is a TOML basic string as long as DEL, which JSON leaves alone, is escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
