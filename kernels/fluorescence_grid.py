"""Fluorescence on the object grid: same-size linear convolution of each map with |P|^2, by real FFTs.

The map is zero outside the field and the kernel's centre is at index m//2:
out[r] = sum_s k[s] w[r - s + m//2]. A map that was scanned and interpolated onto the grid is a
correlation instead, out[r] = sum_s k[s] w[r + s - m//2]: the same code with the kernel reversed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.fluorescence import Fluorescence
from ptyxrf.kernels.fourier import good_size, real_plans
from ptyxrf.kernels.planning import TEN_ITERATIONS
from ptyxrf.kernels.probe_shift import PositionedProbe


def padded(tile: tuple[int, int], m: int) -> tuple[int, int]:
    """Return the rows and columns that hold the whole linear convolution: no output wraps around."""
    return good_size(tile[0] + m - 1), good_size(tile[1] + m - 1)


def plan_blur(tile: tuple[int, int], m: int, dtype: Any, elements: int | None = 0) -> None:
    """Make the plans of the blur of maps on a tile.

    Parameters
    ----------
    tile : (int, int)
    m : int
    dtype : float32 or float64
    elements : int or None
        How many maps there are, which tells the effort that planning is worth; 0: take what is known, None:
        make plans anew with it.
    """
    # blur and adjoint of each map in each sweep
    executions = None if elements is None else 2 * TEN_ITERATIONS * elements
    real_plans(*padded(tile, m), np.dtype(dtype).str, executions)


class GridBlur:
    """Convolution of maps on a tile with an m x m kernel, kept on a window of the tile, and its adjoints.

    Parameters
    ----------
    tile : (int, int)
        Rows and columns of the tile.
    window : ((int, int), (int, int))
        (start, stop) in rows and columns of the tile where the output lives.
    m : int
        Kernel size.
    dtype : float32 or float64
    correlation : bool
        Reverse the kernel.
    """

    def __init__(
        self, tile: tuple[int, int], window: tuple[tuple[int, int], tuple[int, int]], m: int, dtype: Any,
        correlation: bool,
    ) -> None:  # fmt: skip
        self.tile, self.m, self.correlation = tile, m, correlation
        centre = m - 1 - m // 2 if correlation else m // 2
        self._output = tuple(slice(start + centre, stop + centre) for start, stop in window)
        self._map = (slice(0, tile[0]), slice(0, tile[1]))
        self._kernel = (slice(0, m), slice(0, m))
        self._plans = real_plans(*padded(tile, m), np.dtype(dtype).str)

    def _forward(self, where: tuple[slice, ...], values: NDArray) -> NDArray[Any]:
        """Return the spectrum of `values` embedded in zeros; it lives in the plan's own array."""
        forward, _ = self._plans
        forward.input_array[...] = 0
        forward.input_array[where] = values
        forward.execute()
        return forward.output_array

    def _backward(self, where: tuple[slice, ...]) -> NDArray[Any]:
        """Return a view of the inverse transform of the plan's half spectrum, normalised."""
        _, backward = self._plans
        backward.execute()
        out = backward.output_array[where]
        out *= out.dtype.type(1 / backward.output_array.size)
        return out

    def kernel_spectrum(self, kernel: NDArray) -> NDArray[Any]:
        """Return the spectrum of an (m, m) kernel."""
        return self._forward(self._kernel, kernel[::-1, ::-1] if self.correlation else kernel).copy()

    def map_spectrum(self, values: NDArray) -> NDArray[Any]:
        """Return the spectrum of a map on the tile."""
        return self._forward(self._map, values).copy()

    def output_spectrum(self, values: NDArray) -> NDArray[Any]:
        """Return the spectrum of values on the window."""
        return self._forward(self._output, values).copy()

    def blur(self, values: NDArray, kernel: NDArray) -> NDArray[Any]:
        """Blur a map by a kernel (its spectrum): values on the window, valid until the next call."""
        spectrum = self._forward(self._map, values)
        spectrum *= kernel
        return self._backward(self._output)

    def blur_adjoint(self, values: NDArray, kernel: NDArray) -> NDArray[Any]:
        """Adjoint of `blur`: a map on the tile, valid until the next call."""
        spectrum = self._forward(self._output, values)
        spectrum *= np.conjugate(kernel)
        return self._backward(self._map)

    def window_values(self, spectrum: NDArray) -> NDArray[Any]:
        """Return the values on the window of a map blurred in its spectrum, valid until the next call."""
        self._plans[1].input_array[...] = spectrum
        return self._backward(self._output)

    def kernel_adjoint(self, output: NDArray, values: NDArray) -> NDArray[Any]:
        """Adjoint of `blur` in the kernel (m, m), from the spectra of the output and of the map."""
        np.conjugate(values, out=self._plans[1].input_array)
        self._plans[1].input_array[...] *= output
        out = self._backward(self._kernel)
        return (out[::-1, ::-1] if self.correlation else out).copy()


class GridFluorescence(Fluorescence):
    """Maps recorded on the object grid; see `Fluorescence` and `GridBlur` for the parameters."""

    def __init__(
        self, data: NDArray, gains: NDArray[np.float64], weights: NDArray[np.float64], probe: PositionedProbe,
        full: bool, tile: tuple[int, int], window: tuple[tuple[int, int], tuple[int, int]], correlation: bool,
    ) -> None:  # fmt: skip
        super().__init__(data, gains, weights, probe, full)
        self._blur = GridBlur(tile, window, probe.m, data.dtype, correlation)
        self._window = window
        self._tile = tile
        empty = np.zeros((0, 0))
        self._probe: NDArray[Any] = empty
        self._direction: NDArray[Any] = empty
        self._kernel: NDArray[Any] = empty  # spectrum of |P|^2
        self._change: NDArray[Any] = empty  # spectrum of 2 Re sum_k conj(P_k) dP_k
        self._maps: dict[int, NDArray[Any]] = {}  # spectra of w_e, where the probe is unknown
        self._slope: NDArray[Any] = empty  # h: the gradient in |P|^2
        self._bend: NDArray[Any] = empty  # dh

    def set_probe(self, probe: NDArray) -> None:
        """Take the (K, m, m) probe."""
        self._probe = probe
        self._kernel = self._blur.kernel_spectrum((np.abs(probe) ** 2).sum(axis=0))

    def set_direction(self, direction: NDArray) -> None:
        """Take the (K, m, m) change of the probe."""
        self._direction = direction
        self._change = self._blur.kernel_spectrum(2 * (self._probe.conj() * direction).real.sum(axis=0))

    def _scale(self, factor: float) -> Any:
        return self.data.dtype.type(factor)

    def blur(self, maps: NDArray) -> NDArray[Any]:
        """Return gain_e A w_e on the window."""
        return np.stack(
            [
                self._scale(gain) * self._blur.blur(values, self._kernel)
                for gain, values in zip(self.gains, maps, strict=True)
            ]
        )

    def gradient(self, maps: NDArray, gradient: NDArray, with_probe: bool) -> float:
        """Add the gradient in w; return the loss."""
        self._slope = np.zeros((self._blur.m, self._blur.m))
        for e in self.active:
            np.multiply(
                self._blur.blur(maps[e], self._kernel), self._scale(self.gains[e]), out=self.residual[e]
            )
            self.residual[e] -= self.data[e]
            factor = self.weights[e] * self.gains[e]
            gradient[e] += self._scale(factor) * self._blur.blur_adjoint(self.residual[e], self._kernel)
            if with_probe:
                self._maps[e] = self._blur.map_spectrum(maps[e])
                spectrum = self._blur.output_spectrum(self.residual[e])
                self._slope += factor * self._blur.kernel_adjoint(spectrum, self._maps[e])
        return self._loss()

    def probe_gradient(self) -> NDArray[Any]:
        """Return 2 P h."""
        return 2 * self._probe * self._slope

    def product(self, change: NDArray, product: NDArray, with_probe: bool) -> None:
        """Add the Hessian product in w."""
        self._bend = np.zeros((self._blur.m, self._blur.m))
        for e in self.active:
            gain, factor = self._scale(self.gains[e]), self.weights[e] * self.gains[e]
            if not with_probe:
                blurred = gain * self._blur.blur(change[e], self._kernel)
                product[e] += self._scale(factor) * self._blur.blur_adjoint(blurred, self._kernel)
                continue
            moved = self._blur.map_spectrum(change[e])
            spectrum = moved * self._kernel + self._maps[e] * self._change
            blurred = gain * self._blur.window_values(spectrum)
            product[e] += self._scale(factor) * self._blur.blur_adjoint(blurred, self._kernel)
            self._bend += factor * self._blur.kernel_adjoint(
                self._blur.output_spectrum(blurred), self._maps[e]
            )
            if self.full:
                product[e] += self._scale(factor) * self._blur.blur_adjoint(self.residual[e], self._change)
                spectrum = self._blur.output_spectrum(self.residual[e])
                self._bend += factor * self._blur.kernel_adjoint(spectrum, moved)

    def probe_product(self) -> NDArray[Any]:
        """Return 2 P dh, and with the full Hessian 2 dP h."""
        product = 2 * self._probe * self._bend
        if self.full:
            product += 2 * self._direction * self._slope
        return product

    def diagonal(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return A^T A 1 on the tile."""
        ones = np.ones(shape, self.data.dtype)
        return self._blur.blur_adjoint(self._blur.blur(ones, self._kernel).copy(), self._kernel).astype(
            np.float64
        )

    def _residual_terms(self, change: NDArray, with_probe: bool) -> list[tuple[int, list[NDArray]]]:
        terms = []
        bent = self._blur.kernel_spectrum((np.abs(self._direction) ** 2).sum(axis=0)) if with_probe else None
        for e in self.active:
            gain = self._scale(self.gains[e])
            parts = [self.residual[e]]
            if bent is None:
                parts.append(gain * self._blur.blur(change[e], self._kernel))
            else:
                still, moved = self._maps[e], self._blur.map_spectrum(change[e])
                for spectrum in (
                    moved * self._kernel + still * self._change,
                    moved * self._change + still * bent,
                    moved * bent,
                ):
                    parts.append(gain * self._blur.window_values(spectrum))
            terms.append((e, parts))
        return terms
