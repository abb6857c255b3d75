"""A part of the frames of a scan: which, and what belongs to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.lazy_arrays import ConvertedSource, is_lazy


def frame_numbers(frames: str | slice | ArrayLike, count: int) -> NDArray[np.int64]:
    """Return the numbers of chosen frames.

    Parameters
    ----------
    frames : str, slice, sequence of int, or (N,) sequence of bool
        As for an array; a text has numbers and slices as Python writes them: "0:400:2" or "0:10,17,20:".
    count : int
        N, of all frames.

    Raises
    ------
    ValueError
        They are not numbers of frames, one occurs twice, or none is left.
    """
    everything = np.arange(count)
    try:
        if isinstance(frames, str):
            parts = [part.strip() for part in frames.split(",")]
            chosen = np.concatenate([np.atleast_1d(everything[_index(part)]) for part in parts])
        else:
            index: Any = frames if isinstance(frames, slice) else np.asarray(frames)
            chosen = np.atleast_1d(everything[index])
    except (ValueError, IndexError, TypeError):
        raise ValueError(
            f"frames: expected numbers below {count} or slices, as in 0:400:2 or 0:10,17, got {frames!r}"
        ) from None
    if chosen.ndim != 1 or not len(chosen) or len(np.unique(chosen)) != len(chosen):
        raise ValueError(f"frames: expected different frames, at least one of {count}, got {frames!r}")
    return chosen


def _index(text: str) -> int | slice:
    """Return an index or a slice from its text."""
    if ":" not in text:
        return int(text)
    return slice(*(int(part) if part.strip() else None for part in text.split(":")))


class ChosenFrames(ConvertedSource):
    """Some frames of a lazy source, in an order of their own.

    Parameters
    ----------
    source : lazy source, first axis N
    frames : (n,) array of int64

    Attributes
    ----------
    source, frames
        As given.
    shape : tuple of int
    dtype : dtype
    """

    def __init__(self, source: Any, frames: NDArray[np.int64]) -> None:
        self.source, self.frames = source, frames
        self.shape = (len(frames), *source.shape[1:])
        self.dtype = source.dtype

    def __getitem__(self, key: Any) -> Any:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if first is Ellipsis or isinstance(first, tuple):
            return self[:][key]
        wanted = self.frames[first]
        if np.ndim(wanted) == 0:
            return self.source[(int(wanted), *rest)]
        # HDF5 takes increasing numbers only
        unique, inverse = np.unique(wanted, return_inverse=True)
        return np.asarray(self.source[unique])[(inverse.reshape(wanted.shape), *rest)]


def chosen_frames(array: Any, frames: NDArray[np.int64]) -> Any:
    """Return some frames of an array or of a lazy source."""
    return ChosenFrames(array, frames) if is_lazy(array) else array[frames]


def arguments_of_frames(scan: Any, frames: NDArray[np.int64]) -> dict[str, Any]:
    """Return those arguments of a `Scan` that have a value for each frame, for some frames."""
    arguments = {
        "patterns": chosen_frames(scan.patterns, frames),
        "positions": scan.positions[frames],
        "exposure": scan.exposure[frames],
        "fluorescence_exposure": scan.fluorescence_exposure[frames],
    }
    if scan.count_scale is not None:
        arguments["count_scale"] = scan.count_scale[frames]
    if scan.mask is not None and len(scan.mask.shape) == 3:
        arguments["mask"] = chosen_frames(scan.mask, frames)
    if scan.sampling == "scan":
        arguments["fluorescence"] = np.asarray(scan.fluorescence)[:, frames]
        if scan.fluorescence_variance is not None:
            arguments["fluorescence_variance"] = scan.fluorescence_variance[:, frames]
    return arguments


def single_values(scan: Any) -> dict[str, Any]:
    """Return the arguments of a `Scan` that have one and the same value for each frame, as that value."""
    per_frame = {name: getattr(scan, name) for name in ("exposure", "fluorescence_exposure", "count_scale")}
    return {
        name: float(values[0])
        for name, values in per_frame.items()
        if values is not None and (values == values[0]).all()
    }
