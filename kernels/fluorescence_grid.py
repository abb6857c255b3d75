"""Fluorescence on the object grid: same-size linear convolution of each map with |P|^2, by real FFTs.

The map is zero outside the field and the kernel's centre is at index m//2:
out[r] = sum_s k[s] w[r - s + m//2]. A map that was scanned and interpolated onto the grid is a
correlation instead, out[r] = sum_s k[s] w[r + s - m//2]: the same code with the kernel reversed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled
from ptyxrf.kernels.fftw.planning import TEN_ITERATIONS
from ptyxrf.kernels.fftw.transforms import good_size, real_plans
from ptyxrf.kernels.fluorescence import Fluorescence
from ptyxrf.kernels.probe_shift import AdjointSum, PositionedProbe
from ptyxrf.kernels.reductions import dot


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


@compiled
def embed(values: NDArray, row: int, column: int, padded: NDArray) -> None:
    """Padded = values with their first pixel at (row, column), and zeros around them."""
    rows, columns = values.shape
    for i in range(padded.shape[0]):
        line = padded[i]
        if i < row or i >= row + rows:
            line[:] = 0
            continue
        line[:column] = 0
        line[column : column + columns] = values[i - row]
        line[column + columns :] = 0


@compiled
def clear_around(padded: NDArray, row: int, column: int, rows: int, columns: int) -> None:
    """Set what lies outside a window of (rows, columns) pixels to zero."""
    for i in range(padded.shape[0]):
        line = padded[i]
        if i < row or i >= row + rows:
            line[:] = 0
            continue
        line[:column] = 0
        line[column + columns :] = 0


@compiled
def subtract_data(
    padded: NDArray, row: int, column: int, gain: float, data: NDArray, residual: NDArray
) -> float:
    """Residual = gain * window - data, which also overwrites the window; return its sum of squares."""
    rows, columns = data.shape
    total = 0.0
    for i in range(rows):
        line = padded[row + i, column : column + columns]
        measured, out = data[i], residual[i]
        for l in range(columns):  # noqa: E741
            value = gain * line[l] - measured[l]
            out[l] = value
            line[l] = value
            total += np.float64(value) * np.float64(value)
    return total


@compiled
def add_scaled(padded: NDArray, factor: float, target: NDArray) -> None:
    """Target += factor * its part of the padded map, which begins at the first pixel."""
    rows, columns = target.shape
    for i in range(rows):
        source, out = padded[i], target[i]
        for l in range(columns):  # noqa: E741
            out[l] += factor * source[l]


@compiled
def multiply_spectra(first: NDArray, second: NDArray, out: NDArray) -> None:
    """Out = first * second; it may be one of them."""
    for i in range(out.shape[0]):
        x, y, z = first[i], second[i], out[i]
        for l in range(out.shape[1]):  # noqa: E741
            z[l] = x[l] * y[l]


@compiled
def multiply_conjugate(first: NDArray, second: NDArray, out: NDArray) -> None:
    """Out = conj(first) * second; it may be one of them."""
    for i in range(out.shape[0]):
        x, y, z = first[i], second[i], out[i]
        for l in range(out.shape[1]):  # noqa: E741
            z[l] = np.conj(x[l]) * y[l]


@compiled
def add_product(first: NDArray, second: NDArray, out: NDArray) -> None:
    """Out += first * second."""
    for i in range(out.shape[0]):
        x, y, z = first[i], second[i], out[i]
        for l in range(out.shape[1]):  # noqa: E741
            z[l] += x[l] * y[l]


@compiled
def add_conjugate_product(first: NDArray, second: NDArray, out: NDArray) -> None:
    """Out += conj(first) * second."""
    for i in range(out.shape[0]):
        x, y, z = first[i], second[i], out[i]
        for l in range(out.shape[1]):  # noqa: E741
            z[l] += np.conj(x[l]) * y[l]


class GridBlur:
    """Convolution of maps on a tile with an m x m kernel, kept on a window of the tile, and its adjoints.

    A step works on the padded map or on its half spectrum, the two arrays of the plans, and leaves its
    result there for the next one: what costs beside the transforms is passes over memory.

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

    Attributes
    ----------
    map : (rows, columns) array
        The padded map; the tile begins at its first pixel.
    spectrum : (rows, columns // 2 + 1) array of complex
        Its half spectrum.
    at : (int, int)
        Where the output begins in the padded map.
    """

    def __init__(
        self, tile: tuple[int, int], window: tuple[tuple[int, int], tuple[int, int]], m: int, dtype: Any,
        correlation: bool,
    ) -> None:  # fmt: skip
        self.tile, self.m, self.correlation = tile, m, correlation
        centre = m - 1 - m // 2 if correlation else m // 2
        self.at = window[0][0] + centre, window[1][0] + centre
        self.size = window[0][1] - window[0][0], window[1][1] - window[1][0]
        self._forward, self._backward = real_plans(*padded(tile, m), np.dtype(dtype).str)
        self.map, self.spectrum = self._forward.input_array, self._forward.output_array
        self._scale = self.map.dtype.type(1 / self.map.size)

    @property
    def window(self) -> NDArray[Any]:
        """The output in the padded map."""
        (row, column), (rows, columns) = self.at, self.size
        return self.map[row : row + rows, column : column + columns]

    def forward(self) -> NDArray[Any]:
        """Compute the spectrum of the padded map."""
        self._forward.execute()
        return self.spectrum

    def transform(self, values: NDArray, at: tuple[int, int] = (0, 0)) -> NDArray[Any]:
        """Compute the spectrum of values that begin at a place of the padded map."""
        embed(values, *at, self.map)
        return self.forward()

    def transform_window(self) -> NDArray[Any]:
        """Compute the spectrum of the window."""
        clear_around(self.map, *self.at, *self.size)
        return self.forward()

    def back(self) -> NDArray[Any]:
        """Compute the padded map of the spectrum, which is overwritten."""
        self._backward.execute()
        return self.map

    def kernel_spectrum(self, kernel: NDArray) -> NDArray[Any]:
        """Return the spectrum of an (m, m) kernel, including the factor of the inverse transform."""
        kernel = np.ascontiguousarray(kernel[::-1, ::-1] if self.correlation else kernel, self.map.dtype)
        return self.transform(kernel) * self._scale

    def blur(self, values: NDArray, kernel: NDArray) -> NDArray[Any]:
        """Blur a map by a kernel (its spectrum): values on the window, valid until the next step."""
        return self.blur_spectrum(self.transform(values), kernel)

    def blur_spectrum(self, spectrum: NDArray, kernel: NDArray) -> NDArray[Any]:
        """Blur a map in its spectrum: values on the window, valid until the next step."""
        multiply_spectra(spectrum, kernel, self.spectrum)
        self.back()
        return self.window

    def blur_adjoint(self, kernel: NDArray) -> NDArray[Any]:
        """Adjoint of `blur` for the window: a padded map, valid until the next step."""
        multiply_conjugate(kernel, self.transform_window(), self.spectrum)
        return self.back()

    def kernel_adjoint(self) -> NDArray[Any]:
        """Return the (m, m) kernel of the current spectrum, conj(that of the map) times the output's."""
        out = self.back()[: self.m, : self.m] * self._scale
        return out[::-1, ::-1] if self.correlation else out


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
        self._residuals: dict[int, NDArray[Any]] = {}  # and of the residuals, for the full Hessian
        self._slope: NDArray[Any] = empty  # h: the gradient in |P|^2

    def set_probe(self, probe: NDArray) -> None:
        """Take the (K, m, m) probe."""
        self._probe = probe
        self._kernel = self._blur.kernel_spectrum((np.abs(probe) ** 2).sum(axis=0))

    def set_direction(self, direction: NDArray) -> None:
        """Take the (K, m, m) change of the probe."""
        self._direction = direction
        self._change = self._blur.kernel_spectrum(2 * (self._probe.conj() * direction).real.sum(axis=0))

    def _number(self, factor: float) -> Any:
        return self.data.dtype.type(factor)

    def blur(self, maps: NDArray) -> NDArray[Any]:
        """Return gain_e A w_e on the window."""
        return np.stack(
            [
                self._number(gain) * self._blur.blur(values, self._kernel)
                for gain, values in zip(self.gains, maps, strict=True)
            ]
        )

    def adjoint(self, samples: NDArray, maps: NDArray) -> None:
        """See `Fluorescence.adjoint`."""
        for e in self.active:
            self._blur.window[...] = self._weighed(e, samples[e])
            factor = self._number(self.weights[e] * self.gains[e])
            add_scaled(self._blur.blur_adjoint(self._kernel), factor, maps[e])

    def gradient(self, maps: NDArray, gradient: NDArray, probe_sum: AdjointSum | None) -> float:
        """See `Fluorescence.gradient`; in the probe 2 P h."""
        blur, kernel = self._blur, self._kernel
        self._slope = np.zeros((blur.m, blur.m))
        loss = 0.0
        for e in self.active:
            spectrum = blur.transform(maps[e])
            if probe_sum is not None:
                self._maps[e] = spectrum.copy()
            blur.blur_spectrum(spectrum, kernel)
            gain = self._number(self.gains[e])
            square = subtract_data(blur.map, *blur.at, gain, self.data[e], self.residual[e])
            if self.relative is not None:
                self._weigh_window(e)
                square = dot(self.residual[e], self._weighed(e, self.residual[e]))
            loss += 0.5 * self.weights[e] * square
            factor = self.weights[e] * self.gains[e]
            if probe_sum is None:
                add_scaled(blur.blur_adjoint(kernel), self._number(factor), gradient[e])
                continue
            out = blur.transform_window().copy()
            if self.full:
                self._residuals[e] = out
            multiply_conjugate(kernel, out, blur.spectrum)
            add_scaled(blur.back(), self._number(factor), gradient[e])
            multiply_conjugate(self._maps[e], out, blur.spectrum)
            self._slope += factor * blur.kernel_adjoint()
        if probe_sum is not None:
            probe_sum.add_total(2 * self._probe * self._slope)
        return float(loss)

    def product(self, change: NDArray, product: NDArray, probe_sum: AdjointSum | None) -> None:
        """See `Fluorescence.product`; in the probe 2 P dh, and with the full Hessian 2 dP h."""
        blur, kernel = self._blur, self._kernel
        slope_change = np.zeros((blur.m, blur.m))
        for e in self.active:
            gain, factor = self.gains[e], self.weights[e] * self.gains[e]
            if probe_sum is None:
                blur.blur(change[e], kernel)
                self._weigh_window(e)
                add_scaled(blur.blur_adjoint(kernel), self._number(factor * gain), product[e])
                continue
            moved = blur.transform(change[e]).copy()
            self._move(moved, self._maps[e])
            blur.back()
            self._weigh_window(e)
            out = blur.transform_window() * self._number(gain)
            multiply_conjugate(kernel, out, blur.spectrum)
            if self.full:
                add_conjugate_product(self._change, self._residuals[e], blur.spectrum)
            add_scaled(blur.back(), self._number(factor), product[e])
            multiply_conjugate(self._maps[e], out, blur.spectrum)
            if self.full:
                add_conjugate_product(moved, self._residuals[e], blur.spectrum)
            slope_change += factor * blur.kernel_adjoint()
        if probe_sum is not None:
            probe_sum.add_total(2 * self._probe * slope_change)
            if self.full:
                probe_sum.add_total(2 * self._direction * self._slope)

    def _weigh_window(self, e: int) -> None:
        """Multiply the output of the blur by the relative weights of an element."""
        if self.relative is not None:
            self._blur.window[...] *= self.relative[e]

    def _move(self, moved: NDArray, still: NDArray) -> None:
        """Leave the spectrum of the blur's change: of the map, and of the kernel."""
        multiply_spectra(moved, self._kernel, self._blur.spectrum)
        add_product(still, self._change, self._blur.spectrum)

    def diagonal(
        self, shape: tuple[int, int], corners: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return A^T R A 1 on the tile."""
        rows, columns = shape
        total = np.empty((1 if self.relative is None else len(self.relative), rows, columns))
        for e in range(len(total)):
            self._blur.blur(np.ones(shape, self.data.dtype), self._kernel)
            self._weigh_window(e)
            total[e] = self._blur.blur_adjoint(self._kernel)[:rows, :columns]
        return total

    def _residual_terms(self, change: NDArray, with_probe: bool) -> list[tuple[int, list[NDArray]]]:
        blur, terms = self._blur, []
        bent = blur.kernel_spectrum((np.abs(self._direction) ** 2).sum(axis=0)) if with_probe else None
        for e in self.active:
            gain = self._number(self.gains[e])
            parts = [self.residual[e]]
            if bent is None:
                parts.append(gain * blur.blur(change[e], self._kernel))
            else:
                still, moved = self._maps[e], blur.transform(change[e]).copy()
                self._move(moved, still)
                blur.back()
                parts.append(gain * blur.window)
                multiply_spectra(moved, self._change, blur.spectrum)
                add_product(still, bent, blur.spectrum)
                blur.back()
                parts.append(gain * blur.window)
                parts.append(gain * blur.blur_spectrum(moved, bent))
            terms.append((e, parts))
        return terms
