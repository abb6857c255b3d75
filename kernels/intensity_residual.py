"""Residuals of diffraction patterns with a background, by amplitudes or as Poisson counts.

Shapes and masked pixels are those of `ptyxrf.kernels.amplitude_residual`, which has the same without a
background in less time. With the background B = beta^2 of each pixel (m, m), I = sum_k |psi_k|^2 + B and
d = b^2:

- loss of amplitudes      1/2 sum (sqrt(I) - b)^2, c = b/sqrt(I)
- loss of Poisson counts  1/4 sum (I - d + d ln(d/I)), c = d/I
- gradient                s (1 - c) psi_k, and s (1 - c) beta, with s = 1 and 1/2
- Hessian                 s (1 - c) dpsi_k + c/I psi_k g, and s (1 - c) dbeta + c/I beta g,
  with g = Re(sum_l conj(psi_l) dpsi_l) + beta dbeta

The square root of the background is one more mode, real and the same for all patterns. The two losses have
the same second-order expansion about d. The same small intensity may be added to I and d: it leaves the
minimum where it is, and bounds d/I where the model is dark, which the loss of Poisson counts needs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.amplitude_residual import DARK
from ptyxrf.kernels.compiled import compiled, kernel_part

#: What the loss of Poisson counts adds to both, in the unit of the data: that is the mean count.
FAINT = 1e-6


@kernel_part
def poisson_deviance(model: float, data: float) -> float:
    """Return I - d + d ln(d/I)."""
    return model - data + (data * np.log(data / model) if data > 0 else 0.0)


@compiled
def intensities(psi: NDArray, added: NDArray, power: NDArray) -> None:
    """Power (B, m, m) = sum_k |psi_k|^2 + added (m, m)."""
    count, modes, m, _ = psi.shape
    for b in range(count):
        for i in range(m):
            row = power[b, i]
            row[:] = added[i]
            for k in range(modes):
                far = psi[b, k, i]
                for l in range(m):  # noqa: E741
                    row[l] += far[l].real * far[l].real + far[l].imag * far[l].imag


@compiled
def intensity_residual(
    psi: NDArray, amplitudes: NDArray, added: NDArray, beta: NDArray, poisson: bool, fields: NDArray,
    losses: NDArray, sums: NDArray,
) -> None:  # fmt: skip
    """Fields = gradient of the loss in psi; losses[b] = loss of pattern b; sums += the gradient in beta.

    ``added`` (m, m) is what adds to |psi|^2, and ``sums`` (m, m) is in double precision.
    """
    count, modes, m, _ = psi.shape
    zero, half, one = amplitudes.dtype.type(0), amplitudes.dtype.type(0.5), amplitudes.dtype.type(1)
    dark = amplitudes.dtype.type(DARK)
    power = np.empty((1, m, m), amplitudes.dtype)
    for b in range(count):
        intensities(psi[b : b + 1], added, power)
        total = 0.0
        for i in range(m):
            measured, work = amplitudes[b, i], power[0, i]
            for l in range(m):  # noqa: E741
                good = one if measured[l] >= zero else zero
                if poisson:
                    expected = measured[l] * measured[l]
                    model, data = np.float64(work[l]), np.float64(expected)
                    total += 0.5 * good * (poisson_deviance(model, data))
                    work[l] = good * (half * (one - expected / work[l]))
                else:
                    modulus = np.sqrt(max(work[l], dark))
                    residual = good * (modulus - measured[l])
                    total += residual * residual
                    work[l] = residual / modulus
                sums[i, l] += work[l] * beta[i, l]
            for k in range(modes):
                far, out = psi[b, k, i], fields[b, k, i]
                for l in range(m):  # noqa: E741
                    out[l] = work[l] * far[l]
        losses[b] = 0.5 * total


@compiled
def intensity_hessian(
    psi: NDArray, amplitudes: NDArray, added: NDArray, beta: NDArray, change: NDArray, poisson: bool,
    low: float, high: float, fields: NDArray, sums: NDArray,
) -> None:  # fmt: skip
    """Replace fields (the directions dpsi) by the Hessian applied to them, with c held in [low, high].

    ``change`` (m, m) is dbeta; the product in beta is added to sums.
    """
    count, modes, m, _ = psi.shape
    zero, one = amplitudes.dtype.type(0), amplitudes.dtype.type(1)
    scale = amplitudes.dtype.type(0.5 if poisson else 1.0)
    dark = amplitudes.dtype.type(DARK)
    power = np.empty((1, m, m), amplitudes.dtype)
    along = np.empty(m, amplitudes.dtype)
    for b in range(count):
        intensities(psi[b : b + 1], added, power)
        for i in range(m):
            measured, work = amplitudes[b, i], power[0, i]
            along[:] = beta[i] * change[i]
            for k in range(modes):
                far, moved = psi[b, k, i], fields[b, k, i]
                for l in range(m):  # noqa: E741
                    along[l] += far[l].real * moved[l].real + far[l].imag * moved[l].imag
            for l in range(m):  # noqa: E741
                bright = max(work[l], dark)
                c = measured[l] / np.sqrt(bright)
                c = c * c if poisson else c
                c = min(max(c, low), high)
                c = c if work[l] > dark else zero
                work[l] = scale * (one - c) if measured[l] >= zero else zero
                along[l] = along[l] / bright * c if measured[l] >= zero else zero
                sums[i, l] += work[l] * change[i, l] + along[l] * beta[i, l]
            for k in range(modes):
                far, moved = psi[b, k, i], fields[b, k, i]
                for l in range(m):  # noqa: E741
                    moved[l] = work[l] * moved[l] + along[l] * far[l]


@compiled
def intensity_losses_along(
    psi: NDArray, first: NDArray, second: NDArray, amplitudes: NDArray, added: NDArray, beta: NDArray,
    change: NDArray, poisson: bool, steps: NDArray, losses: NDArray,
) -> None:  # fmt: skip
    """losses[s] += loss at psi + t first + t^2 second and beta + t change at t = steps[s] (float64).

    ``second`` has no patterns (shape (0, K, m, m)) where the far field is linear in t.
    """
    count, modes, m, _ = psi.shape
    zero = amplitudes.dtype.type(0)
    bent = second.shape[0] > 0
    power = np.empty(m, amplitudes.dtype)
    for b in range(count):
        for i in range(m):
            measured = amplitudes[b, i]
            for s in range(steps.shape[0]):
                t = steps[s]
                for l in range(m):  # noqa: E741
                    power[l] = added[i, l] + t * change[i, l] * (beta[i, l] + beta[i, l] + t * change[i, l])
                for k in range(modes):
                    far, one = psi[b, k, i], first[b, k, i]
                    for l in range(m):  # noqa: E741
                        moved = far[l] + t * one[l]
                        if bent:
                            moved += t * t * second[b, k, i, l]
                        power[l] += moved.real * moved.real + moved.imag * moved.imag
                total = 0.0
                for l in range(m):  # noqa: E741
                    if measured[l] < zero:
                        continue
                    if poisson:
                        data = np.float64(measured[l] * measured[l])
                        model = max(np.float64(power[l]), DARK)
                        total += 0.5 * (poisson_deviance(model, data))
                    else:
                        residual = float(np.sqrt(max(power[l], zero)) - measured[l])
                        total += residual * residual
                losses[s] += 0.5 * total
