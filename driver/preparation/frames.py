"""Raw frames, turned as a recipe says, and the window of them that becomes a pattern."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.preparation.input_files import rows_of
from ptyxrf.driver.preparation.settings import WindowSettings

#: Frames are read this many bytes at a time, and at least one by one.
BLOCK_BYTES = 1 << 25


class RasterFrames:
    """Frames (rows of a raster, columns of a raster, H, W) as (N, H, W)."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.shape = (int(values.shape[0] * values.shape[1]), *(int(size) for size in values.shape[2:]))
        self.dtype = np.dtype(values.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        wanted = np.arange(self.shape[0])[key]
        if wanted.ndim == 0:
            return self[int(wanted) : int(wanted) + 1][0]
        across = int(self.values.shape[1])
        lines = np.unique(wanted // across)
        block = rows_of(self.values, lines).reshape(-1, *self.shape[1:])
        return block[np.searchsorted(lines, wanted // across) * across + wanted % across]


class RawFrames:
    """Frames of a detector as they are in files, turned and with the zero frequency away from the corner.

    Parameters
    ----------
    values : (N, H, W) or (rows, columns, H, W) lazy source of real numbers
    settings : WindowSettings
        Its `transpose`, `flip_up_down` and `flip_left_right`.
    corner : bool
        The zero frequency is at the corner.
    amplitudes : bool
        The values are square roots of counts.
    """

    def __init__(
        self, values: Any, settings: WindowSettings, *, corner: bool = False, amplitudes: bool = False
    ) -> None:
        self.values = RasterFrames(values) if len(values.shape) == 4 else values
        self._settings, self._corner, self._amplitudes = settings, corner, amplitudes
        height, width = (int(size) for size in self.values.shape[1:])
        self.shape = (
            int(self.values.shape[0]),
            *((width, height) if settings.transpose else (height, width)),
        )
        self.dtype = np.dtype(np.float32 if amplitudes else self.values.dtype)

    @property
    def corner(self) -> bool:
        """Whether the frames are centred at the corner."""
        return self._corner

    def turned(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Return raw frames (or a mask, or a flat field) as the recipe turns them."""
        if self._settings.transpose:
            frames = np.swapaxes(frames, -1, -2)
        if self._settings.flip_up_down:
            frames = frames[..., ::-1, :]
        if self._settings.flip_left_right:
            frames = frames[..., ::-1]
        return np.fft.fftshift(frames, axes=(-2, -1)) if self._corner else frames

    def read(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return frames by increasing indices, (B, H, W)."""
        block = rows_of(self.values, indices)
        if self._amplitudes:
            block = np.square(block, dtype=np.float32)
        return self.turned(block)

    def blocks(self, chosen: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Yield increasing indices in runs that fit a batch."""
        size = int(np.prod(self.shape[1:])) * self.values.dtype.itemsize
        step = max(1, BLOCK_BYTES // size)
        # whole batches of the file: a chunk of it is then read once
        batch = chosen // step
        yield from np.split(chosen, np.flatnonzero(np.diff(batch)) + 1)


@dataclass(frozen=True)
class Window:
    """The square of a raw frame that becomes a pattern, and how many pixels are added.

    Attributes
    ----------
    centre : (int, int)
        Row and column of the raw pixel that gets the index size//2.
    size : int
        Edge in raw pixels, a multiple of `bin`.
    bin : int
    """

    centre: tuple[int, int]
    size: int
    bin: int

    @property
    def m(self) -> int:
        """Edge of a pattern."""
        return self.size // self.bin

    def cut(self, frames: NDArray[Any], beyond: Any = 0) -> NDArray[Any]:
        """Return (..., size, size) raw pixels of (..., H, W) frames; `beyond` where there is none.

        It may be changed, and is no copy where the frames are read for it and are as large.
        """
        first = [c - self.size // 2 for c in self.centre]
        shape = frames.shape[-2:]
        if all(f >= 0 and f + self.size <= s for f, s in zip(first, shape, strict=True)):
            rows, columns = (slice(f, f + self.size) for f in first)
            return np.require(frames[..., rows, columns], requirements=["C", "W"])
        cut = np.full((*frames.shape[:-2], self.size, self.size), beyond, frames.dtype)
        source: list[Any] = [...]
        target: list[Any] = [...]
        for f, s in zip(first, shape, strict=True):
            low, high = max(f, 0), max(min(f + self.size, s), max(f, 0))
            source.append(slice(low, high))
            target.append(slice(low - f, high - f))
        cut[tuple(target)] = frames[tuple(source)]
        return cut

    def added(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return (..., m, m) sums of bin x bin pixels of (..., size, size)."""
        if self.bin == 1:
            return pixels
        m, b = self.m, self.bin
        blocks = pixels.reshape(*pixels.shape[:-2], m, b, m, b)
        wide = pixels.dtype if pixels.dtype.kind == "f" else np.uint32
        return blocks.sum(axis=(-3, -1), dtype=wide)

    def all_of(self, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which added pixels have only good ones, (m, m) of (size, size)."""
        m, b = self.m, self.bin
        return np.asarray(good.reshape(m, b, m, b).all(axis=(1, 3)))
