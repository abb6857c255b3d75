"""From patterns to the amplitudes that the kernels use, or to counts whose roots they take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.data_checks import check_patterns
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.scratch_array import scratch_array
from ptyxrf.driver.files.stored_array import StoredArray
from ptyxrf.kernels.kept_counts import KEPT, MASKED, KeptCounts
from ptyxrf.kernels.simd.fourier import VectorPlan, can_transform

#: Patterns read at a time, in bytes of float64 or of counts. Some four arrays of it live while reading.
READ_BYTES = 2 * 1024 * 1024

Amplitudes = NDArray[Any] | KeptCounts


def are_counts(dtype: Any) -> bool:
    """Return whether a type has whole numbers of two bytes only.

    Its patterns are kept as counts with low memory, unless a good pixel has 65535; those of other types only
    if all values are whole and smaller.
    """
    dtype = np.dtype(dtype)
    return dtype.kind in "uib" and dtype.itemsize <= np.dtype(KEPT).itemsize


def load_amplitudes(
    scan: Scan, positions: NDArray[np.int64], dtype: Any, memory: str = "cached"
) -> tuple[Amplitudes, float, int, bool]:
    """Read the patterns of some positions as amplitudes.

    Parameters
    ----------
    scan : Scan
    positions : (n,) array of int64
        Which patterns, in any order; they are read in the order of the file.
    dtype : float32 or float64
    memory : {"cached", "low", "disk"}
        The latter two keep whole numbers below 65535 as counts, and the last keeps them on disk.

    Returns
    -------
    amplitudes : (n, m, m) array or KeptCounts
        sqrt(d_j) with the zero frequency at [0, 0]; -1 under the mask.
    total : float
        Sum of the good intensities.
    pixels : int
        Number of good pixels.
    whole : bool
        Whether all good intensities are whole numbers, as raw counts are.

    Raises
    ------
    ValueError
        A pattern holds NaN, infinity or a negative count outside the mask.
    UnwritableFile
        There is no room on disk.
    """
    as_counts = memory != "cached"
    exact = as_counts and are_counts(scan.patterns.dtype)
    number = np.dtype(scan.patterns.dtype if exact else np.float64)
    empty = scratch_array if memory == "disk" else np.empty
    room = _Room((len(positions), scan.m, scan.m), dtype, empty, as_counts=as_counts)
    total, pixels, whole = 0.0, 0, True
    order = np.argsort(positions)
    for block in blocks(len(positions), scan.m, number):
        places = order[block]
        chosen = positions[places]
        patterns = _patterns(scan, chosen, number)
        mask = scan.mask_at(chosen)
        if mask is not None:
            mask = np.broadcast_to(mask, patterns.shape)
        if number.kind not in "ub":  # which hold nothing that is refused
            _check(scan, patterns, chosen, mask)
        if mask is not None:
            patterns = np.where(mask, patterns, number.type(0))
            pixels += int(mask.sum())
        else:
            pixels += patterns.size
        total += float(patterns.sum())
        whole = whole and (exact or bool((patterns == np.round(patterns)).all()))
        room.put(places, patterns, mask, countable=whole and bool(patterns.max() < MASKED))
    return room.filled(), total, pixels, whole


def _check(scan: Scan, patterns: NDArray[Any], chosen: NDArray[np.int64], mask: Any) -> None:
    """See `check_patterns`; a lazy source knows the file and the dataset that it reads."""
    try:
        check_patterns(patterns, chosen, mask)
    except ValueError as error:
        where = getattr(scan.patterns, "label", "")
        raise ValueError(f"{where}: {error}" if where else str(error)) from None


def blocks(count: int, m: int, number: Any = np.float64) -> Iterator[slice]:
    """Yield slices of some patterns, as many as are read at a time as numbers of a type."""
    step = max(1, READ_BYTES // (np.dtype(number).itemsize * m * m))
    return (slice(first, first + step) for first in range(0, count, step))


class _Room:
    """Room for amplitudes, whose first half or quarter holds counts until values come that are none.

    The system gives memory to what is written to alone, so that counts take no more than they need. Between
    patterns there is the room that vector code wants to order them in place.
    """

    def __init__(
        self, shape: tuple[int, int, int], dtype: Any, empty: Callable[..., NDArray[Any]], *, as_counts: bool
    ) -> None:
        count, m, _ = shape
        pitch = math.prod(VectorPlan.of(m, dtype).far_shape()) if can_transform(m) else m * m

        def patterns(numbers: NDArray[Any]) -> NDArray[Any]:
            return numbers[: count * pitch].reshape(count, pitch)[:, : m * m].reshape(shape)

        numbers = empty(count * pitch, dtype)
        self._amplitudes = patterns(numbers)
        self._counts = patterns(numbers.view(KEPT)) if as_counts else None

    def put(self, places: NDArray[np.int64], patterns: NDArray[Any], mask: Any, *, countable: bool) -> None:
        """Take intensities in detector order, 0 under the mask."""
        if self._counts is not None and not countable:
            self._widen(self._counts)
            self._counts = None
        target, values, masked = self._counts, patterns, np.asarray(MASKED, KEPT)
        if target is None:
            target, values, masked = self._amplitudes, np.sqrt(patterns, dtype=np.float64), np.asarray(-1.0)
        if mask is not None:
            values = np.where(mask, values, masked)
        target[places] = np.fft.ifftshift(values, axes=(1, 2))

    def _widen(self, counts: NDArray[Any]) -> None:
        """Replace counts by amplitudes from the end on, which leaves the counts before them."""
        for block in reversed(list(blocks(len(counts), counts.shape[1]))):
            self._amplitudes[block] = KeptCounts(counts[block], self._amplitudes.dtype)[:]

    def filled(self) -> Amplitudes:
        """Return what was put."""
        if self._counts is None:
            return self._amplitudes
        return KeptCounts(self._counts, self._amplitudes.dtype)


def normalise(amplitudes: Amplitudes, mean_count: float) -> None:
    """Divide amplitudes by the root of the mean count; -1 stays under the mask."""
    unit = amplitudes.dtype.type(1 / np.sqrt(mean_count))
    if isinstance(amplitudes, KeptCounts):
        amplitudes.unit = unit
        return
    for block in blocks(len(amplitudes), amplitudes.shape[1]):
        some = amplitudes[block]
        masked = some < 0
        some *= unit
        some[masked] = -1


def _patterns(scan: Scan, chosen: NDArray[np.int64], number: np.dtype[Any]) -> NDArray[Any]:
    """Read patterns by increasing indices: a slice where they follow each other."""
    start, stop = int(chosen[0]), int(chosen[-1]) + 1
    if stop - start == len(chosen):
        return np.asarray(scan.patterns[start:stop], dtype=number)
    if isinstance(scan.patterns, np.ndarray | StoredArray):
        # a pattern file makes one request for each unbroken run
        return np.asarray(scan.patterns[chosen], dtype=number)
    return np.stack([np.asarray(scan.patterns[int(j)], dtype=number) for j in chosen])
