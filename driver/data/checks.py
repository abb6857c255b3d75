"""Checks of arguments that several modules share.

They return the accepted value in plain types; otherwise they raise ValueError with the argument's name, what
was expected and what came.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def is_finite_number(value: Any) -> bool:
    """Return whether a value is a finite real number, of Python or of NumPy."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return bool(np.isfinite(float(value)))
    except OverflowError:  # an integer beyond all floating-point numbers
        return False


def positive(name: str, value: Any, unit: str = "") -> float:
    """Return a finite number above 0; `unit` completes the message, such as "in SI units"."""
    if not is_finite_number(value) or value <= 0:
        raise ValueError(f"{name}: expected a finite positive number{unit and ' '}{unit}, got {value!r}")
    return float(value)


def integer(name: str, value: Any, least: int) -> int:
    """Return an integer, of Python or of NumPy, of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")
    return int(value)


def integer_pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """Return (rows, columns) from a sequence of two integers of at least `least`."""
    if not isinstance(value, tuple | list | np.ndarray) or len(value) != 2:
        raise ValueError(f"{name}: expected two integers (rows, columns), got {value!r}")
    return integer(name, value[0], least), integer(name, value[1], least)


def one_of(name: str, value: Any, words: Sequence[str]) -> str:
    """Return a value that is one of several words."""
    if value not in words:
        raise ValueError(f"{name}: expected one of {', '.join(words)}, got {value!r}")
    return str(value)


def real_array(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return a copy as float64; complex numbers, strings, booleans and ragged lists are not accepted."""
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
