"""Small checks of arguments that several modules share."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def is_finite_number(value: Any) -> bool:
    """Return whether a value is one finite real number, of Python or of numpy."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return bool(np.isfinite(float(value)))
    except OverflowError:  # an integer beyond all floating-point numbers
        return False


def whole_number(name: str, value: Any, least: int) -> int:
    """Return an integer, of Python or of numpy, that is at least `least`; others are refused by name."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)


def real_array(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return a copy as float64; complex numbers, strings, booleans and ragged lists are refused by name."""
    try:
        array = np.array(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array of real numbers, got a ragged sequence") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected real numbers, got {array.dtype}")
    return array.astype(np.float64)


def array_of(name: str, value: ArrayLike, ndim: int) -> NDArray[np.float64]:
    """Return a copy as float64 with a number of dimensions."""
    array = real_array(name, value)
    if array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimension(s), got shape {array.shape}")
    return array


def per_item(
    name: str, value: ArrayLike, count: int, what: str, *, zero: bool = False
) -> NDArray[np.float64]:
    """Return `count` finite positive (or, with `zero`, non-negative) numbers from one number or `count`."""
    array = real_array(name, value)
    if array.shape not in ((), (count,)):
        raise ValueError(
            f"{name}: expected a number or {count} of them (one per {what}), got shape {array.shape}"
        )
    array = np.broadcast_to(array, (count,)).copy()
    good = np.isfinite(array) & ((array >= 0) if zero else (array > 0))
    if not good.all():
        kind = "non-negative" if zero else "positive"
        where = int(np.flatnonzero(~good)[0])
        raise ValueError(f"{name}: expected finite {kind} numbers, got {array[where]} for {what} {where}")
    return array


def scales_of(name: str, value: ArrayLike | None, count: int, what: str) -> NDArray[np.float64] | None:
    """Return `count` finite non-negative numbers from one number or `count`; None for None."""
    return None if value is None else per_item(name, value, count, what, zero=True)
