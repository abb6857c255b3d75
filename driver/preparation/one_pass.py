"""The one pass over all frames: cut, corrected, added, judged and written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.chunk_writer import ChunkWriter
from ptyxrf.driver.preparation.pairing import Pairing
from ptyxrf.driver.preparation.settings import Preparation
from ptyxrf.driver.preparation.survey import BRIGHT_RATIO, Survey
from ptyxrf.kernels.frame_sums import frame_sums

#: A frame with less than this share of the median counts is dark.
DARK_SHARE = 0.1

#: A position whose frames may go on in the next batch: its number, their sum, and how many there are.
Held = tuple[int, NDArray[Any], int]


@dataclass
class Passed:
    """What the pass has written and seen.

    Attributes
    ----------
    positions : (n,) array of int
        The position of each pattern.
    frames : (n,) array of int
        How many frames were added for each.
    totals : (n,) array of float64
        Counts of each pattern on good pixels.
    sums, highest : (size, size) array of float64
        Sum and maximum of all raw pixels of the window, 0 where they were known to be bad.
    bad : (size, size) array of bool
        Pixels that had a value that is no count in some frame, or were saturated.
    dropped : dict of str to list of int
        Reason -> numbers of frames.
    clipped : int
        Negative values that became 0.
    """

    positions: Any
    frames: Any
    totals: Any
    sums: NDArray[np.float64]
    highest: NDArray[np.float64]
    bad: NDArray[np.bool_]
    dropped: dict[str, list[int]] = field(default_factory=dict)
    clipped: int = 0


class FramePass:
    """One pass over the frames.

    Parameters
    ----------
    settings : Preparation
    survey : Survey
    pairing : Pairing
    flat, dark : (size, size) array of float64, optional
        On the window; `dark` only where it is subtracted.
    """

    def __init__(
        self,
        settings: Preparation,
        survey: Survey,
        pairing: Pairing,
        flat: NDArray[np.float64] | None,
        dark: NDArray[np.float64] | None,
    ) -> None:
        self._settings, self._survey, self._pairing = settings, survey, pairing
        self._flat, self._dark = flat, dark
        size = survey.window.size
        self._bad = np.flatnonzero(~survey.window.cut(survey.good, False))
        kind = survey.frames.dtype
        self._top = np.iinfo(kind).max if kind.kind in "iu" else np.inf
        self._passed = Passed(
            [], [], [], np.zeros((size, size)), np.zeros((size, size)), np.zeros((size, size), bool)
        )

    @property
    def dtype(self) -> np.dtype:
        """Of the patterns: that of the frames, or what holds sums of them; float32 for real numbers."""
        kind = self._survey.frames.dtype
        if kind.kind == "f" or self._flat is not None or self._dark is not None:
            return np.dtype(np.float32)
        adds = self._pairing.several or self._survey.window.bin > 1
        return np.dtype(np.uint32) if adds else np.dtype(f"u{kind.itemsize}")

    @property
    def count(self) -> int:
        """Number of patterns if no frame is dropped."""
        return len(np.unique(self._pairing.position_of[self._pairing.chosen]))

    def run(self, patterns: ChunkWriter) -> Passed:
        """Write all patterns and return what was seen.

        Parameters
        ----------
        patterns : ChunkWriter
            Of a dataset with room for `count` of them; those of dropped frames are missing in the end.
        """
        frames, pairing = self._survey.frames, self._pairing
        held: Held | None = None
        for indices in frames.blocks(pairing.chosen):
            block, kept, totals = self._judged(frames.read(indices), indices)
            places, counts = pairing.position_of[kept], np.ones(len(kept), int)
            if pairing.several and len(kept):
                block, places, counts, held = _added(block, places, held)
                totals = block.sum(axis=(1, 2), dtype=np.float64)
            self._write(patterns, block, places, counts, totals)
        if held is not None:
            place, block, count = held
            self._write(patterns, block[None], np.array([place]), np.array([count]), np.array([block.sum()]))
        passed = self._passed
        for name in ("positions", "frames", "totals"):
            setattr(passed, name, np.concatenate([np.zeros(0), *getattr(passed, name)]))
        passed.positions, passed.frames = passed.positions.astype(int), passed.frames.astype(int)
        return passed

    def _write(
        self,
        patterns: ChunkWriter,
        block: NDArray[Any],
        places: NDArray[np.intp],
        counts: NDArray[np.intp],
        totals: NDArray[np.float64],
    ) -> None:
        if len(block):
            self._passed.positions.append(places)
            self._passed.frames.append(counts)
            self._passed.totals.append(totals)
            patterns.append(self._survey.window.added(block))

    def _judged(
        self, raw: NDArray[Any], indices: NDArray[np.intp]
    ) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.float64]]:
        """Return good frames on the window, 0 where pixels are bad, their numbers and their counts."""
        passed, survey = self._passed, self._survey
        block = survey.window.cut(raw.astype(raw.dtype.newbyteorder("="), copy=False))
        block.reshape(len(block), -1)[:, self._bad] = 0
        totals, sums, highest = _sums(block)
        good = self._good_frames(totals, indices)
        negative = 0 if block.dtype.kind == "u" else int((block[good] < 0).sum())
        if not good.all():  # first of all: a flash would saturate pixels of all frames
            block = block[good]
        if negative:
            passed.clipped += negative
            np.maximum(block, 0, out=block)
        if negative or not good.all():
            totals, sums, highest = _sums(block)
        over = highest >= min(survey.ceiling, self._top)
        if over.any():
            passed.bad |= over
            block[:, over] = 0
        if self._dark is not None:
            block = np.maximum(block - self._dark, 0).astype(np.float32)
        if self._flat is not None:
            block = (block / self._flat).astype(np.float32)
        if over.any() or self._dark is not None or self._flat is not None:
            totals, sums, highest = _sums(block)
        passed.sums += sums
        np.maximum(passed.highest, highest, out=passed.highest)
        return block, indices[good], totals

    def _good_frames(self, totals: NDArray[np.float64], indices: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which frames are used, and note the others with the reason."""
        if not self._settings.drop_bad:
            return np.ones(len(totals), bool)
        median = self._survey.median_total
        good = np.ones(len(totals), bool)
        for reason, bad in (
            ("not finite", ~np.isfinite(totals)),
            ("empty", totals == 0),
            ("dark", (totals > 0) & (totals < DARK_SHARE * median)),
            ("far too bright", (totals > BRIGHT_RATIO * median) & np.isfinite(totals)),
        ):
            if bad.any():
                self._passed.dropped.setdefault(reason, []).extend(indices[bad].tolist())
                good &= ~bad
        return good


def _sums(block: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]:
    """Return the counts of each frame, and the sum and the maximum of each pixel."""
    if block.dtype.kind != "u":
        sums = block.sum(axis=0, dtype=np.float64 if block.dtype.kind == "f" else None)
        return block.sum(axis=(1, 2), dtype=np.float64), sums, block.max(axis=0, initial=0)
    totals, pixels = np.empty(len(block)), block.shape[1:]
    sums, highest = np.zeros(pixels, np.uint64), np.zeros(pixels, block.dtype)
    frame_sums(block.reshape(len(block), -1), totals, sums.ravel(), highest.ravel())
    return totals, sums, highest


def _added(
    block: NDArray[Any], places: NDArray[np.intp], held: Held | None
) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp], Held]:
    """Return sums over frames that follow each other at one position, but for the last, which may go on."""
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    wide = block.dtype if block.dtype.kind == "f" else np.uint32
    sums = np.add.reduceat(block.astype(wide, copy=False), starts, axis=0)
    counts, places = np.diff(starts, append=len(places)), places[starts]
    if held is not None and held[0] == places[0]:
        sums[0] += held[1]
        counts[0] += held[2]
    elif held is not None:
        sums = np.concatenate([held[1][None], sums])
        places, counts = np.append(held[0], places), np.append(held[2], counts)
    return sums[:-1], places[:-1], counts[:-1], (int(places[-1]), sums[-1], int(counts[-1]))
