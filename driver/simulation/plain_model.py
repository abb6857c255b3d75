"""The forward model of both data sets, a direct transcription of the formulas.

It shares no code with the kernels on purpose: simulated data and the dense Hessian check the kernels, and a
mistake in both would not be found.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

#: Complex numbers in one block of exit waves (16 MB).
BLOCK = 2**20


def fourier_shift(values: NDArray, shifts: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Shift fields by fractions of a pixel, periodically.

    The transform is multiplied by exp(-2 pi i (s_r k / rows + s_c l / columns)), k and l the signed
    frequencies.

    Parameters
    ----------
    values : (..., rows, columns) array of complex
    shifts : (B, 2) array of float
        Rows and columns by which the content moves.

    Returns
    -------
    (B, ..., rows, columns) array of complex128
    """
    rows, columns = values.shape[-2:]
    ones = [1] * (values.ndim - 2)
    along_rows = np.exp(-2j * np.pi * shifts[:, 0, None] * np.fft.fftfreq(rows))
    along_columns = np.exp(-2j * np.pi * shifts[:, 1, None] * np.fft.fftfreq(columns))
    spectra = np.fft.fft2(values) * along_rows.reshape(-1, *ones, rows, 1)
    return np.fft.ifft2(spectra * along_columns.reshape(-1, *ones, 1, columns))


def exit_waves(
    probe: NDArray, positions: NDArray, z: NDArray, exposure: NDArray, block: int = BLOCK
) -> Iterator[tuple[slice, NDArray, NDArray]]:
    """Yield the waves behind the specimen, a few positions at a time.

    Parameters
    ----------
    probe : (K, m, m) array of complex
    positions : (N, 2) array of float
        (row, column) of each window's first pixel.
    z : (n_rows, n_cols) array of complex
    exposure : (N,) array of float
    block : int
        About so many complex numbers at a time.

    Yields
    ------
    which : slice
        The positions.
    probes : (B, K, m, m) array of complex128
        P_jk times the root of the exposure: the probe, shifted by the fraction of the position beyond its
        integer corner.
    waves : (B, K, m, m) array of complex128
        P_jk z_j times the root of the exposure.
    """
    count, m = probe.shape[:2]
    corners = np.floor(positions).astype(int)
    fractions = positions - corners
    size = max(1, block // (count * m * m))
    for first in range(0, len(positions), size):
        which = slice(first, min(first + size, len(positions)))
        probes = fourier_shift(probe, fractions[which])
        # without a shift there must be no rounding errors
        probes[~fractions[which].any(axis=1)] = probe
        probes *= np.sqrt(exposure[which])[:, None, None, None]
        patches = np.stack([z[r : r + m, c : c + m] for r, c in corners[which]])
        yield which, probes, probes * patches[:, None]


def blurred(kernel: NDArray, w: NDArray, kind: str) -> NDArray[np.float64]:
    """Return a map blurred by the illumination, zero outside the map, the kernel's centre at m//2.

    convolution: out[r] = sum_s kernel[s] w[r - s + m//2];
    correlation: out[r] = sum_s kernel[s] w[r + s - m//2].

    Parameters
    ----------
    kernel : (m, m) array of float
        sum_k |P_k|^2.
    w : (n_rows, n_cols) array of float
    kind : {"convolution", "correlation"}
    """
    m = len(kernel)
    first = m // 2
    if kind == "correlation":
        kernel = kernel[::-1, ::-1]
        first = m - 1 - m // 2
    full = (w.shape[0] + m - 1, w.shape[1] + m - 1)
    out = np.fft.irfft2(np.fft.rfft2(kernel, full) * np.fft.rfft2(w, full), full)
    out = out[first : first + w.shape[0], first : first + w.shape[1]]
    # non-negative maps stay so; the transforms leave rounding errors about zero
    return np.maximum(out, 0) if w.min() >= 0 else out
