"""Where the beam meets the detector, and how large a pattern is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

#: A centre has at least this share of the intensity with a partner on the other side.
LEAST_PAIRED = 0.5
#: Counts of all frames, in a ring of pixels on average, below which a pattern ends.
LEAST_COUNTS = 1.0
PRIMES = (2, 3, 5, 7)


def is_at_corner(mean: NDArray[np.float64]) -> bool:
    """Return whether a mean pattern is brighter around index (0, 0) than around the middle."""
    height, width = mean.shape
    rows, columns = slice(height // 4, height // 4 + height // 2), slice(width // 4, width // 4 + width // 2)
    rolled = np.fft.fftshift(mean)
    # a beam that is off-centre is in neither; one at the corner is in all four of them
    corners = [mean[: height // 4, : width // 4], mean[: height // 4, -(width // 4) :],
               mean[-(height // 4) :, : width // 4], mean[-(height // 4) :, -(width // 4) :]]  # fmt: skip
    each = min(float(corner.sum()) for corner in corners)
    return float(rolled[rows, columns].sum()) > float(mean[rows, columns].sum()) and each > 0.05 * mean.sum()


def beam_centre(mean: NDArray[np.float64], good: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the point about which a mean pattern is most like itself turned by 180 degrees.

    The mean pattern of a scan is the intensity of the pupil, centred on the axis and blurred by what the
    specimen scatters to all sides. Pixels that are masked, or whose partner is, are left out, so that gaps
    and the edge of the frame do not matter (masked correlation: D. Padfield, IEEE Trans. Image Process. 21
    (2012) 2706).

    Parameters
    ----------
    mean : (H, W) array of float64
    good : (H, W) array of bool

    Returns
    -------
    (float, float)
        Row and column, to a fraction of a pixel.
    """
    image = np.sqrt(np.clip(np.where(good, mean, 0.0), 0.0, None))
    shape = tuple(next_fast_len(2 * size) for size in image.shape)
    spectrum, square, weight = (rfft2(values, shape) for values in (image, image**2, good.astype(np.float64)))
    product, paired = irfft2(spectrum**2, shape), irfft2(square * weight, shape)
    total = float((image**2).sum())
    enough = paired > LEAST_PAIRED * total
    likeness = np.where(enough, product / np.where(enough, paired, 1.0), -1.0)
    # twice the centre: the maximum is broad where much of the frame is dark, so prefer what pairs more
    likeness = np.where(enough, likeness * np.sqrt(np.clip(paired, 0.0, None) / total), -1.0)
    peak = np.unravel_index(np.argmax(likeness), shape)
    row, column = (
        _vertex(line, int(place)) / 2
        for line, place in ((likeness[:, peak[1]], peak[0]), (likeness[peak[0]], peak[1]))
    )
    return row, column


def _vertex(line: NDArray[np.float64], place: int) -> float:
    """Return the place of a maximum, refined by a parabola."""
    before, here, after = line[place - 1], line[place], line[(place + 1) % len(line)]
    curvature = before - 2 * here + after
    return place + (
        0.5 * float((before - after) / curvature) if curvature < 0 and before > 0 < after else 0.0
    )


def fast_size(most: int) -> int:
    """Return the largest even size of at most `most` pixels with no prime factor above 7."""
    for size in range(most - most % 2, 1, -2):
        rest = size
        for prime in PRIMES:
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
    return max(most, 2)


def window_size(
    sums: NDArray[np.float64], good: NDArray[np.bool_], centre: tuple[int, int], step: int
) -> int:
    """Return the size of the window around a centre: all that is on the frame, as far as there are counts.

    Parameters
    ----------
    sums : (H, W) array of float64
        Photons of all frames.
    good : (H, W) array of bool
    centre : (int, int)
    step : int
        Pixels that will be added along an edge: the size is a multiple of it.
    """
    room = min(2 * min(c, s - c) for c, s in zip(centre, sums.shape, strict=True))
    if room < 2 * step:
        raise ValueError(
            f"centre: expected a beam on the frame of {sums.shape[0]} x {sums.shape[1]} pixels, got {centre}"
        )
    rows, columns = (np.abs(np.arange(s) - c) for c, s in zip(centre, sums.shape, strict=True))
    ring = np.maximum(rows[:, None], columns[None, :])
    counts = np.bincount(ring[good], sums[good])
    pixels = np.maximum(np.bincount(ring[good]), 1)
    lit = np.flatnonzero(counts / pixels >= LEAST_COUNTS)
    reach = 2 * (int(lit[-1]) + 1) if len(lit) else room
    most = fast_size(room // step) * step
    while most > 2 * step and fast_size(most // step - 2) * step >= reach:
        most = fast_size(most // step - 2) * step
    return most
