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
