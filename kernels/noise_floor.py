"""What Poisson noise leaves of amplitude residuals: the floor below which no model of the intensities comes.

For a count n of mean lambda the squared residual (sqrt(n) - sqrt(lambda))^2 has the mean

    F(lambda) = lambda + E[n] - 2 sqrt(lambda) E[sqrt(n)],

1/4 for many counts and up to 0.45 for few. A fit of amplitudes takes sqrt(lambda) down towards E[sqrt(n)],
which is far less where counts are rare. Where it gets there, the mean count exceeds the fitted intensity by
the room H(lambda), and H is the residual's mean too: the variance of sqrt(n).
The variance of the squared residual is at most 1.1 F.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled, kernel_part

#: The table goes up to this root of the mean count; beyond it F and H are 1/4 to within 1e-4.
LARGEST_ROOT = 32.0
#: Entries of the table per unit of the root.
PER_UNIT = 64
#: Mean counts up to which sums are direct; beyond there is a series.
DIRECT = 100.0
#: Intensities (counts) between which the mean count is compared with the model's; above the last it is not.
CLASSES = np.array([0.03, 0.3, 3.0])


def mean_roots(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return E[sqrt(n)] of Poisson counts n: direct sums for few counts, the asymptotic series for many."""
    inverse = 1 / np.maximum(means, DIRECT)
    series = 1 - inverse * (1 / 8 + inverse * (7 / 128 + inverse * (75 / 1024 + inverse * 3623 / 32768)))
    few = np.minimum(means, DIRECT)
    probability, root = np.exp(-few), np.zeros_like(means)
    for n in range(1, int(DIRECT + 12 * np.sqrt(DIRECT))):
        probability = probability * (few / n)
        root += np.sqrt(n) * probability
    return np.where(means < DIRECT, root, np.sqrt(means) * series)


@cache
def _variance_table() -> NDArray[np.float64]:
    """Return the variance of sqrt(n) over roots of lambda, as `floor_table` has them."""
    means = (np.arange(int(LARGEST_ROOT * PER_UNIT) + 2) / PER_UNIT) ** 2
    return np.asarray(means - mean_roots(means) ** 2)


def root_variances(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variance of sqrt(n) of Poisson counts n of given means: 1/4 for many counts."""
    table = _variance_table()
    return np.interp(np.sqrt(means), np.arange(len(table)) / PER_UNIT, table)


@cache
def floor_table() -> NDArray[np.float64]:
    """Return F/lambda and the room H over roots of lambda, (L, 2)."""
    roots = np.arange(int(LARGEST_ROOT * PER_UNIT) + 2) / PER_UNIT
    means = roots**2
    relative = np.full_like(means, 2.0)
    relative[1:] -= 2 * mean_roots(means[1:]) / roots[1:]
    # the mean count whose E[sqrt(n)] is the root, from a finer table
    finer = np.linspace(0, LARGEST_ROOT + 1, 16 * len(roots)) ** 2
    room = np.interp(roots, mean_roots(finer), finer) - means
    return np.ascontiguousarray(np.stack([relative, room], axis=1))


@compiled
def look_up(means: NDArray, table: NDArray, floors: NDArray, rooms: NDArray) -> None:
    """Set arrays to F and H at mean counts (L,)."""
    largest, most = LARGEST_ROOT * PER_UNIT, LARGEST_ROOT * LARGEST_ROOT
    for l in range(len(means)):  # noqa: E741
        place = np.sqrt(means[l]) * PER_UNIT
        rooms[l] = place if place < largest else largest  # NaN, too, has a place in the table
    for l in range(len(means)):  # noqa: E741
        i = int(rooms[l])
        t = rooms[l] - i
        mean = means[l] if means[l] < most else most
        floors[l] = mean * (table[i, 0] + t * (table[i + 1, 0] - table[i, 0]))
        rooms[l] = table[i, 1] + t * (table[i + 1, 1] - table[i, 1])


@kernel_part
def add_residuals(
    amplitudes: NDArray, unit: float, means: NDArray, floors: NDArray, sums: NDArray, pixels: NDArray
) -> None:
    """Add what does not depend on the class of a pixel; arguments are those of one pattern."""
    s0 = s1 = s2 = s3 = s4 = 0.0
    for l in range(len(means)):  # noqa: E741
        good = 1.0 if amplitudes[l] >= 0 else 0.0
        amplitude, root = unit * amplitudes[l], np.sqrt(means[l])
        square = good * (root - amplitude) * (root - amplitude)
        s0 += square
        s1 += floors[l]
        s2 += good * means[l]
        s3 += good * amplitude * amplitude
        s4 += good * root * amplitude
        pixels[0, l] += square
        pixels[1, l] += floors[l]
        pixels[2, l] += good
    for k, total in enumerate((s0, s1, s2, s3, s4)):
        sums[k] += total


@kernel_part
def add_rooms(
    amplitudes: NDArray, unit: float, means: NDArray, rooms: NDArray, floors: NDArray, classes: NDArray,
    sums: NDArray, pixels: NDArray, counts: NDArray,
) -> None:  # fmt: skip
    """Add the sums of the classes; arguments are those of one pattern, rooms and floors 0 under the mask."""
    first, second, third = classes
    e0 = e1 = e2 = d0 = d1 = d2 = r0 = r1 = r2 = 0.0
    for l in range(len(means)):  # noqa: E741
        good = 1.0 if amplitudes[l] >= 0 else 0.0
        amplitude, mean = unit * amplitudes[l], means[l]
        more, missing = rooms[l] - floors[l], good * (amplitude * amplitude - mean)
        # selections instead of branches: the loop becomes vector code
        in0 = 1.0 if mean < first else 0.0
        in1 = (1.0 if mean < second else 0.0) - in0
        in2 = (1.0 if mean < third else 0.0) - in0 - in1
        e0 += in0 * more
        e1 += in1 * more
        e2 += in2 * more
        d0 += in0 * missing
        d1 += in1 * missing
        d2 += in2 * missing
        r0 += in0 * rooms[l]
        r1 += in1 * rooms[l]
        r2 += in2 * rooms[l]
        pixels[3, l] += in0 * more
        pixels[4, l] += in1 * more
        pixels[5, l] += in2 * more
    for k, (excess, beyond, room) in enumerate(((e0, d0, r0), (e1, d1, r1), (e2, d2, r2))):
        sums[5 + k] += excess
        counts[k, 0] += beyond
        counts[k, 1] += room


@compiled
def add_misfit(
    intensities: NDArray, amplitudes: NDArray, scales: NDArray, classes: NDArray, table: NDArray,
    positions: NDArray, pixels: NDArray, counts: NDArray,
) -> None:  # fmt: skip
    """Add squared residuals of some patterns, and what noise explains of them, to sums.

    Parameters
    ----------
    intensities, amplitudes : (B, L) array
        Of the model, and measured; a negative amplitude is masked.
    scales : (B,) array of float64
        Photons in a unit of intensity.
    classes : (3,) array of float64
        Upper ends of the classes of intensity, in photons.
    table : (L, 2) array of float64
        `floor_table`.
    positions : (B, 8) array of float64
        For each pattern the sums of: squared residual, F, model intensity, measured intensity, product of the
        amplitudes; then H - F in each class.
    pixels : (6, L) array of float64
        For each pixel the sums of: squared residual, F, good patterns; then H - F in each class.
    counts : (3, 2) array of float64
        In each class the sums of: measured less model intensity, H.
    """
    size = intensities.shape[1]
    floors, rooms, means = np.empty(size), np.empty(size), np.empty(size)
    for b in range(len(scales)):
        scale, unit, measured = scales[b], np.sqrt(scales[b]), amplitudes[b]
        for l in range(size):  # noqa: E741
            means[l] = scale * intensities[b, l]
        look_up(means, table, floors, rooms)
        for l in range(size):  # noqa: E741
            good = 1.0 if measured[l] >= 0 else 0.0
            floors[l] *= good
            rooms[l] *= good
        add_residuals(measured, unit, means, floors, positions[b], pixels)
        add_rooms(measured, unit, means, rooms, floors, classes, positions[b], pixels, counts)
