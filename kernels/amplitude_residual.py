"""Amplitude residuals of diffraction patterns: loss, gradient field, Hessian field, loss along a line.

Shapes: ``psi`` and ``fields`` (B, K, m, m) are the far fields of B positions and K incoherent probe modes,
zero frequency at [0, 0]; ``amplitudes`` (B, m, m) are the measured b_j = sqrt(d_j). A negative amplitude
marks a masked pixel: one array then carries data and mask, and no mask is streamed through the cache.
With |psi| = sqrt(sum_k |psi_k|^2), q_k = psi_k/|psi| and c = b/|psi| (both 0 where |psi| = 0):

- loss         1/2 sum (|psi| - b)^2 over the good pixels
- gradient     psi_k - b q_k
- Hessian      (1 - c) dpsi_k + c q_k Re(sum_l conj(q_l) dpsi_l)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled

#: |psi|^2 at or below this counts as zero. Amplitudes are normalised to a mean square of 1, so it lies far
#: below any signal, and its root and the reciprocal of that stay representable in single precision.
DARK = 1e-30
#: The same for vector code in single precision, which takes the reciprocal of the root's cube: that of `DARK`
#: would be infinite. In double precision both have `DARK`.
DARK_SINGLE = 1e-22


@compiled
def amplitude_residual(psi: NDArray, amplitudes: NDArray, fields: NDArray, losses: NDArray) -> None:
    """Fields = gradient of the loss with respect to psi; losses[b] = loss of pattern b (float64)."""
    count, modes, m, _ = psi.shape
    zero, one = amplitudes.dtype.type(0), amplitudes.dtype.type(1)
    dark = amplitudes.dtype.type(DARK)
    work = np.empty(m, amplitudes.dtype)
    for b in range(count):
        total = 0.0
        for i in range(m):
            measured = amplitudes[b, i]
            work[:] = zero
            for k in range(modes):
                far = psi[b, k, i]
                for l in range(m):  # noqa: E741
                    work[l] += far[l].real * far[l].real + far[l].imag * far[l].imag
            row_loss = zero
            for l in range(m):  # noqa: E741
                # selections instead of branches, and no division by zero, so that the loop is vectorized
                good = one if measured[l] >= zero else zero
                modulus = np.sqrt(max(work[l], dark))
                difference = good * (modulus - measured[l])
                row_loss += difference * difference
                work[l] = difference / modulus
            total += row_loss
            for k in range(modes):
                far = psi[b, k, i]
                out = fields[b, k, i]
                for l in range(m):  # noqa: E741
                    out[l] = work[l] * far[l]
        losses[b] = 0.5 * total


@compiled
def amplitude_hessian(psi: NDArray, amplitudes: NDArray, low: float, high: float, fields: NDArray) -> None:
    """Replace fields (the directions dpsi) by the Hessian applied to them, with c held in [low, high]."""
    count, modes, m, _ = psi.shape
    zero, one = amplitudes.dtype.type(0), amplitudes.dtype.type(1)
    dark = amplitudes.dtype.type(DARK)
    power = np.empty(m, amplitudes.dtype)
    along = np.empty(m, amplitudes.dtype)
    for b in range(count):
        for i in range(m):
            measured = amplitudes[b, i]
            if modes == 1:  # one pass with everything in registers: a quarter less time than the general one
                far = psi[b, 0, i]
                change = fields[b, 0, i]
                for l in range(m):  # noqa: E741
                    f_re, f_im, c_re, c_im = far[l].real, far[l].imag, change[l].real, change[l].imag
                    square = f_re * f_re + f_im * f_im
                    bright = max(square, dark)
                    c = min(max(measured[l] / np.sqrt(bright), low), high)
                    c = c if square > dark else zero
                    across = one - c if measured[l] >= zero else zero
                    parallel = (f_re * c_re + f_im * c_im) / bright * c if measured[l] >= zero else zero
                    change[l] = complex(across * c_re + parallel * f_re, across * c_im + parallel * f_im)
                continue
            power[:] = zero
            along[:] = zero
            for k in range(modes):
                far = psi[b, k, i]
                change = fields[b, k, i]
                for l in range(m):  # noqa: E741
                    power[l] += far[l].real * far[l].real + far[l].imag * far[l].imag
                    along[l] += far[l].real * change[l].real + far[l].imag * change[l].imag
            for l in range(m):  # noqa: E741
                bright = max(power[l], dark)
                c = min(max(measured[l] / np.sqrt(bright), low), high)
                c = c if power[l] > dark else zero
                power[l] = one - c if measured[l] >= zero else zero
                along[l] = along[l] / bright * c if measured[l] >= zero else zero
            for k in range(modes):
                far = psi[b, k, i]
                change = fields[b, k, i]
                for l in range(m):  # noqa: E741
                    change[l] = power[l] * change[l] + along[l] * far[l]


@compiled
def amplitude_losses_along(
    psi: NDArray, first: NDArray, second: NDArray, amplitudes: NDArray, steps: NDArray, losses: NDArray
) -> None:
    """losses[s] += loss of psi + t first + t^2 second at t = steps[s], summed over the patterns (float64).

    ``second`` has no patterns (shape (0, K, m, m)) where the far field is linear in t.
    """
    count, modes, m, _ = psi.shape
    zero = amplitudes.dtype.type(0)
    two = amplitudes.dtype.type(2)
    quadratic = second.shape[0] > 0
    c0 = np.empty(m, amplitudes.dtype)
    c1 = np.empty(m, amplitudes.dtype)
    c2 = np.empty(m, amplitudes.dtype)
    c3 = np.empty(m, amplitudes.dtype)
    c4 = np.empty(m, amplitudes.dtype)
    for b in range(count):
        for i in range(m):
            c0[:] = zero
            c1[:] = zero
            c2[:] = zero
            c3[:] = zero
            c4[:] = zero
            for k in range(modes):
                far, one = psi[b, k, i], first[b, k, i]
                for l in range(m):  # noqa: E741
                    c0[l] += far[l].real * far[l].real + far[l].imag * far[l].imag
                    c1[l] += two * (far[l].real * one[l].real + far[l].imag * one[l].imag)
                    c2[l] += one[l].real * one[l].real + one[l].imag * one[l].imag
                if quadratic:
                    bend = second[b, k, i]
                    for l in range(m):  # noqa: E741
                        c2[l] += two * (far[l].real * bend[l].real + far[l].imag * bend[l].imag)
                        c3[l] += two * (one[l].real * bend[l].real + one[l].imag * bend[l].imag)
                        c4[l] += bend[l].real * bend[l].real + bend[l].imag * bend[l].imag
            measured = amplitudes[b, i]
            for s in range(steps.shape[0]):
                t = steps[s]
                row_loss = zero
                for l in range(m):  # noqa: E741
                    power = c0[l] + t * (c1[l] + t * (c2[l] + t * (c3[l] + t * c4[l])))
                    difference = np.sqrt(max(power, zero)) - measured[l]  # rounding may leave power < 0
                    row_loss += difference * difference if measured[l] >= zero else zero
                losses[s] += 0.5 * row_loss
