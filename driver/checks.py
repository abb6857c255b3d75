"""Small checks of arguments that several modules share."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np


def is_finite_number(value: Any) -> bool:
    """Return whether a value is one finite real number, of Python or of numpy."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(float(value)))
