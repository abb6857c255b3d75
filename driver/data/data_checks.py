"""Whether patterns, maps and true arrays hold numbers that can be data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import array_of, real_array
from ptyxrf.driver.data.lazy_arrays import ArraySource, MaskSource, as_mask, has_numpy_slices, is_lazy
from ptyxrf.driver.data.text import plain


def check_patterns(block: NDArray, indices: NDArray[np.int64], mask: NDArray[np.bool_] | None) -> None:
    """Refuse patterns that hold NaN, infinities or negative counts outside the mask.

    Parameters
    ----------
    block : (B, m, m) array of real numbers
    indices : (B,) array of int64
        Which patterns of the scan they are, for the message.
    mask : (m, m) or (B, m, m) array of bool, optional
        True = good.

    Raises
    ------
    ValueError
        Naming the first bad pattern and pixel.
    """
    bad = ~((block >= 0) & (block < np.inf))  # NaN compares false
    if mask is not None:
        bad &= mask
    if bad.any():
        j, row, column = (int(i) for i in np.argwhere(bad)[0])
        value = block[j, row, column]
        raise ValueError(
            f"patterns: expected finite non-negative intensities outside the mask, got {value} "
            f"in pattern {int(indices[j])} at pixel ({row}, {column})"
            + (" (--negative-to-zero, or that argument of read_scan, takes it for 0)" if value < 0 else "")
        )


def measured_elements(
    missing: NDArray[np.int64],
    infinite: NDArray[np.int64],
    shape: tuple[int, ...],
    first_bad: Callable[[int], int],
) -> NDArray[np.bool_]:
    """Return which elements have data, from the numbers of NaN and infinities in each map.

    Parameters
    ----------
    missing, infinite : (N_e,) array of int64
    shape : tuple of int
        Of all maps, (N_e, ...).
    first_bad : callable
        Given an element, returns the flat index of the first of its values that is infinite.

    Raises
    ------
    ValueError
        A map has infinite values.
    """
    measured: NDArray[np.bool_] = missing < np.prod(shape[1:])
    bad = infinite > 0
    if bad.any():
        e = int(np.flatnonzero(bad)[0])
        place = tuple(int(i) for i in np.unravel_index(first_bad(e), shape[1:]))
        where = f"position {place[0]}" if len(place) == 1 else f"pixel {place}"
        raise ValueError(
            f"fluorescence: expected finite counts (or NaN where there are none), got "
            f"{int(infinite[e])} infinite values for element {e}, the first at {where}"
        )
    return measured


def numbers_of_elements(name: str, values: ArrayLike | None, count: int) -> NDArray[np.float64] | None:
    """Return a finite number for each of `count` elements, or None where none are given.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if values is None:
        return None
    array = array_of(name, np.atleast_1d(np.asarray(values)), 1)
    if array.shape != (count,):
        raise ValueError(f"{name}: expected {count} numbers, one per element, got {array.shape[0]}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got {array.tolist()}")
    return array


def names_of_elements(names: str | Sequence[str] | None, count: int) -> list[str]:
    """Return a different name for each of `count` elements, by default "element 1", "element 2", ...

    Raises
    ------
    ValueError
        Names are missing, too many or alike.
    """
    if names is None:
        names = [f"element {e + 1}" for e in range(count)]
    given = [names] if isinstance(names, str) else list(names)
    if len(given) != count or not all(isinstance(name, str) for name in given):
        raise ValueError(f"element_names: expected {count} names, one per element, got {given!r}")
    plain_names = [plain(name) for name in given]
    if len(set(plain_names)) != count or not all(plain_names):
        raise ValueError(f"element_names: expected a different name for each element, got {given!r}")
    return plain_names


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be changed, of an array that its owner still can change."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_truth(name: str, values: NDArray[Any]) -> None:
    """Refuse true arrays that are not finite."""
    if not np.isfinite(values).all():
        raise ValueError(f"truth: expected finite numbers in {name}, got NaN or infinity")


def check_probe(name: str, probe: NDArray[Any]) -> None:
    """Refuse a probe that is not finite, or 0 everywhere; the message begins with a name."""
    if not np.isfinite(probe).all():
        raise ValueError(f"{name}: expected a finite probe, got NaN or infinity")
    if not probe.any():
        raise ValueError(f"{name}: expected a probe with some intensity, got zeros only")


def grid_shape(shape: Any) -> tuple[int, int]:
    """Return the rows and columns of an object grid."""
    try:
        rows, columns = (int(size) for size in shape)
    except (TypeError, ValueError) as error:
        raise ValueError(f"shape: expected (n_rows, n_cols), got {shape!r}") from error
    if rows < 1 or columns < 1 or (rows, columns) != tuple(shape):
        raise ValueError(f"shape: expected two positive integers (n_rows, n_cols), got {shape!r}")
    return rows, columns


def mask_of(mask: ArrayLike | ArraySource, count: int, m: int) -> Any:
    """Return the mask of N patterns of m x m, or of each: as booleans, or lazy as it is."""
    lazy: Any = mask if is_lazy(mask) else None
    if lazy is not None and tuple(lazy.shape) == (count, m, m):
        return lazy if lazy.dtype == np.bool_ and has_numpy_slices(lazy) else MaskSource(lazy)
    array = np.asarray(mask)
    if array.shape not in ((m, m), (count, m, m)):
        raise ValueError(f"mask: expected shape ({m}, {m}) or ({count}, {m}, {m}), got {array.shape}")
    array = as_mask(array)
    if not array.any():
        raise ValueError("mask: expected some good pixels (True), got none")
    return np.ascontiguousarray(array)


def pattern_background_of(background: ArrayLike | None, m: int) -> NDArray[np.float64] | None:
    """Return the background of m x m patterns from a number or a pattern; None for None."""
    if background is None:
        return None
    array = real_array("pattern_background", background)
    if array.shape not in ((), (m, m)):
        raise ValueError(
            f"pattern_background: expected a number or shape ({m}, {m}) as the patterns have, got shape "
            f"{array.shape}"
        )
    array = np.broadcast_to(array, (m, m)).copy()
    bad = ~((array >= 0) & (array < np.inf))  # NaN compares false
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"pattern_background: expected finite non-negative counts, got {array[row, column]} at pixel "
            f"({row}, {column})"
        )
    return array


def variance_of(variance: ArrayLike | None, shape: tuple[int, ...] | None) -> NDArray[np.float64] | None:
    """Return the variances of fluorescence of some shape (None: there is none); None for None."""
    if variance is None:
        return None
    array = real_array("fluorescence_variance", variance).astype(np.float64)
    if array.shape != shape:
        expected = "none without fluorescence" if shape is None else f"shape {shape} as the fluorescence has"
        raise ValueError(f"fluorescence_variance: expected {expected}, got shape {array.shape}")
    bad = (array <= 0) | np.isinf(array)
    if bad.any() or np.isnan(array).all():
        value = array[bad][0] if bad.any() else np.nan
        raise ValueError(f"fluorescence_variance: expected positive numbers (NaN for no weight), got {value}")
    return array


def true_arrays(
    truth: Mapping[str, Any] | None, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, NDArray[Any]]:
    """Return what a simulation knows: arrays of the expected shapes, or lazy ones as they are."""
    if truth is not None and not isinstance(truth, Mapping):
        raise ValueError(f"truth: expected a mapping of names to arrays, got {type(truth).__name__}")
    arrays: dict[str, NDArray[Any]] = {}
    for name, array in (truth or {}).items():
        if name not in expected:
            raise ValueError(f"truth: expected keys among {', '.join(expected)}, got {name!r}")
        if np.shape(array) != expected[name]:
            raise ValueError(f"truth: expected {name} of shape {expected[name]}, got {np.shape(array)}")
        values: Any = array if is_lazy(array) else np.asarray(array)
        kinds, numbers = ("fiu", "real numbers") if name == "elements" else ("fiuc", "numbers")
        if values.dtype.kind not in kinds:
            raise ValueError(f"truth: expected {name} in {numbers}, got {values.dtype}")
        if not is_lazy(array):
            check_truth(name, values)
        arrays[name] = values
    return arrays
