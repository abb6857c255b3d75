"""Which frame belongs to which position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.guesses import Guesses
from ptyxrf.driver.preparation.input_files import InputFiles, NamedArray
from ptyxrf.driver.preparation.settings import FrameSettings, Preparation


@dataclass(frozen=True)
class Pairing:
    """Frames and their positions.

    Attributes
    ----------
    chosen : (n,) array of int
        Numbers of the frames that are used, increasing.
    position_of : (N,) array of int
        The position of each frame, used or not.
    several : bool
        Whether frames that follow each other share a position.
    """

    chosen: NDArray[np.intp]
    position_of: NDArray[np.intp]
    several: bool


def chosen_frames(settings: FrameSettings, count: int) -> NDArray[np.intp]:
    """Return the numbers of the frames that a recipe uses, increasing.

    Raises
    ------
    ValueError
        `select` is no slice, `drop` names a frame that is not there, or nothing is left.
    """
    chosen = np.arange(count)
    if settings.select is not None:
        try:
            parts = [int(part) if part.strip() else None for part in settings.select.split(":")]
            chosen = np.sort(chosen[slice(*parts)])
        except (ValueError, TypeError):
            raise ValueError(
                f"select: expected FIRST:LAST:STEP within {count} frames, got {settings.select!r}"
            ) from None
    if settings.drop is not None:
        beyond = [frame for frame in settings.drop if frame >= count]
        if beyond:
            raise ValueError(f"drop: expected frames below {count}, got {beyond[0]}")
        chosen = np.setdiff1d(chosen, settings.drop)
    if not len(chosen):
        raise ValueError(f"select, drop: expected some of the {count} frames to be left, got none")
    return chosen


def frame_index(
    settings: Preparation, files: InputFiles, guesses: Guesses, count: int, findings: Findings
) -> NDArray[np.intp] | None:
    """Return the position to which each frame says that it belongs, or None."""
    given = settings.frame_index
    array: NamedArray | None = (
        guesses.each("frame_index", count) if given is None else files.find("frame_index", given)
    )
    if array is None:
        return None
    index = np.ravel(array.read())
    if index.shape != (count,) or index.dtype.kind not in "iu" or index.min() < 0:
        raise ValueError(
            f"frame_index: expected {count} integers of at least 0 in {array.reference}, got {index.dtype} "
            f"of shape {index.shape}"
        )
    if given is None:
        findings.tell("frame_index", f"frames belong to positions by {array.key}", array.reference)
    return index.astype(np.intp)


def pair(
    settings: Preparation,
    index: NDArray[np.intp] | None,
    positions: NDArray[np.float64],
    chosen: NDArray[np.intp],
    count: int,
    findings: Findings,
) -> tuple[Pairing, NDArray[np.float64]]:
    """Return the pairing, and the positions: averaged where a frame has several.

    Parameters
    ----------
    settings : Preparation
    index : (N,) array of int, optional
        Positions of the frames.
    positions : (P, 2) array of float64
    chosen : (n,) array of int
        Frames that are used.
    count : int
        N, the number of frames.
    findings : Findings

    Raises
    ------
    ValueError
        The numbers do not agree.
    """
    if index is not None:
        if int(index.max()) >= len(positions):
            raise ValueError(
                f"frame_index: expected positions below {len(positions)}, got {int(index.max())}"
            )
        repeated = bool(len(np.unique(index)) < len(index))
        return Pairing(chosen, index, repeated), positions
    triggers = settings.triggers or max(count // len(positions), 1)
    if len(positions) > count and len(positions) % count == 0 and settings.triggers is None:
        rows = len(positions) // count
        findings.tell("positions", f"{rows} readings for each frame, averaged")
        positions = positions.reshape(count, rows, 2).mean(axis=1)
    if count != triggers * len(positions):
        raise ValueError(
            f"positions: expected one for each of the {count} frames (triggers = {triggers}), got "
            f"{len(positions)}; see frame_index, select and triggers"
        )
    if triggers > 1 and settings.triggers is None:
        findings.tell("triggers", f"{triggers} frames at each position, added", triggers)
    return Pairing(chosen, np.arange(count) // triggers, triggers > 1), positions
