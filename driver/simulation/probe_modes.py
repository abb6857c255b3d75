"""Orthogonal probe modes for a partially coherent beam."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import integer

#: Ratio of the powers of successive modes.
FALLOFF = 0.4


def probe_modes(probe: ArrayLike, count: int) -> NDArray[np.complex128]:
    """Distribute the power of a probe over orthogonal modes.

    Mode k starts as the probe times row^a column^b, with the monomials in the order of their degree a + b
    (the modes of a source of finite size are similar to Hermite-Gaussian functions). Gram-Schmidt makes the
    modes orthogonal. The power of each is 0.4 times that of the mode before.

    Parameters
    ----------
    probe : (m, m) array of complex
        The first mode is proportional to this probe.
    count : int
        Number of modes K, at least 1.

    Returns
    -------
    (K, m, m) array of complex128
        Orthogonal modes; together they have the power of `probe`.

    Raises
    ------
    ValueError
        The probe is not square or is zero; the count is below 1 or exceeds what the support of the probe
        allows.
    """
    field = np.asarray(probe, dtype=np.complex128)
    if field.ndim != 2 or field.shape[0] != field.shape[1]:
        raise ValueError(f"probe: expected shape (m, m), got {field.shape}")
    intensity = np.abs(field) ** 2
    power = intensity.sum()
    if not (np.isfinite(power) and power > 0):
        raise ValueError(f"probe: expected finite numbers and some intensity, got a power of {power}")
    count = integer("count", count, 1)

    # coordinates about the centre of mass, in units of the width of the beam, condition the monomials well
    index = np.arange(field.shape[0], dtype=np.float64)
    row = index - (intensity.sum(axis=1) @ index) / power
    column = index - (intensity.sum(axis=0) @ index) / power
    width = np.sqrt((intensity.sum(axis=1) @ row**2 + intensity.sum(axis=0) @ column**2) / power)
    row, column = row / max(width, 1.0), column / max(width, 1.0)

    exponents = [(degree - b, b) for degree in range(count) for b in range(degree + 1)][:count]
    modes = np.empty((count, *field.shape), dtype=np.complex128)
    for k, (a, b) in enumerate(exponents):
        mode = field * (row[:, None] ** a * column**b)
        start = np.linalg.norm(mode)
        for _ in range(2):  # the second pass removes the rounding errors of the first
            for other in modes[:k]:
                mode = mode - np.vdot(other, mode) * other
        norm = np.linalg.norm(mode)
        if not norm > 1e-8 * start:
            raise ValueError(f"count: expected at most {k} modes from the support of this probe, got {count}")
        modes[k] = mode / norm
    shares = FALLOFF ** np.arange(count)
    return modes * np.sqrt(power * shares / shares.sum())[:, None, None]
