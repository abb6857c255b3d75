"""The step of a method with momentum, in one pass over values, velocity and gradient."""

from __future__ import annotations

from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled


@compiled
def momentum_step(
    gradient: NDArray, diagonal: NDArray, rate: float, momentum: float, velocity: NDArray, values: NDArray
) -> None:
    """Set velocity = momentum velocity - d, values += momentum velocity - d; d = rate gradient / diagonal.

    All are (C, P) arrays of real numbers but the diagonal (P,), which the channels share. Source: the form
    of Nesterov's method in Y. Bengio, N. Boulanger-Lewandowski and R. Pascanu, arXiv 1212.0901, eq. (7).
    """
    kept = values.dtype.type(momentum)
    factor = values.dtype.type(rate)
    for c in range(values.shape[0]):
        speed, slope, out = velocity[c], gradient[c], values[c]
        for i in range(diagonal.size):
            step = factor * slope[i] / diagonal[i]
            speed[i] = kept * speed[i] - step
            out[i] += kept * speed[i] - step
