"""The constants of the cost model of a machine, and their file."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from ptyxrf.driver.data.checks import positive
from ptyxrf.driver.files.file_errors import DamagedFile
from ptyxrf.driver.files.user_cache import cache_folder
from ptyxrf.driver.files.whole_file import whole_file


@dataclass(frozen=True)
class Network:
    """The time of messages between two ranks.

    Attributes
    ----------
    latency : float
        Seconds of an empty message.
    bandwidth : float
        Bytes per second of long messages.
    """

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Machine:
    """The constants of the cost model.

    Attributes
    ----------
    name : str
        Origin of the constants.
    pattern_seconds : dict
        Precision -> pattern size m -> seconds of a Hessian product for one pattern (one mode, known probe).
    pixel_seconds : dict
        Precision -> seconds of one pixel of one field that a rank covers.
    within_node, between_nodes : Network
    reduction_seconds : float
        Seconds of a reduction of a few numbers between two ranks; R ranks take log2 R times as long.
    """

    name: str = "typical values, not measured: run ptyxrf bench"
    pattern_seconds: dict[str, dict[int, float]] = field(
        default_factory=lambda: {
            "single": {64: 15e-6, 128: 60e-6, 256: 280e-6},
            "double": {64: 30e-6, 128: 130e-6, 256: 650e-6},
        }
    )
    pixel_seconds: dict[str, float] = field(default_factory=lambda: {"single": 4e-9, "double": 8e-9})
    within_node: Network = Network(1e-6, 5e9)
    between_nodes: Network = Network(3e-6, 1e10)
    reduction_seconds: float = 3e-6

    def pattern_time(self, m: int, precision: str, modes: int = 1) -> float:
        """Return the seconds of a pattern of any size.

        The rate per operation of a transform is interpolated between the measured sizes.

        Parameters
        ----------
        m : int
        precision : {"single", "double"}
        modes : int
            Number K of modes; each takes a transform.
        """

        def work(size: int) -> float:
            return size * size * math.log2(max(size, 2))

        known = sorted(self.pattern_seconds[precision].items())
        per_work = [(math.log(size), seconds / work(size)) for size, seconds in known]
        place = math.log(m)
        if place <= per_work[0][0]:
            rate = per_work[0][1]
        elif place >= per_work[-1][0]:
            rate = per_work[-1][1]
        else:
            (low, first), (high, second) = next(pair for pair in pairwise(per_work) if place <= pair[1][0])
            rate = first + (second - first) * (place - low) / (high - low)
        return modes * work(m) * rate


def default_path() -> Path:
    """Return the path of the constants that `ptyxrf bench` measured for this user."""
    return cache_folder() / "machine.json"


def write_machine(path: str | os.PathLike[str], machine: Machine) -> None:
    """Write the constants as JSON, whole or not at all.

    Raises
    ------
    UnwritableFile
        The path cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(asdict(machine), indent=1) + "\n", encoding="utf-8")


def read_machine(path: str | os.PathLike[str]) -> Machine:
    """Read the constants that `write_machine` wrote.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DamagedFile
        The file cannot be read, or is not what `write_machine` writes.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        machine = Machine(
            name=str(values["name"]),
            pattern_seconds={
                precision: {
                    int(m): positive(m, seconds)
                    for m, seconds in values["pattern_seconds"][precision].items()
                }
                for precision in ("single", "double")
            },
            pixel_seconds={key: positive(key, values["pixel_seconds"][key]) for key in ("single", "double")},
            within_node=_network(values["within_node"]),
            between_nodes=_network(values["between_nodes"]),
            reduction_seconds=positive("reduction_seconds", values["reduction_seconds"]),
        )
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedFile(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFile(path, f"expected what ptyxrf bench writes, got {error!r}") from error
    if not all(machine.pattern_seconds.values()):
        raise DamagedFile(path, "expected times of patterns, got none")
    return machine


def _network(values: dict[str, Any]) -> Network:
    return Network(*(positive(key, values[key]) for key in ("latency", "bandwidth")))
