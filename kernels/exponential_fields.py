"""Between real fields of unknowns and the complex object where z is an exponential of them, and the adjoint.

z = exp(sum_c (re_c + i im_c) fields_c). Shapes and windows are those of `ptyxrf.kernels.object_fields`. Only
`exponential_fields` has transcendental functions; the others take the z of the point. Those functions are
polynomials in loops without branches, which the compiler vectorizes: a call of the library for each pixel
costs ten times as much.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled, kernel_part

#: Coefficients of the Taylor series of exp x in x, and of sin x / x and cos x in x^2, highest first. Up to
#: |x| = log(2)/2 and pi/4 the terms left out are below the rounding of double precision.
EXPONENTIAL = tuple(1 / math.factorial(n) for n in range(13, -1, -1))
SINE = tuple((-1) ** n / math.factorial(2 * n + 1) for n in range(8, -1, -1))
COSINE = tuple((-1) ** n / math.factorial(2 * n) for n in range(8, -1, -1))

LOG_2, HALF_PI = math.log(2), math.pi / 2

#: Exponents within which exp x is a normal number; those beyond are cut.
LOWEST, HIGHEST = -708.0, 709.0
#: Exponent and mantissa of double precision: 2^n has the bits (n + BIAS) << MANTISSA.
BIAS, MANTISSA = 1023, 52


@kernel_part
def _series(coefficients: tuple[float, ...], x: float) -> float:
    """Return a polynomial, by Horner's rule."""
    total = 0.0
    for coefficient in coefficients:
        total = total * x + coefficient
    return total


@kernel_part
def _phase_factors(phase: NDArray, cosines: NDArray, sines: NDArray) -> None:
    """Set cosines and sines of a row."""
    for l in range(len(phase)):  # noqa: E741
        turns = np.floor(phase[l] * (1 / HALF_PI) + 0.5)
        x = phase[l] - turns * HALF_PI
        c, s = _series(COSINE, x * x), x * _series(SINE, x * x)
        quadrant = np.int64(turns)
        a = s if quadrant & 1 else c
        b = c if quadrant & 1 else s
        cosines[l] = -a if (quadrant + 1) & 2 else a
        sines[l] = -b if quadrant & 2 else b


@compiled
def _exponentials(exponent: NDArray, bits: NDArray) -> None:
    """Set a row of exponents to their exponentials; `bits` (columns,) of int64 is scratch."""
    powers = bits.view(np.float64)
    for l in range(len(exponent)):  # noqa: E741
        exponent[l] = min(max(exponent[l], LOWEST), HIGHEST)
    for l in range(len(exponent)):  # noqa: E741
        power = np.floor(exponent[l] * (1 / LOG_2) + 0.5)
        bits[l] = (np.int64(np.int32(power)) + BIAS) << MANTISSA
        exponent[l] = _series(EXPONENTIAL, exponent[l] - power * LOG_2)
    for l in range(len(exponent)):  # noqa: E741
        exponent[l] *= powers[l]


@compiled
def exponential_fields(
    fields: NDArray, corner: tuple[int, int], re: NDArray, im: NDArray, window: tuple[int, int, int, int],
    z: NDArray,
) -> None:  # fmt: skip
    """z[window] = exp(sum_c (re[c] + i im[c]) fields[c])."""
    row, column, rows, columns = window
    modulus, phase = np.empty(columns), np.empty(columns)
    cosines, sines = np.empty(columns), np.empty(columns)
    bits = np.empty(columns, np.int64)
    for i in range(rows):
        modulus[:] = 0
        phase[:] = 0
        for c in range(fields.shape[0]):
            source = fields[c, corner[0] + i, corner[1] : corner[1] + columns]
            if re[c] != 0:
                for l in range(columns):  # noqa: E741
                    modulus[l] += re[c] * source[l]
            if im[c] != 0:
                for l in range(columns):  # noqa: E741
                    phase[l] += im[c] * source[l]
        _exponentials(modulus, bits)
        _phase_factors(phase, cosines, sines)
        target = z[row + i, column : column + columns]
        for l in range(columns):  # noqa: E741
            target[l] = complex(modulus[l] * cosines[l], modulus[l] * sines[l])


@compiled
def exponential_change(
    z: NDArray, change: NDArray, corner: tuple[int, int], re: NDArray, im: NDArray,
    window: tuple[int, int, int, int], out: NDArray,
) -> None:  # fmt: skip
    """out[window] = z sum_c (re[c] + i im[c]) change[c]: the derivative."""
    row, column, rows, columns = window
    real, imaginary = np.empty(columns, change.dtype), np.empty(columns, change.dtype)
    for i in range(rows):
        real[:] = 0
        imaginary[:] = 0
        for c in range(change.shape[0]):
            source = change[c, corner[0] + i, corner[1] : corner[1] + columns]
            if re[c] != 0:
                for l in range(columns):  # noqa: E741
                    real[l] += re[c] * source[l]
            if im[c] != 0:
                for l in range(columns):  # noqa: E741
                    imaginary[l] += im[c] * source[l]
        point, target = z[row + i, column : column + columns], out[row + i, column : column + columns]
        for l in range(columns):  # noqa: E741
            a, b = point[l].real, point[l].imag
            target[l] = complex(a * real[l] - b * imaginary[l], a * imaginary[l] + b * real[l])


@compiled
def exponential_change_adjoint(
    z: NDArray, gradient: NDArray, window: tuple[int, int, int, int], scale: float, re: NDArray, im: NDArray,
    add: bool, fields: NDArray, corner: tuple[int, int],
) -> None:  # fmt: skip
    """fields[c] = scale Re(conj((re[c] + i im[c]) z) gradient), or += where `add`."""
    row, column, rows, columns = window
    real, imaginary = np.empty(columns, fields.dtype), np.empty(columns, fields.dtype)
    for i in range(rows):
        point, source = z[row + i, column : column + columns], gradient[row + i, column : column + columns]
        for l in range(columns):  # noqa: E741
            a, b, x, y = point[l].real, point[l].imag, source[l].real, source[l].imag
            real[l] = scale * (a * x + b * y)
            imaginary[l] = scale * (a * y - b * x)
        for c in range(fields.shape[0]):
            target = fields[c, corner[0] + i, corner[1] : corner[1] + columns]
            if not add:
                target[:] = 0
            if re[c] != 0:
                for l in range(columns):  # noqa: E741
                    target[l] += re[c] * real[l]
            if im[c] != 0:
                for l in range(columns):  # noqa: E741
                    target[l] += im[c] * imaginary[l]


@compiled
def exponential_curvature(
    z: NDArray, change: NDArray, gradient: NDArray, window: tuple[int, int, int, int], scale: float,
    re: NDArray, im: NDArray, fields: NDArray, corner: tuple[int, int],
) -> None:  # fmt: skip
    """fields[c] += scale Re(conj(k_c z sum_d k_d change[d]) gradient), k = re + i im.

    The window begins at the corner of `change`, too.
    """
    row, column, rows, columns = window
    changed = np.empty((1, columns), z.dtype)
    strip = (0, 0, 1, columns)
    for i in range(rows):
        lines, at = slice(row + i, row + i + 1), (corner[0] + i, corner[1])
        point, source = z[lines, column : column + columns], gradient[lines, column : column + columns]
        exponential_change(point, change, at, re, im, strip, changed)
        exponential_change_adjoint(changed, source, strip, scale, re, im, True, fields, at)
